"""``Config``: every option of a run, its default and its meaning, once. Command line, report and metadata come from it.

Plain Python, so that ``--help`` and a wrong flag are answered without loading JAX.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from pathlib import Path
from typing import Any, Literal

from nst_jax import layers
from nst_jax.choices import (
    CONTENT_COLORS,
    CONVENTIONS,
    KEPT_COLORS,
    LARGEST_WEIGHT,
    OPTIMIZERS,
    PADDINGS,
    PIXEL_RANGES,
    POOLINGS,
    PRECISION_WISHES,
    STARTS,
    TV_KINDS,
    ContentColors,
    Convention,
    KeptColors,
    Optimizer,
    Padding,
    PixelRange,
    Pooling,
    PrecisionWish,
    TvKind,
    check_choice,
    check_depth,
    check_weight,
    check_whole,
    flag,
    layer_weights,
)
from nst_jax.errors import NSTError
from nst_jax.options.kinds import converted
from nst_jax.options.preset_table import PRESET_CHANGES, STYLE_LAYERS, is_preset_file

#: No picture is made larger than this on its longest side, which is what TIFF's and PNG's numbers and NumPy's bear.
LARGEST_SIZE = 1_000_000
#: Motifs are not made larger than so many times their usual size, for the same reason.
LARGEST_SCALE = 8.0
#: L-BFGS remembers no more pairs than this: each is two pictures, and beyond a hundred none has been seen to help.
LONGEST_HISTORY = 1000


class _FromPreset(type):
    """What is not given comes from the preset that is."""

    def __call__(cls, *values: Any, **given: Any) -> Any:
        names = [field.name for field in dataclasses.fields(Config)]
        if len(values) > len(names):
            raise TypeError(f"{cls.__name__} has {len(names)} options")
        given = dict(zip(names, values, strict=False)) | given
        preset = converted("preset", given.get("preset", Config.preset), str)
        if is_preset_file(preset) and not given.keys() >= set(names):
            raise NSTError(f"Config reads no file: nst_jax.preset({preset!r}) gives its options")
        return super().__call__(**PRESET_CHANGES.get(preset, {}) | given)


@dataclasses.dataclass(frozen=True)
class Config(metaclass=_FromPreset):
    """How a picture is made. The defaults are those of the preset ``default``."""

    preset: str = "default"
    """where the defaults come from: default, nst_jax-0.1 (what that was), gatys2015 (the paper), gatys2016 (its
    authors' released code), crowson and spst (two other tools), crowson-gram (the first as it was until 2023), or a
    .toml file of one's own"""
    size: int = 512
    """longest side of the result in pixels"""
    network: str = "auto"
    """vgg19, vgg16, slim (ships with the package), or auto: vgg19 if its weights are there, else slim"""
    weights: Path | None = None
    """a converted weights file to use instead of the one in the user's weights folder"""
    strength: float | None = None
    """how much style: from 0, nearly the photograph, over 0.5, what the weights of the losses say, to 1"""
    content_weight: float | None = None
    """weight of the content loss; alpha of the paper in the paper presets; by default what suits the loss"""
    style_weight: float | None = None
    """weight of the style loss; beta of the paper in the paper presets; by default what suits the loss and network"""
    tv_weight: float | None = None
    """weight of the total variation, which smooths; by default what suits the loss and network, for absolute and
    isotropic a tenth"""
    tv_kind: TvKind = "squares"
    """the total variation: squares of differences, absolute (flat areas with upright edges), isotropic (flat areas with
    edges of any direction) or neighbours (squares, over the diagonals too, alike in all directions)"""
    tv_chroma: float | None = None
    """how many times as strong differences of colour are in the total variation, beside those of light and dark; by
    default what suits the loss and network"""
    tv_excess: float = 0.0
    """weight of the total variation beyond the painting's own, of light and of colour: no grain where it has none"""
    content_layers: tuple[str, ...] = ("conv4_2",)
    """layers that hold the content, each NAME or NAME:WEIGHT; without a weight, an equal share of 1"""
    style_layers: tuple[str, ...] = STYLE_LAYERS
    """layers that hold the style, each NAME or NAME:WEIGHT; without a weight, an equal share of 1"""
    loss: Convention = "normalized"
    """constants of the losses: normalized (no units), gatys2015, gatys2016 (the papers'), crowson, or wasserstein (the
    style as a distribution)"""
    style_octaves: int | None = None
    """sizes of the picture at which its style is compared, each half the one before and counting by its pixels: more
    keep larger motifs; by default 1, with another loss than wasserstein and another network than slim 2"""
    moments: float = 0.0
    """weight of the means and deviations of the responses, beside their Gram matrices' 1, in the style loss"""
    optimizer: Optimizer = "lbfgs"
    """lbfgs or adam"""
    steps: int | None = 80
    """steps at the full size, one evaluation of the loss and its gradient each; none: as --coarse-steps goes on"""
    scales: int | Literal["auto"] = "auto"
    """number of sizes, coarse to fine, or auto: from --coarsest on; those too small for the layers are left out"""
    scale_factor: float | None = None
    """how much larger each size is than the one before; by default the root of 2, with slim or another loss than
    wasserstein 2"""
    coarsest: int | None = None
    """longest side in pixels that the coarsest of the automatic sizes has at least; by default 181, with slim 128, but
    at most half of --size, and never below 64. With another loss than wasserstein it is 128, with slim 64"""
    coarse_steps: tuple[int, ...] | None = None
    """steps at each size but the full one, from the coarsest, the last for the rest; by default 20, with slim 40, with
    another loss than wasserstein 80 and 150"""
    refine: bool = False
    """take the steps of all sizes with slim, some seven times as fast, and then --steps at the full size with the
    network"""
    averaging: float = 0.0
    """decay of the running mean of the picture over the steps at a size, which is then the result; 0: the last one"""
    learning_rate: float = 0.02
    """step size of adam, for pixels in [0, 1]"""
    second_decay: float = 0.999
    """decay of the running mean of squared gradients of adam, its beta2"""
    history: int = 20
    """pairs of steps and gradients that lbfgs remembers"""
    init: str = "content"
    """the start: content, palette (the photograph in the painting's colours), style, noise, gray, or a picture's
    file"""
    detail: float = 0.0
    """how much of the photograph's detail, in the painting's colours, comes back when the picture is enlarged from one
    size to the next, from 0 (none) to 1 (all of it)"""
    content_colors: ContentColors = "photograph"
    """the colours of the photograph to which the content loss compares: photograph (its own) or painting"""
    init_noise: float = 0.0
    """share of noise in the start, from 0 (none) to 1 (nothing but noise)"""
    seed: int = 0
    """seed of the noise"""
    pooling: Pooling = "avg"
    """pooling of the network: avg or max"""
    padding: Padding = "replicate-first"
    """what the network sees beyond the border: zeros; replicate-first: the picture goes on, its responses do not, at no
    cost; replicate, reflect or wrap, a fifth slower"""
    tileable: bool = False
    """make a result that tiles without a seam: everything wraps around at its border"""
    pixel_range: PixelRange = "free"
    """of the pixels while optimising: free, or bounded to [0, 1], by clamping (adam) or by a penalty (lbfgs)"""
    precision: PrecisionWish = "auto"
    """of the network's products and responses: float32, bfloat16, or auto: the faster one on the device, for a single
    picture bfloat16 too where only that fits the memory"""
    tile: int | Literal["auto", "off"] = "auto"
    """side in pixels of the tiles by which the loss and its gradient are computed, exactly, in little memory; auto:
    where the whole picture does not fit; off: never"""
    depth: int = 8
    """bits of a channel of the file: 8, or 16 for PNG and TIFF"""
    style_size: int = 0
    """longest side of the style pictures; 0 for that of the result; they are never enlarged"""
    style_scale: tuple[float, ...] = (1.0,)
    """size of the painting's motifs in the result, a multiple of the usual; one number for all, or one for each
    painting; above 1 a painting is enlarged where it has to be"""
    style_blend: tuple[float, ...] = ()
    """weights of several paintings, one for each; by default they count alike"""
    keep_colors: KeptColors = "none"
    """none; luminance: paint light and dark alone, in the photograph's colours; cholesky, pca or histogram: give the
    painting the photograph's colours first"""
    palette: Path | None = None
    """a picture whose colours the painting is given, not the photograph's; by pca, unless --keep-colors says how"""
    content_mask: tuple[Path, ...] = ()
    """paint regions of the content: a grey picture each, white inside; the first region takes the first style picture,
    and so on, and what is in none keeps its content; with --mask-colors one picture with a colour for each region"""
    style_mask: tuple[Path, ...] = ()
    """which part of each style picture counts, white inside; with one style picture and several regions, which part of
    it each region takes; with --mask-colors one colour-coded picture for each style picture"""
    mask_colors: tuple[str, ...] = ()
    """the colours that mean the regions in colour-coded masks, in order: names or #rrggbb"""
    freeze: Path | None = None
    """keep the content's pixels where this picture is white; grey blends"""

    def __post_init__(self) -> None:
        """Makes values of other types what they plainly mean; NSTError for the first one that cannot be used."""
        for name, kind in kinds().items():
            object.__setattr__(self, name, converted(name, getattr(self, name), kind))
        check_choice("network", self.network, ("auto", *layers.NETWORKS))
        if not is_preset_file(self.preset):
            check_choice("preset", self.preset, (*PRESET_CHANGES, "a .toml file"))
        check_choice("loss", self.loss, CONVENTIONS)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("padding", self.padding, PADDINGS)
        check_choice("precision", self.precision, PRECISION_WISHES)
        check_choice("tv kind", self.tv_kind, TV_KINDS)
        check_choice("pixel range", self.pixel_range, PIXEL_RANGES)
        if self.tileable and self.padding not in (Config.padding, "zeros", "wrap"):
            raise NSTError(f"--tileable wraps around and --padding is {self.padding}: leave one of the two out")
        check_choice("keep_colors", self.keep_colors, KEPT_COLORS)
        check_choice("content_colors", self.content_colors, CONTENT_COLORS)
        if self.palette and self.keep_colors == "luminance":
            raise NSTError(
                "--keep-colors luminance keeps the photograph's own colours, not a --palette's: leave one of them out,"
                " or choose cholesky, pca or histogram"
            )
        if self.palette and self.keep_colors == "none":
            object.__setattr__(self, "keep_colors", "pca")
        check_whole("size", self.size, 1, LARGEST_SIZE)
        check_whole("style_size", self.style_size, 0, LARGEST_SIZE)
        check_depth(self.depth)
        check_whole("history", self.history, 1, LONGEST_HISTORY)
        check_whole("seed", self.seed, 0, 2**32 - 1)
        for name in ("coarsest", "style_octaves"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1)
        if isinstance(self.tile, int):
            check_whole("tile", self.tile, 1)
        if self.scales != "auto":
            check_whole("scales", self.scales, 1)
        if self.steps is not None:
            check_whole("steps", self.steps, 0)
        for count in self.coarse_steps or ():
            check_whole("coarse_steps", count, 0)
        if self.coarse_steps == ():
            raise NSTError("--coarse-steps is empty: give a whole number of 0 or more for each size, or one for all")
        check_weight("--moments", self.moments)
        check_weight("--tv-excess", self.tv_excess)
        if not 0 <= self.averaging < 1:
            raise NSTError(f"--averaging is {self.averaging}: give a number from 0 to below 1, such as 0.99")
        if self.scale_factor is not None and not 1.1 <= self.scale_factor <= 16:
            raise NSTError(f"--scale-factor is {self.scale_factor}: give a number from 1.1 to 16")
        for name in ("content_weight", "style_weight", "tv_weight", "tv_chroma"):
            if getattr(self, name) is not None:
                check_weight(flag(name), getattr(self, name))
        for name in ("init_noise", "detail"):
            if not 0 <= getattr(self, name) <= 1:
                raise NSTError(f"{flag(name)} is {getattr(self, name)}: give a number from 0 to 1")
        if not 0 < self.second_decay < 1:
            raise NSTError(f"--second-decay is {self.second_decay}: give a number between 0 and 1, such as 0.999")
        check_weight("--learning-rate", self.learning_rate)
        if not self.learning_rate:
            raise NSTError("--learning-rate is 0: give a finite number above 0")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise NSTError(f"--strength is {self.strength:g}: give a number from 0 to 1")
        if not self.style_scale or not all(0 < scale <= LARGEST_SCALE for scale in self.style_scale):
            given = " ".join(f"{scale:g}" for scale in self.style_scale) or "empty"
            raise NSTError(f"--style-scale is {given}: give a number above 0 and up to {LARGEST_SCALE:g}, or several")
        for weight in self.style_blend:
            check_weight("one of --style-blend", weight)
        if self.style_blend and not any(self.style_blend):
            raise NSTError("--style-blend is 0 for every painting: give at least one a weight above 0")
        if self.style_blend and max(self.style_blend) < 1 / LARGEST_WEIGHT:
            raise NSTError("--style-blend is next to 0 for every painting: its weights are ratios, such as 1 and 2")
        if self.mask_colors and len(self.content_mask) != 1:
            count = len(self.content_mask)
            raise NSTError(f"--mask-colors with {count} --content-mask: give one picture that has those colours")
        if not self.taps:
            raise NSTError("no layer is given: --content-layers or --style-layers must name one at least")
        layers.until("vgg19" if self.network == "auto" else self.network, self.taps)

    @property
    def content_layer_weights(self) -> dict[str, float]:
        """The content layers with their weights w_l."""
        return layer_weights("content_layers", self.content_layers)

    @property
    def style_layer_weights(self) -> dict[str, float]:
        """The style layers with their weights w_l."""
        return layer_weights("style_layers", self.style_layers)

    @property
    def taps(self) -> tuple[str, ...]:
        """The layers in use: the content layers, then the style layers that are not among them."""
        return tuple({**self.content_layer_weights, **self.style_layer_weights})

    @property
    def loss_weights(self) -> dict[str, float]:
        """α, β and the weights of the total variation as they count, by the names of their options.

        What is left to the network counts as 0 in options that are not ``Complete``.
        ``strength`` changes the ratio α/β, evenly on a logarithmic scale, and by way of α: the total variation keeps
        its weight beside the style that it smooths. It also moves ``tone`` and ``detail_share``.
        """
        content = STRENGTH_RANGE[self.strong > 0.5] ** (1 - 2 * self.strong)
        return {
            "content_weight": (self.content_weight or 0.0) * content,
            "style_weight": self.style_weight or 0.0,
            "tv_weight": self.tv_weight or 0.0,
            "tv_excess": self.tv_excess,
        }

    @property
    def strong(self) -> float:
        """The ``strength``, or its default."""
        return 0.5 if self.strength is None else self.strength

    @property
    def tone(self) -> float:
        """How much of the paintings' colours the photograph has where it is toned: all from ``strength`` 0.5 on."""
        return min(1.0, 2 * self.strong)

    @property
    def detail_share(self) -> float:
        """How much of the photograph's detail comes back: ``detail`` up to ``strength`` 0.5, from there down to 0."""
        return self.detail * min(1.0, 2 - 2 * self.strong)

    @property
    def files(self) -> tuple[str, ...]:
        """The options that name a file."""
        named = [name for name in ("weights", "palette", "content_mask", "style_mask", "freeze") if getattr(self, name)]
        named += ["init"] if self.init not in STARTS else []
        return (*named, "preset") if is_preset_file(self.preset) else tuple(named)

    @property
    def needs_toned(self) -> bool:
        """Whether the photograph is needed in the paintings' colours."""
        return self.detail > 0 or self.init == "palette" or self.content_colors == "painting"

    def own_values(self, network: str) -> dict[str, Any]:
        """What a network has of itself for what is left to it."""
        own = dict(OWN["wasserstein" if self.loss == "wasserstein" else "normalized"][network == "slim"])
        own["tv_weight"] *= TV_SHARES.get(self.tv_kind, 1.0)
        if self.loss == "wasserstein":
            own["coarsest"] = min(own["coarsest"], max(SMALLEST, self.size // 2))
        return own

    def for_network(self, network: str) -> Complete:
        """The same for a network, with its own values of what is not given, and wrapping if tileable."""
        own = self.own_values(network)
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in dataclasses.fields(Config)}
        values |= {name: value for name, value in own.items() if values[name] is None}
        if self.tileable:
            values["padding"] = "wrap"
        return Complete(**values | {"network": network})

    def to_json(self) -> dict[str, object]:
        """The options as values that JSON knows."""
        return {key: _for_json(value) for key, value in vars(self).items()}


@functools.cache
def kinds() -> dict[str, Any]:
    """The options and their types."""
    return typing.get_type_hints(Config)


@dataclasses.dataclass(frozen=True)
class Complete(Config):
    """Options in which nothing is left to the network any more; ``Config.for_network`` makes them.

    ``more_taps`` is no option: the layers that further terms of the objective look at, which are in use, too.
    """

    content_weight: float = 0.0
    style_weight: float = 0.0
    tv_weight: float = 0.0
    tv_chroma: float = 1.0
    style_octaves: int = 1
    scale_factor: float = 2.0
    coarsest: int = 1
    coarse_steps: tuple[int, ...] = (0,)
    more_taps: tuple[str, ...] = ()

    @property
    def taps(self) -> tuple[str, ...]:
        """The layers in use: those of content and style, then those of further terms that are not among them."""
        return tuple(dict.fromkeys((*super().taps, *self.more_taps)))

    def to_json(self) -> dict[str, object]:
        """The options, and nothing else, as values that JSON knows."""
        told = super().to_json()
        del told["more_taps"]
        return told


def _for_json(value: Any) -> Any:
    """A value of an option with its paths as strings."""
    if isinstance(value, tuple):
        return tuple(_for_json(each) for each in value)
    return str(value) if isinstance(value, Path) else value


#: What depends on the loss and the network: of each loss, for the networks published and for ``slim``, whose normalized
#: losses are softer (docs/slim.md). Losses that are not here take the second's.
OWN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "wasserstein": (
        {
            "content_weight": 0.003,
            "style_weight": 1.0,
            "tv_weight": 0.1,
            "tv_chroma": 1.0,
            "style_octaves": 1,
            "scale_factor": math.sqrt(2),
            "coarsest": 181,
            "coarse_steps": (20,),
        },
        {
            "content_weight": 0.002,
            "style_weight": 1.0,
            "tv_weight": 0.1,
            "tv_chroma": 1.0,
            "style_octaves": 1,
            "scale_factor": 2.0,
            "coarsest": 128,
            "coarse_steps": (40,),
        },
    ),
    "normalized": (
        {
            "content_weight": 1.0,
            "style_weight": 6.0,
            "tv_weight": 4.0,
            "tv_chroma": 2.0,
            "style_octaves": 2,
            "scale_factor": 2.0,
            "coarsest": 128,
            "coarse_steps": (80,),
        },
        {
            "content_weight": 1.0,
            "style_weight": 23.0,
            "tv_weight": 2.0,
            "tv_chroma": 1.5,
            "style_octaves": 1,
            "scale_factor": 2.0,
            "coarsest": 64,
            "coarse_steps": (150,),
        },
    ),
}
#: Longest side in pixels at which small pictures begin, where half of theirs is less than what they have of themselves.
SMALLEST = 64
#: Of the weight of the total variation, for kinds whose values are some ten times those of squares in a painting.
TV_SHARES = {"absolute": 0.1, "isotropic": 0.1}

#: The factor between the ratio α/β at ``strength`` 0 and at 0.5, and between that at 0.5 and at 1.
STRENGTH_RANGE = (100.0, 10.0)
