"""The terms of the objective: content and style, and what any other term must be (``pixels`` has two more).

A term is a pytree, so that all its numbers may vary under ``vmap`` and compile nothing anew. It works in two halves:

- ``statistics`` of what it sees of the image, which *add up over positions*: those of two halves of a picture, added,
  are the whole picture's. Whatever holds a picture in parts needs no more of it than these sums;
- ``value``, a function of the statistics alone: how far they are from what is wanted, a scalar.

Another term is one more class like these; the objective, runs, lanes and the memory plan take it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import Convention
from nst_jax.losses import formulas, statistics
from nst_jax.losses.formulas import Metric
from nst_jax.losses.statistics import Statistics, StyleTargets, Sums
from nst_jax.networks.vgg import Network

#: The mean deviation of torchvision's preprocessing: Crowson's constants are for responses to pictures of that unit.
UNIT = 0.226

S = TypeVar("S")


class Seen(NamedTuple):
    """What a term sees of the image at one of its sizes: the full one, then that halved once, twice, ….

    Attributes:
      image: [H, W, 3].
      responses: of the network's own filters, [H', W', n], at the layers that some term asks for at this size.
    """

    image: Array
    responses: Mapping[str, Array]


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
      guides: how much each position counts, [H', W'], 0 to 1; empty for alike.
      metrics: of the layers that stand for wider ones; empty for VGG-16 and VGG-19.
    """

    targets: dict[str, Array]
    scales: dict[str, Array]
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
    ) -> Content:
        """The content of a photograph, RGB in [0, 1], at ``layers``, each with its w_l; without layers there is none.

        Raises NSTError for an unknown layer or convention.
        """
        metrics, guides = statistics.metrics_of(net, layers), dict(guides or {})
        targets = {} if photograph is None else statistics.content_targets(net, photograph, tuple(layers))
        unit = unit_of(net, convention)
        scales = {
            tap: unit * formulas.content_scale(target, convention, metrics.get(tap), guides.get(tap))
            for tap, target in targets.items()
        }
        return cls(targets, scales, as_scalars(layers), guides, metrics)

    @property
    def taps(self) -> Sequence[tuple[str, ...]]:
        """The content layers."""
        return (tuple(self.targets),)

    def statistics(self, seen: Sequence[Seen]) -> dict[str, Array]:
        """Σ (F − P)² at each layer."""
        return {
            tap: formulas.content_distance(seen[0].responses[tap], target, self.metrics.get(tap), self.guides.get(tap))
            for tap, target in self.targets.items()
        }

    def value(self, sums: dict[str, Array]) -> Array:
        """Σ w_l L_l."""
        return formulas.sum_of(
            weight * formulas.content_value(sums[tap], self.scales[tap]) for tap, weight in self.weights.items()
        )

    def silent(self) -> dict[str, Array]:
        """The statistics of an image to which no filter responds."""
        return {
            tap: formulas.content_distance(jnp.zeros_like(target), target, self.metrics.get(tap), self.guides.get(tap))
            for tap, target in self.targets.items()
        }


