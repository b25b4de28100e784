"""The options of ``scripts/train_slim.py``, checked before JAX is loaded."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Literal

from nst_jax.choices import check_whole, flag
from nst_jax.errors import NSTError

#: Pictures are kept with a shorter side of so many pixels at most, and no crop is larger.
LARGEST = 288


def _shared() -> Path:
    """The folder ``shared`` beside the project, or what ``$NST_JAX_SHARED`` names."""
    return Path(os.environ.get("NST_JAX_SHARED") or Path(__file__).resolve().parents[3] / "shared")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Train slim, the small network that ships with nst_jax, with VGG-19 as its teacher."""

    data: Path = dataclasses.field(default_factory=_shared)
    """folder with images/train, images/content, images/style, and weights/vgg19_notop.h5 if VGG-19 is not in the user's
    weights folder"""
    out: Path
    """folder for checkpoints and slim.h5; an unfinished run goes on"""
    minutes: float = 90.0
    """training time, without the first two iterations; the parts of a run that goes on together"""
    init_from: Path | None = None
    """a slim.h5 to start from instead of random filters"""
    rate: float = 2e-3
    """the first learning rate; a half cosine leads it to 1 percent"""
    learner: Literal["adam", "muon"] = "adam"
    """optimiser of the student"""
    average: float = 0.998
    """decay of the averaged parameters, which are what is exported"""
    batch: int = 8
    """pictures in an iteration"""
    size: int = 96
    """side of the pictures in pixels, a multiple of 16 up to 288"""
    bank: int = 64
    """pictures that are being stylised, at least four times --batch"""
    pushes: int = 3
    """L-BFGS steps of the batch's pictures in each iteration"""
    pooling: Literal["both", "avg"] = "both"
    """both: a quarter of the bank has maximum pooling, the rest average pooling, as the default has; avg: that alone"""
    mean_age: float = 50.0
    """steps that a picture is stylised for, exponentially distributed"""
    seed: int = 0
    """seed of all that is random"""
    log_every: int = 100
    """iterations between two lines of errors"""

    def __post_init__(self) -> None:
        """Raises NSTError, in one line, for the first value that cannot be used."""
        for name in ("minutes", "rate", "mean_age"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise NSTError(f"{flag(name)} is {value}: give a number above 0")
        if not 0 <= self.average < 1:
            raise NSTError(f"--average is {self.average}: give a number from 0 to below 1")
        for name in ("batch", "pushes", "log_every"):
            check_whole(name, getattr(self, name), 1)
        check_whole("seed", self.seed, 0)
        if self.size < 16 or self.size % 16 or self.size > LARGEST:
            raise NSTError(f"--size is {self.size}: give a multiple of 16 up to {LARGEST}")
        if self.bank < 4 * self.batch:
            raise NSTError(
                f"--bank is {self.bank}: give at least {4 * self.batch}, four times --batch, for a quarter of it has"
                " maximum pooling, and a batch has one pooling"
            )

    def command_line(self) -> str:
        """The options that matter wherever it was run, as they would be given."""
        given = {name: value for name, value in vars(self).items() if name not in ("data", "out")}
        return " ".join(f"{flag(name)} {value}" for name, value in given.items() if value is not None)
