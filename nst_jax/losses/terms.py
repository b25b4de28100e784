"""The content term of the objective, and what any other must be; ``style`` and ``pixels`` have more.

A term is a pytree, so that all its numbers may vary under ``vmap`` and compile nothing anew. It works in two halves:

- ``statistics`` of what it sees of the image, which *add up over positions*: those of two halves of a picture, added,
  are the whole picture's. Whatever holds a picture in parts needs no more of it than these sums;
- ``value``, a function of the statistics alone: how far they are from what is wanted, a scalar.

Another term is one more class like these; the objective, runs, lanes and the memory plan take it as it is. One that
holds arrays of the picture's shape may have ``along(put)``, the same term with ``put(array, octave, tap, axis)`` in
their place: then devices that share a picture each hold their rows of them, where they would hold the whole.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import CONVENTIONS, Convention, check_choice
from nst_jax.losses import formulas, statistics
from nst_jax.losses.formulas import Metric
from nst_jax.losses.parts import Put
from nst_jax.losses.parts import Seen as Seen
from nst_jax.losses.tiles import Tiles
from nst_jax.networks.vgg import Network

#: The mean deviation of torchvision's preprocessing: Crowson's constants are for responses to pictures of that unit.
UNIT = 0.226

S = TypeVar("S")


@runtime_checkable
class Term(Protocol[S]):
    """One term of an objective; see the module."""

    @property
    def name(self) -> str:
        """What its value is called among the losses; no other term's."""

    @property
    def taps(self) -> Sequence[tuple[str, ...]]:
        """The layers that it asks for at the full size, at half the size, …; () for none but the image."""

    def statistics(self, seen: Sequence[Seen]) -> S:
        """What it needs to know of the image: sums over positions."""

    def value(self, sums: S) -> Array:
        """The term, a scalar, not weighted."""


@flax.struct.dataclass
class Content:
    """L_content: Σ w_l times how far the responses at layer l are from the photograph's (2015, equation 1).

    Attributes:
      targets: P at each layer, [H', W', n].
      scales: what the squared distances are divided by, see ``formulas.content_scale``.
      weights: w_l, scalars; 0 switches a layer off.
      silents: L_l of an image to which no filter responds, where all positions count alike.
      guides: how much each position counts, [H', W'], 0 to 1; empty for alike.
      metrics: of the layers that stand for wider ones; empty for VGG-16 and VGG-19.
    """

    targets: dict[str, Array]
    scales: dict[str, Array]
    silents: dict[str, Array]
    weights: dict[str, Array]
    guides: dict[str, Array]
    metrics: dict[str, Metric]
    name: ClassVar[str] = "content"

    @classmethod
    def of(
        cls,
        net: Network,
        photograph: Float[Array, "h w 3"] | None,
        layers: Mapping[str, float],
        convention: Convention = "gatys2015",
        guides: Mapping[str, Array] | None = None,
        tiles: Tiles | None = None,
    ) -> Content:
        """The content of a photograph, RGB in [0, 1], at ``layers``, each with its w_l; without layers there is none.

        With ``tiles`` it is looked at tile by tile. Raises NSTError for an unknown layer or convention.
        """
        metrics, guides = statistics.metrics_of(net, layers), dict(guides or {})
        targets = {} if photograph is None else statistics.content_targets(net, photograph, tuple(layers), tiles)
        unit = unit_of(net, convention)
        scales = {
            tap: unit * formulas.content_scale(target, convention, metrics.get(tap), guides.get(tap))
            for tap, target in targets.items()
        }
        silents = {tap: _silent(target, convention, metrics.get(tap)) / unit for tap, target in targets.items()}
        return cls(targets, scales, silents, as_scalars(layers), guides, metrics)

    @property
    def taps(self) -> Sequence[tuple[str, ...]]:
        """The content layers."""
        return (tuple(self.targets),)

    def statistics(self, seen: Sequence[Seen]) -> dict[str, Array]:
        """Σ (F − P)² at each layer."""
        return {
            tap: formulas.content_distance(
                seen[0].responses[tap],
                seen[0].cut(target, tap),
                self.metrics.get(tap),
                seen[0].counts(self.guides.get(tap), tap),
            )
            for tap, target in self.targets.items()
        }

    def value(self, sums: dict[str, Array]) -> Array:
        """Σ w_l L_l."""
        return formulas.sum_of(
            weight * formulas.content_value(sums[tap], self.scales[tap]) for tap, weight in self.weights.items()
        )

    def along(self, put: Put) -> Content:
        """The same with what ``put`` makes of the targets and the guides."""
        targets, guides = (
            {tap: put(array, 0, tap, 0) for tap, array in each.items()} for each in (self.targets, self.guides)
        )
        return dataclasses.replace(self, targets=targets, guides=guides)

    def silent_value(self) -> Array:
        """The term for an image to which no filter responds, where all positions count alike."""
        return formulas.sum_of(weight * self.silents[tap] for tap, weight in self.weights.items())


@functools.partial(jax.jit, static_argnames="convention")
def _silent(target: Float[Array, "h w n"], convention: Convention, metric: Metric | None) -> Float[Array, ""]:
    """The content loss of responses that are 0, as one program."""
    return formulas.content_loss(jnp.zeros_like(target), target, convention, metric)


def as_scalars(weights: Mapping[str, float]) -> dict[str, Array]:
    """Weights of layers as leaves."""
    return {tap: jnp.float32(weight) for tap, weight in weights.items()}


def unit_of(net: Network, convention: Convention) -> Array:
    """The square of the unit in which responses are compared: 1, or with Crowson's constants torchvision's unit.

    Responses of layers that stand for VGG-19's are in the unit of its published filters. Raises NSTError for an unknown
    convention.
    """
    check_choice("convention", convention, CONVENTIONS)
    if convention not in ("crowson", "wasserstein"):
        one: Array = jnp.float32(1)
        return one
    stands_in = any("map" in parts for parts in net.params.values())
    return jnp.square(UNIT * (jnp.float32(255) if stands_in else jnp.mean(net.range / net.std)))
