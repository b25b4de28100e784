"""What is asked of the pixels alone: the total variation and the range, as formulas and as terms. Not in the papers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import TV_KINDS, TvKind, check_choice
from nst_jax.losses.parts import Part, Put, Seen

#: Differences between neighbours that are much smaller than this count as squares where others count as they are.
SMALL_STEP = 1 / 255
#: The kinds that are sums of squared differences.
SQUARED = ("squares", "neighbours")
#: A weight that nothing that counts is below, by which one may divide.
SMALLEST = 1e-12


def strong_chroma(image: Float[Array, "h w 3"], factor: Float[Array, ""] | float) -> Float[Array, "h w 3"]:
    """The image with its chroma, what it has beside the mean of its three values, so many times as strong.

    Grain of colour is what the eye minds and the responses hardly see: in the total variation it may count more. It is
    a product with a matrix: beside the mean that ``rough_sums`` takes, XLA ended the process over another mean here.
    """
    matrix = (1 - factor) / 3 + factor * jnp.eye(3, dtype=image.dtype)
    strong: Array = jnp.matmul(image, matrix, precision=jax.lax.Precision.HIGHEST)
    return strong


def total_variation(
    image: Float[Array, "h w 3"],
    kind: TvKind = "squares",
    wrap: bool = False,
    visible: Float[Array, "h w"] | None = None,
) -> Float[Array, ""]:
    """How much neighbours differ in an image in [0, 1]; 0 for a flat image.

    With the differences d↓ and d→ of each value from the ones below and right of it, and the mean over all values
    (so that it does not grow with the image), the kinds are

    ==========  =====================================================================================================
    squares     mean of d↓² + d→²
    absolute    mean of |d↓| + |d→|: an edge costs what a ramp of the same height costs, and so it may stay
    isotropic   mean of √(d↓² + d→²), the same whichever way an edge runs (Rudin, Osher and Fatemi 1992)
    neighbours  mean of ⅔ (d↓² + d→²) + ⅙ (d↘² + d↙²), as squares, but the same whichever way a fine pattern runs
                (the stencil of nine points of Crowson's style-transfer-pytorch, whose border repeats itself)
    ==========  =====================================================================================================

    where |d| stands for √(d² + ε²) − ε with ε = ``SMALL_STEP``, and √(d↓² + d→²) likewise. Differences to beyond the
    border are 0, or with ``wrap`` those to the other side. ``visible`` says how much each pixel counts, 0 to 1, in the
    mean; a pair of neighbours counts by the product, and a root by the larger of its two pairs'. Raises NSTError for an
    unknown kind.
    """
    return variation_value(variation_sums(image, kind, wrap, visible))


class Variation(NamedTuple):
    """What of a total variation adds up over positions: the differences, and the number of values that count.

    Both are scalars, or of several images arrays.
    """

    differences: Array
    values: Array


def variation_value(sums: Variation) -> Float[Array, "*images"]:
    """The total variation from what adds up over positions; of each image."""
    return sums.differences / sums.values


def variation_sums(
    image: Float[Array, "h w c"],
    kind: TvKind = "squares",
    wrap: bool = False,
    visible: Float[Array, "h w"] | None = None,
    part: Part | None = None,
) -> Variation:
    """The sums of ``total_variation``, which takes the same; of a part those at its own pixels. Any channels do."""
    check_choice("kind of total variation", kind, TV_KINDS)
    height, width, channels = image.shape
    own = None if part is None else part.own()
    counted = own if visible is None else visible if own is None else visible * own
    count = jnp.float32(image.size) if counted is None else channels * jnp.sum(counted)
    seam = part if part is not None and part.wraps and not wrap else None  # windows go on where the picture ends
    if wrap:  # the first row and column again behind the last ones
        image, visible, own = jax.tree.map(_around, (image, visible, own))

    def pairs(down: int, right: int) -> tuple[Array, Array | None]:
        """d² of all pairs of values so far apart, and how much each pair of pixels counts; None for alike."""
        size = min(height, image.shape[0] - down), min(width, image.shape[1] - abs(right))
        corners = (0, max(0, -right)), (down, max(0, right))
        one, other = (tuple(slice(at, at + side) for at, side in zip(corner, size, strict=True)) for corner in corners)
        weight = None if visible is None else visible[one] * visible[other]
        if own is not None:
            mine = own[one] if seam is None else own[one] * seam.beside(down, right)[one]
            weight = mine if weight is None else weight * mine
        return jnp.square(image[other] - image[one]), weight

    if kind in SQUARED:
        straight = _summed(*pairs(1, 0)) + _summed(*pairs(0, 1))
        if kind == "squares":
            return Variation(straight, count)
        return Variation(2 / 3 * straight + (_summed(*pairs(1, 1)) + _summed(*pairs(1, -1))) / 6, count)
    if kind == "absolute":
        down, across = (_summed(_magnitude(squares), weight) for squares, weight in (pairs(1, 0), pairs(0, 1)))
        return Variation(down + across, count)
    (down, below), (across, beside) = (_filled(found, height, width) for found in (pairs(1, 0), pairs(0, 1)))
    if below is None or beside is None:
        return Variation(jnp.sum(_magnitude(down + across)), count)
    larger = jnp.maximum(below, beside)  # by which the root counts; the pair that counts less is in it by its share
    down, across = (
        squares * (weight / jnp.maximum(larger, SMALLEST))[..., None]
        for squares, weight in ((down, below), (across, beside))
    )
    return Variation(_summed(_magnitude(down + across), larger), count)


def _filled(pairs: tuple[Array, Array | None], height: int, width: int) -> tuple[Array, Array | None]:
    """Pairs' squares and weights with zeros at the border, where there is no neighbour: (height, width) of them."""

    def fill(array: Array) -> Array:
        return jnp.pad(array, [(0, height - array.shape[0]), (0, width - array.shape[1]), (0, 0)][: array.ndim])

    found: tuple[Array, Array | None] = jax.tree.map(fill, pairs)
    return found


def _summed(values: Float[Array, "h w c"], weight: Float[Array, "h w"] | None) -> Float[Array, ""]:
    """The sum of all, weighed: of the sums of each pixel's values, as a CPU is slow where the last axis has three."""
    if weight is None:
        return jnp.sum(values)
    return jnp.vdot(jnp.sum(values, -1), weight, precision=jax.lax.Precision.HIGHEST)


def _around(array: Array) -> Array:
    """With the first row and column again behind the last ones."""
    return jnp.pad(array, [(0, 1), (0, 1), (0, 0)][: array.ndim], mode="wrap")


def _magnitude(square: Array) -> Array:
    """√(s + ε²) − ε of a square s, without the loss of digits: its gradient exists at 0."""
    return square / (jnp.sqrt(square + SMALL_STEP**2) + SMALL_STEP)


def outside(image: Float[Array, "h w 3"]) -> Float[Array, ""]:
    """How far values are beyond [0, 1]: the mean over all of the squared distance from it. Not in the papers."""
    mean: Array = outside_sum(image) / jnp.float32(image.size)
    return mean


def outside_sum(image: Float[Array, "h w 3"], own: Float[Array, "h w"] | None = None) -> Float[Array, ""]:
    """The sum over all values, or those at a part's ``own`` pixels, of their squared distance from [0, 1]."""
    squares = jnp.square(image - jnp.clip(image, 0, 1))
    return jnp.sum(squares if own is None else squares * own[..., None])


@flax.struct.dataclass
class Smoothness:
    """The total variation, see ``total_variation``. Raises NSTError for an unknown kind.

    Attributes:
      chroma: how many times as strong differences of colour are in it, a scalar.
      visible: how much each pixel counts, [H, W], 0 to 1; None for alike.
      kind: which one.
      wrap: whether the image is to tile, and differences are taken across its border too.
    """

    chroma: Array
    visible: Array | None = None
    kind: TvKind = flax.struct.field(pytree_node=False, default="squares")
    wrap: bool = flax.struct.field(pytree_node=False, default=False)
    name: ClassVar[str] = "tv"
    taps: ClassVar[Sequence[tuple[str, ...]]] = ()

    def __post_init__(self) -> None:
        check_choice("kind of total variation", self.kind, TV_KINDS)

    def statistics(self, seen: Sequence[Seen]) -> Variation:
        """The differences between neighbours, and the number of values."""
        image, visible, part = seen[0].image, seen_of(self.visible, seen[0]), seen[0].part
        if self.kind not in SQUARED:
            return variation_sums(strong_chroma(image, self.chroma), self.kind, self.wrap, visible, part)
        (light, colour), values = rough_sums(image, self.wrap, visible, part, self.kind)  # ``Excess`` has them too
        return Variation(light + jnp.square(self.chroma) * colour, values[0])

    def along(self, put: Put) -> Smoothness:
        """The same with what ``put`` makes of ``visible``."""
        return self if self.visible is None else dataclasses.replace(self, visible=put(self.visible, 0, None, 0))

    def value(self, sums: Variation) -> Array:
        """The total variation."""
        return variation_value(sums)


def rough_sums(
    image: Float[Array, "h w 3"],
    wrap: bool = False,
    visible: Float[Array, "h w"] | None = None,
    part: Part | None = None,
    kind: TvKind = "neighbours",
) -> Variation:
    """``variation_sums`` of light and of colour, [2] each, of a kind of ``SQUARED``.

    Light is the mean of each pixel's three values, three times, and colour is the rest of the pixel. They are at right
    angles: so their squared differences add up to the image's, and those of light are three times those of the mean.
    """
    every, mean = (variation_sums(each, kind, wrap, visible, part) for each in (image, image.mean(-1, keepdims=True)))
    light = 3 * mean.differences
    return Variation(jnp.stack([light, every.differences - light]), jnp.stack([every.values, every.values]))


@jax.jit
def _roughness(painting: Float[Array, "h w 3"], counts: Float[Array, "h w"] | None) -> Float[Array, " parts"]:
    """The total variation of a painting's light and of its colour, of what of it counts, as one program."""
    return variation_value(rough_sums(painting, visible=counts))


@flax.struct.dataclass
class Excess:
    """How much rougher an image is than the painting: Σ max(0, V / V′ − 1)² over light and colour.

    V is the total variation of kind "neighbours", V′ the painting's. What is no rougher than the painting costs
    nothing: so brush strokes stay, and a smooth painting gets no grain.

    Attributes:
      limits: V′ of light and of colour, [2].
      visible, wrap: as ``Smoothness`` has them.
    """

    limits: Array
    visible: Array | None = None
    wrap: bool = flax.struct.field(pytree_node=False, default=False)
    name: ClassVar[str] = "excess"
    taps: ClassVar[Sequence[tuple[str, ...]]] = ()

    @classmethod
    def of(
        cls,
        paintings: Sequence[Array],
        visible: Array | None = None,
        wrap: bool = False,
        blend: Sequence[float] = (),
        parts: Sequence[Array | None] = (),
    ) -> Excess:
        """The term of paintings, [h, w, 3] each: the limits are the means of theirs, or ``SMALL_STEP`` squared.

        ``blend`` has the weight of each painting, and ``parts`` how much each of its pixels counts, [h, w], or None;
        without them all count alike.
        """
        given = zip(paintings, parts or [None] * len(paintings), strict=True)
        own = jnp.stack([_roughness(painting, part) for painting, part in given])
        mean = jnp.average(own, 0, jnp.asarray(blend, own.dtype) if blend else None)
        return cls(jnp.maximum(mean, SMALL_STEP**2), visible, wrap)

    def statistics(self, seen: Sequence[Seen]) -> Variation:
        """The differences of light and those of colour, [2], and the numbers of values."""
        return rough_sums(seen[0].image, self.wrap, seen_of(self.visible, seen[0]), seen[0].part)

    def along(self, put: Put) -> Excess:
        """The same with what ``put`` makes of ``visible``."""
        return self if self.visible is None else dataclasses.replace(self, visible=put(self.visible, 0, None, 0))

    def value(self, sums: Variation) -> Array:
        """How far both are beyond their limits."""
        ratios = variation_value(sums) / self.limits
        return jnp.sum(jnp.square(jnp.maximum(ratios - 1, 0)))


def seen_of(visible: Float[Array, "_h _w"] | None, seen: Seen) -> Float[Array, "h w"] | None:
    """How much each of the pixels counts that are seen."""
    return None if visible is None else seen.cut(visible)


class Outside(NamedTuple):
    """What ``Range`` needs to know: Σ of the squared distances from [0, 1], and the number of values."""

    squares: Array
    values: Array


@flax.struct.dataclass
class Range:
    """How far values are beyond [0, 1], see ``outside``: keeps L-BFGS, which cannot be clamped, near it."""

    name: ClassVar[str] = "range"
    taps: ClassVar[Sequence[tuple[str, ...]]] = ()

    def statistics(self, seen: Sequence[Seen]) -> Outside:
        """The sum of the squared distances."""
        image, own = seen[0].image, seen[0].own()
        if own is None:
            return Outside(outside_sum(image), jnp.float32(image.size))
        return Outside(outside_sum(image, own), 3 * jnp.sum(own))

    def value(self, sums: Outside) -> Array:
        """Their mean."""
        return sums.squares / sums.values