@flax.struct.dataclass
class Style:
    """L_style: Σ w_l E_l, the mean over the sizes by their pixels (2015, equation 5).

    With regions E_l is Σ_r λ_r E_lr (Gatys et al. 2017, equation 5). At half the size, at a quarter, … motifs that are
    larger than what the filters see keep their form.

    Attributes:
      targets: the painting's statistics at each size and layer.
      weights: w_l, scalars; 0 switches a layer off.
      moments: weight of the means and deviations beside the Gram matrices, a scalar.
      guides: T_r at each size and layer, [R, H', W'], not zero everywhere; empty for no regions.
      regions: λ_r, [R], or None.
      metrics: of the layers that stand for wider ones; empty for VGG-16 and VGG-19.
      unit: the square of the responses' unit, by which the loss is divided.
      convention: the loss's constants, see ``formulas``.
    """

    targets: StyleTargets
    weights: dict[str, Array]
    moments: Array
    guides: tuple[dict[str, Array], ...]
    regions: Array | None
    metrics: dict[str, Metric]
    unit: Array
    convention: Convention = flax.struct.field(pytree_node=False)
    name: ClassVar[str] = "style"

    @classmethod
    def of(
        cls,
        net: Network,
        targets: StyleTargets,
        layers: Mapping[str, float],
        convention: Convention = "gatys2015",
        moments: float = 0.0,
        guides: Mapping[str, Array] | None = None,
        regions: Float[Array, " r"] | None = None,
    ) -> Style:
        """The style whose ``statistics.style_targets`` are given, at ``layers``, each with its w_l.

        With ``guides`` of the full size and the ``regions``' λ_r, ``targets`` are those of each region.
        """
        octaves = [dict(guides or {})]
        for _ in targets[1:]:
            octaves.append(statistics.halved_guides(octaves[-1]))
        return cls(
            targets,
            as_scalars(layers),
            jnp.float32(moments),
            tuple(octaves),
            regions,
            statistics.metrics_of(net, layers),
            unit_of(net, convention),
            convention,
        )

    @property
    def taps(self) -> Sequence[tuple[str, ...]]:
        """The style layers, at each size."""
        return [tuple(each) for each in self.targets]

    def statistics(self, seen: Sequence[Seen]) -> tuple[dict[str, Sums], ...]:
        """The sums of each layer at each size."""
        return tuple(
            {
                tap: statistics.sums_of(octave.responses[tap], guides.get(tap), target.moments is not None)
                for tap, target in targets.items()
            }
            for octave, targets, guides in zip(seen, self.targets, self.guides, strict=False)
        )

    def value(self, sums: tuple[dict[str, Sums], ...]) -> Array:
        """Σ w_l E_l with the means and deviations where those count."""
        total = jnp.float32(0)
        shares = [0.25**octave for octave in range(len(self.targets))]  # of its pixels
        for share, targets, each in zip(shares, self.targets, sums, strict=True):
            for tap, weight in self.weights.items():
                found = statistics.statistics_of(each[tap], self.metrics.get(tap))
                total += share * weight * self.compared(found, targets[tap], self.metrics.get(tap))
        mean: Array = total / sum(shares) / self.unit
        return mean

    def compared(self, found: Statistics, wanted: Statistics, metric: Metric | None) -> Array:
        """How far a layer's statistics are from the painting's: E_l; of regions Σ_r λ_r E_lr."""
        if self.regions is None:
            return self.distance(found, wanted, metric)
        each = []
        for region in range(len(self.regions)):
            ours, theirs = jax.tree.map(lambda array: array[region], (found, wanted))  # noqa: B023
            each.append(self.distance(ours, theirs, metric))
        mean: Array = jnp.vdot(self.regions, jnp.stack(each))
        return mean

    def distance(self, found: Statistics, wanted: Statistics, metric: Metric | None) -> Array:
        """How far one style's statistics are from another's."""
        loss = formulas.style_loss(found.gram, wanted.gram, self.convention, metric)
        if found.moments is not None and wanted.moments is not None:
            loss += self.moments * formulas.moments_loss(found.moments, wanted.moments, self.convention)
        return loss

    def silent_value(self) -> Array:
        """The Gram matrices' part of the term, at the full size, for an image to which no filter responds."""
        each = (
            self.weights[tap]
            * self.compared(
                Statistics(jnp.zeros_like(target.gram), None), Statistics(target.gram, None), self.metrics.get(tap)
            )
            for tap, target in self.targets[0].items()
        )
        total: Array = formulas.sum_of(each) / self.unit
        return total


def as_scalars(weights: Mapping[str, float]) -> dict[str, Array]:
    """Weights of layers as leaves."""
    return {tap: jnp.float32(weight) for tap, weight in weights.items()}


def unit_of(net: Network, convention: Convention) -> Array:
    """The square of the unit in which responses are compared: 1, or for Crowson's constants torchvision's unit.

    Responses of layers that stand for VGG-19's are in the unit of its published filters.
    """
    if convention != "crowson":
        one: Array = jnp.float32(1)
        return one
    stands_in = any("map" in parts for parts in net.params.values())
    return jnp.square(UNIT * (jnp.float32(255) if stands_in else jnp.mean(net.range / net.std)))
