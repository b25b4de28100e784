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
from nst_jax.losses.parts import Put, Seen
from nst_jax.losses.statistics import Statistics, StyleTargets, Sums
from nst_jax.losses.terms import as_scalars, unit_of
from nst_jax.losses.wasserstein import EPSILON, Target
from nst_jax.networks.vgg import Network

#: ``wasserstein.target``, and that of each of several regions, each compiled once for all paintings.
_target = jax.jit(wasserstein.target)
_targets = jax.jit(jax.vmap(wasserstein.target, (0, 0, None, None)))


class Few(NamedTuple):
    """What is known of a layer with fewer positions than filters, where distributions count: all its responses.

    They are less than the sums over them, and a matrix over the positions is smaller than one over the filters. Of the
    parts of a picture they stand side by side instead of being added, and so do the guides there, [R, H', W'].
    """

    responses: Array
    guides: Array | None


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
      gaussians: with the convention "wasserstein" what is compared with, made of ``targets``; else empty.
      convention: the loss's constants, see ``formulas``.
    """

    targets: StyleTargets
    weights: dict[str, Array]
    moments: Array
    guides: tuple[dict[str, Array], ...]
    regions: Array | None
    metrics: dict[str, Metric]
    unit: Array
    gaussians: tuple[dict[str, Target], ...]
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
        style = cls(
            targets,
            as_scalars(layers),
            jnp.float32(moments),
            tuple(octaves),
            regions,
            statistics.metrics_of(net, layers),
            unit_of(net, convention),
            (),
            convention,
        )
        return style.towards(targets)

    def towards(self, targets: StyleTargets) -> Style:
        """The same with another painting's statistics."""
        if self.convention != "wasserstein":
            return dataclasses.replace(self, targets=targets)
        gaussians = tuple({tap: self.gaussian(tap, found) for tap, found in octave.items()} for octave in targets)
        return dataclasses.replace(self, targets=targets, gaussians=gaussians)

    def gaussian(self, tap: str, found: Statistics) -> Target:
        """What a layer's distribution is compared with; of regions each one's, with their axis in front."""
        assert found.mean is not None, "a distribution has a mean: style_targets(..., moments=True)"
        across = self.metrics[tap].map if tap in self.metrics else None
        make = _target if self.regions is None else _targets
        target: Target = make(found.mean, found.gram, across, EPSILON * self.unit)
        return target

    @property
    def taps(self) -> Sequence[tuple[str, ...]]:
        """The style layers, at each size."""
        return [tuple(each) for each in self.targets]

    def statistics(self, seen: Sequence[Seen]) -> tuple[dict[str, Sums | Few], ...]:
        """The sums of each layer at each size; of one with few positions its responses."""
        return tuple(
            {tap: self.known(octave, tap, guides.get(tap), target.mean is not None) for tap, target in targets.items()}
            for octave, targets, guides in zip(seen, self.targets, self.guides, strict=False)
        )

    def known(self, seen: Seen, tap: str, guides: Array | None, moments: bool) -> Sums | Few:
        """What is known of one layer."""
        height, width, filters = seen.whole(tap)
        if self.convention == "wasserstein" and height * width < filters:
            laid = seen.laid(seen.responses[tap], tap)
            laid = laid.astype(jnp.promote_types(laid.dtype, jnp.float32))  # as all that is summed over tiles
            if guides is None:
                return Few(laid, None)
            shown = jnp.moveaxis(seen.cut(guides, tap, axis=1), 0, -1)
            return Few(laid, jnp.moveaxis(seen.laid(shown, tap), -1, 0))
        return statistics.seen_sums(seen, tap, guides, moments)

    def value(self, sums: tuple[dict[str, Sums | Few], ...]) -> Array:
        """Σ w_l E_l with the means and deviations where those count."""
        total = jnp.float32(0)
        shares = [0.25**octave for octave in range(len(self.targets))]  # of its pixels
        for octave, share in enumerate(shares):
            for tap, weight in self.weights.items():
                known = sums[octave][tap]
                found = known if isinstance(known, Few) else statistics.statistics_of(known, self.metrics.get(tap))
                total += share * weight * self.compared(tap, found, octave)
        mean: Array = total / sum(shares) / self.unit
        return mean

    def compared(self, tap: str, found: Statistics | Few, octave: int = 0) -> Array:
        """How far a layer is from the painting's: E_l; of regions Σ_r λ_r E_lr."""
        wanted = self.targets[octave][tap]
        gaussian = self.gaussians[octave][tap] if self.gaussians else None
        if self.regions is None:
            return self.distance(tap, found, wanted, gaussian)
        each = []
        for region in range(len(self.regions)):
            other, third = jax.tree.map(lambda array: array[region], (wanted, gaussian))  # noqa: B023
            if isinstance(found, Few):
                assert found.guides is not None, "regions have guides"
                seen: Statistics | Few = Few(found.responses, found.guides[region])
            else:
                seen = jax.tree.map(lambda array: array[region], found)  # noqa: B023
            each.append(self.distance(tap, seen, other, third))
        mean: Array = jnp.vdot(self.regions, jnp.stack(each))
        return mean

    def distance(
        self,
        tap: str,
        found: Statistics | Few,
        wanted: Statistics,
        gaussian: Target | None,
    ) -> Array:
        """How far one style is from another at a layer."""
        if gaussian is not None:
            if isinstance(found, Few):
                return wasserstein.distance_of_few(found.responses, gaussian, found.guides)
            assert found.mean is not None, "a distribution has a mean"
            return wasserstein.distance(found.mean, found.gram, gaussian)
        assert isinstance(found, Statistics), "few positions are for distributions"
        loss = formulas.style_loss(found.gram, wanted.gram, self.convention, self.metrics.get(tap))
        if found.moments is not None and wanted.moments is not None:
            loss += self.moments * formulas.moments_loss(found.moments, wanted.moments, self.convention)
        return loss

    def along(self, put: Put) -> Style:
        """The same with what ``put`` makes of the guides."""
        guides = tuple(
            {tap: put(guide, octave, tap, 1) for tap, guide in each.items()} for octave, each in enumerate(self.guides)
        )
        return dataclasses.replace(self, guides=guides)

    def silent_value(self) -> Array:
        """The term, without deviations, at the full size, for an image to which no filter responds."""
        each = (
            self.weights[tap] * self.compared(tap, jax.tree.map(jnp.zeros_like, target._replace(moments=None)))
            for tap, target in self.targets[0].items()
        )
        total: Array = formulas.sum_of(each) / self.unit
        return total
