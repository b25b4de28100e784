"""``Config``: every option of a run, its default and its meaning, once. Command line, report and metadata come from it.

Plain Python, so that ``--help`` and a wrong flag are answered without loading JAX.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from nst_jax import layers
from nst_jax.errors import NSTError

OPTIMIZERS = ("lbfgs", "adam")
POOLINGS = ("avg", "max")
CONVENTIONS = ("gatys2015", "gatys2016", "normalized")
PADDINGS = ("zeros", "replicate", "reflect", "wrap")
PRECISIONS = ("auto", "float32", "bfloat16")
STARTS = ("content", "style", "noise", "gray")
TV_KINDS = ("squares", "absolute", "isotropic", "neighbours")
PIXEL_RANGES = ("free", "bounded")
#: No picture is made larger than this on its longest side: a slip of the keyboard, not a wish.
LARGEST_SIZE = 32768


@dataclasses.dataclass(frozen=True)
class Config:
    """How a picture is made. The defaults are those of the preset ``default``."""

    preset: str = "default"
    """where the defaults come from: default, gatys2015 (the paper) or gatys2016 (its authors' released code)"""
    size: int = 512
    """longest side of the result in pixels"""
    network: str = "auto"
    """vgg19, vgg16, slim (ships with the package), or auto: vgg19 if its weights are there, else slim"""
    weights: Path | None = None
    """a converted weights file to use instead of the one in the user's weights folder"""
    content_weight: float = 1.0
    """weight of the content loss; alpha of the paper in the paper presets"""
    style_weight: float | None = None
    """weight of the style loss; beta of the paper in the paper presets; by default 8, with slim 22"""
    tv_weight: float | None = None
    """weight of the total variation, which smooths; by default 10, with slim 3, for absolute and isotropic a tenth"""
    tv_kind: str = "squares"
    """the total variation: squares of differences, absolute (flat areas with upright edges), isotropic (flat areas with
    edges of any direction) or neighbours (squares, over the diagonals too, alike in all directions)"""
    content_layers: tuple[str, ...] = ("conv4_2",)
    """layers that hold the content, each NAME or NAME:WEIGHT; without a weight, an equal share of 1"""
    style_layers: tuple[str, ...] = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    """layers that hold the style, each NAME or NAME:WEIGHT; without a weight, an equal share of 1"""
    loss: str = "normalized"
    """constants of the losses: normalized (no units), gatys2015 or gatys2016 (the papers')"""
    optimizer: str = "lbfgs"
    """lbfgs or adam"""
    steps: int = 80
    """steps at the full size, one evaluation of the loss and its gradient each"""
    scales: int = 4
    """number of sizes, each twice the one before, up to the full size; those too small for the layers are left out"""
    coarse_steps: int = 150
    """steps at each size before the full one"""
    learning_rate: float = 0.02
    """step size of adam, for pixels in [0, 1]"""
    history: int = 20
    """pairs of steps and gradients that lbfgs remembers"""
    init: str = "content"
    """the start: content, style, noise, gray, or a picture's file"""
    init_noise: float = 0.0
    """share of noise in the start, from 0 (none) to 1 (nothing but noise)"""
    seed: int = 0
    """seed of the noise"""
    pooling: str = "avg"
    """pooling of the network: avg or max"""
    padding: str = "zeros"
    """what the network sees beyond the border: zeros, replicate, reflect or wrap"""
    tileable: bool = False
    """make a result that tiles without a seam: everything wraps around at its border"""
    pixel_range: str = "free"
    """of the pixels while optimising: free, or bounded to [0, 1], by clamping (adam) or by a penalty (lbfgs)"""
    precision: str = "auto"
    """of the network's convolutions: float32, bfloat16, or auto: the faster one on the device"""
    style_size: int = 0
    """longest side of the style pictures; 0 for that of the result; they are never enlarged"""

    def __post_init__(self) -> None:
        """Raises NSTError, in one line, for the first value that cannot be used."""
        check_choice("network", self.network, ("auto", *layers.NETWORKS))
        check_choice("preset", self.preset, tuple(PRESET_CHANGES))
        check_choice("loss", self.loss, CONVENTIONS)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_pooling(self.pooling)
        check_choice("padding", self.padding, PADDINGS)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("tv kind", self.tv_kind, TV_KINDS)
        check_choice("pixel range", self.pixel_range, PIXEL_RANGES)
        if self.tileable and self.padding not in (Config.padding, "wrap"):
            raise NSTError(f"--tileable wraps around and --padding is {self.padding}: leave one of the two out")
        for name, low in {"size": 1, "steps": 0, "scales": 1, "coarse_steps": 0, "history": 1, "style_size": 0}.items():
            check_whole(name, getattr(self, name), low, LARGEST_SIZE if "size" in name else None)
        check_whole("seed", self.seed, 0, 2**32 - 1)
        for name in ("content_weight", "style_weight", "tv_weight"):
            if getattr(self, name) is not None:
                check_weight(flag(name), getattr(self, name))
        if not 0 <= self.init_noise <= 1:
            raise NSTError(f"--init-noise is {self.init_noise}: give a number from 0 to 1")
        check_weight("--learning-rate", self.learning_rate)
        if not self.learning_rate:
            raise NSTError("--learning-rate is 0: give a finite number above 0")
        taps = {**self.content_layer_weights, **self.style_layer_weights}
        if not taps:
            raise NSTError("no layer is given: --content-layers or --style-layers must name one at least")
        layers.until("vgg19" if self.network == "auto" else self.network, taps)

    @property
    def content_layer_weights(self) -> dict[str, float]:
        """The content layers with their weights w_l."""
        return layer_weights("content_layers", self.content_layers)

    @property
    def style_layer_weights(self) -> dict[str, float]:
        """The style layers with their weights w_l."""
        return layer_weights("style_layers", self.style_layers)

    def for_network(self, network: str) -> Config:
        """The same for a network, with its own weights of the losses where none are given, and wrapping if tileable."""
        own = dict(OWN_WEIGHTS[network == "slim"])
        own["tv_weight"] *= TV_SHARES.get(self.tv_kind, 1.0)
        missing: dict[str, Any] = {name: value for name, value in own.items() if getattr(self, name) is None}
        if self.tileable:
            missing["padding"] = "wrap"
        return dataclasses.replace(self, network=network, **missing)

    def to_json(self) -> dict[str, object]:
        """The options as values that JSON knows."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in vars(self).items()}


#: Weights of the losses, of the networks as published and of ``slim``, whose losses are softer (docs/slim.md).
OWN_WEIGHTS = ({"style_weight": 8.0, "tv_weight": 10.0}, {"style_weight": 22.0, "tv_weight": 3.0})
#: Of the weight of the total variation, for kinds whose values are some ten times those of squares in a painting.
TV_SHARES = {"absolute": 0.1, "isotropic": 0.1}

#: What each preset changes. The paper's and the code's choices are explained in docs/paper.md.
PRESET_CHANGES: dict[str, dict[str, object]] = {
    "default": {},
    # Gatys, Ecker and Bethge 2015: white noise, average pooling, five layers of weight 1/5, the losses of equations
    # 1 to 5. The ratio 1e-3 is one of the paper's own; the paper used gradient descent, its 2016 version L-BFGS.
    "gatys2015": {
        "loss": "gatys2015",
        "content_weight": 1e-3,
        "style_weight": 1.0,
        "tv_weight": 0.0,
        "init": "noise",
        "steps": 500,
        "scales": 1,
    },
    # The PyTorch code of the authors of the 2016 paper: mean squared errors, max pooling, 1000/N² per style layer.
    "gatys2016": {
        "loss": "gatys2016",
        "content_weight": 1.0,
        "style_weight": 1.0,
        "tv_weight": 0.0,
        "style_layers": tuple(
            f"{layer}:{1000 / channels**2:g}"
            for layer, channels in zip(Config.style_layers, (64, 128, 256, 512, 512), strict=True)
        ),
        "init": "content",
        "pooling": "max",
        "steps": 500,
        "scales": 1,
    },
}


def preset(name: str) -> Config:
    """The options of a preset. Raises NSTError for an unknown name."""
    check_choice("preset", name, tuple(PRESET_CHANGES))
    return Config(preset=name, **PRESET_CHANGES[name])  # type: ignore[arg-type]


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises NSTError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise NSTError(f"unknown {option} {value!r}: choose one of {', '.join(choices)}")


def check_pooling(pooling: str) -> None:
    """Raises NSTError unless ``pooling`` is "avg" or "max"."""
    check_choice("pooling", pooling, POOLINGS)


def check_whole(option: str, value: int, low: int, high: int | None = None) -> None:
    """Raises NSTError unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        limit = f"from {low} to {high}" if high is not None else f"of {low} or more"
        raise NSTError(f"{flag(option)} is {value}: give a whole number {limit}")


def check_weight(name: str, value: float) -> None:
    """Raises NSTError unless ``value`` is finite and not negative; ``name`` is what the user knows it by."""
    if not math.isfinite(value) or value < 0:
        raise NSTError(f"{name} is {value}: give a finite number of 0 or more")


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
