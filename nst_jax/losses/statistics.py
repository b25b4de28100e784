"""What an image is held against: the photograph's responses, and the paintings' Gram matrices, means and deviations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses import formulas
from nst_jax.losses.formulas import Metric
from nst_jax.networks.vgg import Network, linear_map, once, responses

#: A style at one layer: its Gram matrix, and its means and deviations or None; of regions with their axis in front.
Statistics = tuple[Array, Array | None]
#: What ``style_targets`` gives, by the names of ``Objective``'s fields.
Targets = dict[str, Any]


def content_targets(net: Network, photograph: Float[Array, "h w 3"] | None, taps: Sequence[str]) -> dict[str, Array]:
    """P^l, the photograph's responses, at each of ``taps``."""
    return jax.jit(responses, static_argnums=2)(once(net), photograph, tuple(taps)) if taps else {}


def of_paintings(net: Network, tileable: bool) -> Network:
    """The network as it sees paintings: where the image tiles and a painting does not, its border mirrors it."""
    return dataclasses.replace(net, padding="reflect") if tileable else net


def statistics_of(
    response: Float[Array, "h w n"], metric: Metric | None, guides: Float[Array, "r h w"] | None, moments: bool
) -> Statistics:
    """The Gram matrix of the responses at a layer, of each region where there are guides, and the moments if wanted."""
    grams = formulas.gram(response) if guides is None else formulas.guided_gram(response, guides)
    return grams, formulas.moments(response, grams, metric, guides) if moments else None


def halved(image: Float[Array, "*b h w c"]) -> Float[Array, "*b h//2 w//2 c"]:
    """The means of 2×2 pixels; an odd last row or column is dropped."""
    height, width, channels = image.shape[-3:]
    even = image[..., : height // 2 * 2, : width // 2 * 2, :]
    return even.reshape(*image.shape[:-3], height // 2, 2, width // 2, 2, channels).mean((-4, -2))


def halved_guides(guides: Mapping[str, Array]) -> dict[str, Array]:
    """The guides of each layer, [R, H', W'], as ``halved`` makes pictures: [R, H'//2, W'//2]."""
    return {tap: halved(each[..., None])[..., 0] for tap, each in guides.items()}


@jax.jit(static_argnames=("taps", "moments", "octaves"))
def style_targets(
    net: Network,
    painting: Float[Array, "h w 3"],
    taps: tuple[str, ...],
    moments: bool = False,
    guides: Mapping[str, Array] | None = None,
    octaves: int = 1,
) -> Targets:
    """What ``Objective`` wants of a painting at each of ``taps``, under the names of its fields.

    Its Gram matrices over their positions, A^l / M^l, and where ``moments`` are wanted its means and deviations; and
    those of the painting halved, for each of the other ``octaves``. With ``guides``, [R, H', W'] at each of ``taps``,
    those of each region of the painting, [R, …].
    """
    metrics = metrics_of(net, taps)
    found: list[Targets] = []
    for octave in range(octaves):
        if octave:
            painting = halved(painting)
            guides = guides and halved_guides(guides)
        seen = responses(once(net), painting, taps) if taps else {}
        each = {
            tap: statistics_of(seen[tap], metrics.get(tap), guides[tap] if guides else None, moments) for tap in taps
        }
        grams = {tap: statistics[0] for tap, statistics in each.items()}
        found.append({"style_targets": grams, "moment_targets": {tap: each[tap][1] for tap in taps if moments}})
    return {**found[0], "coarser": tuple(found[1:])}


def metrics_of(net: Network, taps: Iterable[str]) -> dict[str, Metric]:
    """The metric of each of ``taps`` that stands for a wider layer."""
    maps = {tap: linear_map(net, tap) for tap in taps}
    return {tap: Metric(map @ map.T, map) for tap, map in maps.items() if map is not None}


@jax.jit
def blended(targets: Sequence[Targets], blend: Float[Array, " paintings"]) -> Any:
    """The mean of several paintings' ``style_targets``, weighted by ``blend``."""

    def mean(*each: Array) -> Array:
        return formulas.sum_of(weight * array for weight, array in zip(blend, each, strict=True)) / jnp.sum(blend)

    return jax.tree.map(mean, *targets)
