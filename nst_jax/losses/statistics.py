"""The statistics of a style: what of the responses at a layer adds up over positions, and what is made of the sums.

``Sums`` of the parts of a picture are added to those of the whole; ``Statistics``, which are compared, are theirs
divided by the number of positions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses import formulas
from nst_jax.losses.formulas import Metric
from nst_jax.losses.parts import Seen, halved
from nst_jax.losses.tiles import Tiles
from nst_jax.networks.vgg import Network, linear_map, once, responses


class Sums(NamedTuple):
    """What adds up over the positions of a layer; of R regions with their axis in front.

    Attributes:
      positions: their number, [].
      weights: Σ T_r² of the regions' guides, [R]; None without regions.
      first: Σ F or Σ T_r² F, [n] or [R, n]; None where only Gram matrices count.
      second: Σ F Fᵀ or Σ T_r² F Fᵀ, [n, n] or [R, n, n].
    """

    positions: Array
    weights: Array | None
    first: Array | None
    second: Array


class Statistics(NamedTuple):
    """A style at one layer; of R regions with their axis in front.

    Attributes:
      gram: the Gram matrix over its positions, G / M, [n, n] or [R, n, n]; it is the second moment of the responses.
      mean: their mean, [n] or [R, n]; None where Gram matrices alone count.
      moments: means and deviations of the N filters, [2, N] or [R, 2, N]; None likewise.
    """

    gram: Array
    mean: Array | None = None
    moments: Array | None = None


#: The statistics of a painting: at each of its sizes, the full one and that halved once, twice, …, by layer.
StyleTargets = tuple[dict[str, Statistics], ...]


def sums_of(
    response: Float[Array, "h w n"],
    guides: Float[Array, "r h w"] | None,
    moments: bool,
    own: Float[Array, "h w"] | None = None,
) -> Sums:
    """The sums of the responses at a layer, of each region where there are guides; the first too if ``moments``.

    ``own`` is 1 where a position counts and 0 where it does not; None for everywhere.
    """
    positions = jnp.float32(response.shape[0] * response.shape[1])
    if own is not None:
        positions = jnp.sum(own)
        response = response * own[..., None].astype(response.dtype)
        guides = None if guides is None else guides * own
    first = formulas.sums(response, guides) if moments else None
    if guides is None:
        return Sums(positions, None, first, formulas.correlations(response))
    return Sums(positions, jnp.sum(guides**2, (1, 2)), first, formulas.correlations(guides[..., None] * response))


def statistics_of(sums: Sums, metric: Metric | None) -> Statistics:
    """The statistics of a layer from its sums; means and deviations where there are first ones."""
    gram, weights = sums.second / sums.positions, sums.positions
    if sums.weights is not None:
        weights = sums.weights[:, None]
        gram /= (sums.weights / sums.positions)[:, None, None]
    if sums.first is None:
        return Statistics(gram)
    mean = sums.first / weights
    return Statistics(gram, mean, formulas.moments_of(mean, gram, metric))


def content_targets(
    net: Network, photograph: Float[Array, "h w 3"], taps: Sequence[str], tiles: Tiles | None = None
) -> dict[str, Array]:
    """P^l, the photograph's responses, at each of ``taps``."""
    if not taps:
        return {}
    see = tiles.responses if tiles else jax.jit(responses, static_argnums=2)
    return see(once(net), photograph, tuple(taps))


def of_paintings(net: Network, tileable: bool) -> Network:
    """The network as it sees paintings: where the image tiles and a painting does not, its border mirrors it."""
    return dataclasses.replace(net, padding="reflect") if tileable else net


def halved_guides(guides: Mapping[str, Array]) -> dict[str, Array]:
    """The guides of each layer, [R, H', W'], as ``halved`` makes pictures: [R, H'//2, W'//2].

    A region in the last row or column alone, which an odd size drops, stays at the border.
    """
    return {tap: _halved_guide(each) for tap, each in guides.items()}


def _halved_guide(guide: Float[Array, "r h w"]) -> Float[Array, "r h//2 w//2"]:
    small = halved(guide[..., None])[..., 0]
    if not any(side % 2 for side in guide.shape[1:]):
        return small
    found: Array = jnp.where(small.any((1, 2), keepdims=True), small, jax.image.resize(guide, small.shape, "linear"))
    return found


