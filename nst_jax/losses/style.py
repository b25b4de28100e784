"""The style term of the objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import Convention
from nst_jax.losses import formulas, statistics, wasserstein
from nst_jax.losses.formulas import Metric
from nst_jax.losses.statistics import Statistics, StyleTargets, Sums
from nst_jax.losses.terms import Seen, as_scalars, unit_of
from nst_jax.networks.vgg import Network

#: What is added to the diagonals of covariances, in the square of torchvision's unit of responses.
RIDGE = 1e-4


class Spread(NamedTuple):
    """A painting's covariance at a layer, [n, n] or [R, n, n], with the ridge on its diagonal, and its root."""

    covariance: Array
    root: Array


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
      spreads: with the convention "wasserstein" the painting's covariances, as ``targets``; else empty.
      factors: then F of each layer that stands for a wider one, see ``wasserstein``.
      convention: the loss's constants, see ``formulas``.
    """

    targets: StyleTargets
    weights: dict[str, Array]
    moments: Array
    guides: tuple[dict[str, Array], ...]
    regions: Array | None
    metrics: dict[str, Metric]
    unit: Array
    spreads: tuple[dict[str, Spread], ...]
    factors: dict[str, Array]
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

        Raises NSTError for an unknown convention.
        """
        octaves = [dict(guides or {})]
        for _ in targets[1:]:
            octaves.append(statistics.halved_guides(octaves[-1]))
        metrics, factors = statistics.metrics_of(net, layers), {}
        if convention == "wasserstein":
            factors = {tap: jnp.linalg.cholesky(metric.matrix) for tap, metric in metrics.items()}
        style = cls(
            targets,
            as_scalars(layers),
            jnp.float32(moments),
            tuple(octaves),
            regions,
            metrics,
            unit_of(net, convention),
            (),
            factors,
            convention,
        )
        return style.towards(targets)

    def towards(self, targets: StyleTargets) -> Style:
        """The same with another painting's statistics."""
        if self.convention != "wasserstein":
            return dataclasses.replace(self, targets=targets)
        spreads = tuple({tap: self.spread(tap, found) for tap, found in octave.items()} for octave in targets)
        return dataclasses.replace(self, targets=targets, spreads=spreads)

    def spread(self, tap: str, found: Statistics) -> Spread:
        """The covariance of a layer from its statistics, in the layer's own space, and its root."""
        covariance = wasserstein.covariance(*self.own_space(tap, found), RIDGE * self.unit)
        return Spread(covariance, wasserstein.root_of(covariance))

    def own_space(self, tap: str, found: Statistics) -> tuple[Array, Array]:
        """Mean and second moment of a layer, of one that stands for a wider one mapped by Fᵀ."""
        assert found.mean is not None, "a distribution has a mean: style_targets(..., moments=True)"
        factor = self.factors.get(tap)
        if factor is None:
            return found.mean, found.gram
        return found.mean @ factor, factor.T @ found.gram @ factor

    @property
    def taps(self) -> Sequence[tuple[str, ...]]:
        """The style layers, at each size."""
        return [tuple(each) for each in self.targets]

    def statistics(self, seen: Sequence[Seen]) -> tuple[dict[str, Sums], ...]:
        """The sums of each layer at each size."""
        return tuple(
            {
                tap: statistics.sums_of(octave.responses[tap], guides.get(tap), target.mean is not None)
                for tap, target in targets.items()
            }
            for octave, targets, guides in zip(seen, self.targets, self.guides, strict=False)
        )

    def value(self, sums: tuple[dict[str, Sums], ...]) -> Array:
        """Σ w_l E_l with the means and deviations where those count."""
        total = jnp.float32(0)
        shares = [0.25**octave for octave in range(len(self.targets))]  # of its pixels
        for octave, share in enumerate(shares):
            for tap, weight in self.weights.items():
                found = statistics.statistics_of(sums[octave][tap], self.metrics.get(tap))
                total += share * weight * self.compared(tap, found, octave)
        mean: Array = total / sum(shares) / self.unit
        return mean

    def compared(self, tap: str, found: Statistics, octave: int = 0) -> Array:
        """How far a layer's statistics are from the painting's: E_l; of regions Σ_r λ_r E_lr."""
        wanted = self.targets[octave][tap]
        spread = self.spreads[octave][tap] if self.spreads else None
        if self.regions is None:
            return self.distance(tap, found, wanted, spread)
        each = []
        for region in range(len(self.regions)):
            three = jax.tree.map(lambda array: array[region], (found, wanted, spread))  # noqa: B023
            each.append(self.distance(tap, *three))
        mean: Array = jnp.vdot(self.regions, jnp.stack(each))
        return mean

    def distance(self, tap: str, found: Statistics, wanted: Statistics, spread: Spread | None) -> Array:
        """How far one style's statistics are from another's."""
        metric = self.metrics.get(tap)
        if spread is not None:
            target, _ = self.own_space(tap, wanted)
            squared = wasserstein.distance(*self.own_space(tap, found), target, *spread, RIDGE * self.unit)
            per_filter: Array = squared / (metric.channels if metric else len(target))
            return per_filter
        loss = formulas.style_loss(found.gram, wanted.gram, self.convention, metric)
        if found.moments is not None and wanted.moments is not None:
            loss += self.moments * formulas.moments_loss(found.moments, wanted.moments, self.convention)
        return loss

    def silent_value(self) -> Array:
        """The term, without deviations, at the full size, for an image to which no filter responds."""
        each = (
            self.weights[tap] * self.compared(tap, jax.tree.map(jnp.zeros_like, target._replace(moments=None)))
            for tap, target in self.targets[0].items()
        )
        total: Array = formulas.sum_of(each) / self.unit
        return total
