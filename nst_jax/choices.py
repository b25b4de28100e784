"""The closed choices, each a type and a tuple of its values, and the checks of options. Plain Python.

A wrong value gets one line that says what would be right.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from nst_jax.errors import NSTError, named

Optimizer = Literal["lbfgs", "adam"]
Pooling = Literal["avg", "max"]
Convention = Literal["gatys2015", "gatys2016", "crowson", "normalized", "wasserstein"]
Padding = Literal["zeros", "replicate", "reflect", "wrap", "replicate-first"]
#: Of products and responses. "auto" is a wish: which of the two it is, the machine decides.
Precision = Literal["float32", "bfloat16"]
PrecisionWish = Literal["auto", "float32", "bfloat16"]
#: How convolutions are done: by XLA's own, at each layer in the way that is fastest on a CPU, or as a TPU takes them.
Lowering = Literal["xla", "cpu", "tpu"]
TvKind = Literal["squares", "absolute", "isotropic", "neighbours"]
PixelRange = Literal["free", "bounded"]
KeptColors = Literal["none", "luminance", "cholesky", "pca", "histogram"]
ContentColors = Literal["photograph", "painting"]
#: What a picture says of its making; "short" names no file.
Metadata = Literal["full", "short", "none"]

OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
PADDINGS: tuple[Padding, ...] = get_args(Padding)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
PRECISION_WISHES: tuple[PrecisionWish, ...] = get_args(PrecisionWish)
LOWERINGS: tuple[Lowering, ...] = get_args(Lowering)
TV_KINDS: tuple[TvKind, ...] = get_args(TvKind)
PIXEL_RANGES: tuple[PixelRange, ...] = get_args(PixelRange)
CONTENT_COLORS: tuple[ContentColors, ...] = get_args(ContentColors)
KEPT_COLORS: tuple[KeptColors, ...] = get_args(KeptColors)
METADATA: tuple[Metadata, ...] = get_args(Metadata)
#: Bits of a channel that a result can have.
DEPTHS = (8, 16)
#: The starts that are no picture's file.
STARTS = ("content", "palette", "style", "noise", "gray")
#: A hundredth of the largest number of single precision, which is what ``strength`` makes of a weight at most.
LARGEST_WEIGHT = 1e36


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises NSTError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise NSTError(f"unknown {option} '{named(value)}': choose one of {', '.join(choices)}")


def check_whole(option: str, value: int, low: int, high: int | None = None) -> None:
    """Raises NSTError unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        limit = f"from {low} to {high}" if high is not None else f"of {low} or more"
        raise NSTError(f"{flag(option)} is {value}: give a whole number {limit}")


def check_depth(depth: int) -> None:
    """Raises NSTError unless a result can have so many bits a channel."""
    if depth not in DEPTHS:
        raise NSTError(f"--depth is {depth}: give {' or '.join(map(str, DEPTHS))} bits a channel")


def check_kind(name: str, value: object, kind: Any, wanted: str) -> None:
    """Raises NSTError unless an argument is of a type, or of one of several; ``wanted`` says what is right."""
    if not isinstance(value, kind):
        raise NSTError(f"{name} is of type {type(value).__name__}: give {wanted}")


def check_weight(name: str, value: float) -> None:
    """Raises NSTError unless ``value`` is from 0 to ``LARGEST_WEIGHT``; ``name`` is what the user knows it by."""
    if not math.isfinite(value) or value < 0:
        raise NSTError(f"{name} is {value}: give a finite number of 0 or more")
    if value > LARGEST_WEIGHT:
        raise NSTError(f"{name} is {value}: give a number up to {LARGEST_WEIGHT:g}, which single precision can weigh")


def layer_weights(option: str, entries: tuple[str, ...]) -> dict[str, float]:
    """Reads NAME or NAME:WEIGHT entries; a NAME alone weighs 1 / (number of entries), as in the 2015 paper.

    Raises NSTError for a weight that is no finite number of 0 or more and for a name given twice.
    """
    weights: dict[str, float] = {}
    for entry in entries:
        name, colon, number = entry.partition(":")
        if name in weights:
            raise NSTError(f"{flag(option)} names {name} twice: give each layer once")
        try:
            weights[name] = float(number) if colon else 1 / len(entries)
        except ValueError:
            raise NSTError(f"{flag(option)} has {entry!r}: write NAME:WEIGHT, such as conv4_2:0.5") from None
        check_weight(f"{flag(option)} {name}", weights[name])
    return weights


def flag(option: str) -> str:
    """An option as it is written on the command line."""
    return "--" + option.replace("_", "-")