@flax.struct.dataclass
class Painting:
    """What adds up over positions of a painting, at each of its sizes.

    Attributes:
      network: which sees it.
      guides: of each size, [R, H', W'] at each layer; empty for no regions.
      layers: at which it is looked at.
      moments: whether means count.
    """

    network: Network
    guides: tuple[Mapping[str, Array], ...]
    layers: tuple[str, ...] = flax.struct.field(pytree_node=False)
    moments: bool = flax.struct.field(pytree_node=False)

    @property
    def taps(self) -> list[tuple[str, ...]]:
        """The layers at each size."""
        return [self.layers] * len(self.guides)

    def of(self, seen: Sequence[Seen]) -> tuple[dict[str, Sums], ...]:
        """The sums at each size and layer."""
        return tuple(
            {tap: seen_sums(each, tap, guides.get(tap), self.moments) for tap in self.layers}
            for each, guides in zip(seen, self.guides, strict=True)
        )

    def statistics(self, image: Float[Array, "h w 3"]) -> tuple[dict[str, Sums], ...]:
        """Those of the whole painting."""
        seen = []
        for octave, taps in enumerate(self.taps):
            image = halved(image) if octave else image
            seen.append(Seen(image, responses(self.network, image, taps) if taps else {}))
        return self.of(seen)


def seen_sums(seen: Seen, tap: str, guides: Float[Array, "r _h _w"] | None, moments: bool) -> Sums:
    """``sums_of`` what is seen at a layer; ``guides`` are over all of the picture's positions."""
    guides = None if guides is None else seen.cut(guides, tap, axis=1)
    return sums_of(seen.responses[tap], guides, moments, seen.own(tap))


def style_targets(
    net: Network,
    painting: Float[Array, "h w 3"],
    taps: tuple[str, ...],
    moments: bool = False,
    guides: Mapping[str, Array] | None = None,
    octaves: int = 1,
    tiles: Tiles | None = None,
) -> StyleTargets:
    """The statistics of a painting at each of ``taps``: its own, and those of the painting halved, for each octave.

    Means and deviations are there where ``moments`` are wanted. With ``guides``, [R, H', W'] at each of ``taps``, they
    are those of each region of the painting, [R, …]. With ``tiles`` it is looked at tile by tile.
    """
    regions = [dict(guides or {})]
    for _ in range(octaves - 1):
        regions.append(halved_guides(regions[-1]))
    what = Painting(once(net), tuple(regions), taps, moments)
    sums = tiles.statistics(what, painting) if tiles else None
    found: StyleTargets = _made(what, None if tiles else painting, sums)
    return found


@jax.jit
def _made(
    what: Painting, painting: Float[Array, "h w 3"] | None, sums: tuple[dict[str, Sums], ...] | None
) -> StyleTargets:
    """A painting's statistics, from its pixels or from its sums."""
    metrics = metrics_of(what.network, what.layers)
    if painting is not None:
        sums = what.statistics(painting)
    assert sums is not None, "either of the two is given"
    return tuple({tap: statistics_of(known, metrics.get(tap)) for tap, known in each.items()} for each in sums)


def metrics_of(net: Network, taps: Iterable[str]) -> dict[str, Metric]:
    """The metric of each of ``taps`` that stands for a wider layer."""
    maps = {tap: map for tap in taps if (map := linear_map(net, tap)) is not None}
    return _metrics(maps) if maps else {}


@jax.jit
def _metrics(maps: dict[str, Array]) -> dict[str, Metric]:
    return {tap: Metric(jnp.matmul(map, map.T, precision=jax.lax.Precision.HIGHEST), map) for tap, map in maps.items()}


@jax.jit
def blended(targets: Sequence[StyleTargets], blend: Float[Array, " paintings"]) -> StyleTargets:
    """The mean of several paintings' ``style_targets``, weighted by ``blend``."""

    def mean(*each: Array) -> Array:
        return formulas.sum_of(weight * array for weight, array in zip(blend, each, strict=True)) / jnp.sum(blend)

    found: StyleTargets = jax.tree.map(mean, *targets)
    return found
