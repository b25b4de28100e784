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


class Few(NamedTuple):
    """What is known of a layer with fewer positions than filters, where distributions count: all its responses.

    They are less than the sums over them, and a matrix over the positions is smaller than one over the filters. Of the
    parts of a picture they stand side by side instead of being added, and so do the guides there, [R, H', W'].
    """

    responses: Array
    guides: Array | None


@jax.jit
def gaussians_of(targets: StyleTargets, maps: Mapping[str, Array], epsilon: Array) -> tuple[dict[str, Target], ...]:
    """What the distribution of each layer at each size is compared with; of regions each one's, their axis in front.

    One program for all paintings of a run. ``maps`` are those of layers that stand for wider ones.
    """
    found: list[tuple[Array, Array]] = []
    across: list[Array | None] = []
    for octave in targets:
        for tap, (gram, mean, _) in octave.items():
            assert mean is not None, "a distribution has a mean: style_targets(..., moments=True)"
            regions = [(mean, gram)] if mean.ndim == 1 else list(zip(mean, gram, strict=True))
            found += regions
            across += [maps.get(tap)] * len(regions)
    made = iter(wasserstein.targets(found, across, epsilon))

    def together(known: Statistics) -> Target:
        if known.gram.ndim == 2:
            return next(made)
        stacked: Target = jax.tree.map(lambda *each: jnp.stack(each), *(next(made) for _ in known.gram))
        return stacked

    return tuple({tap: together(known) for tap, known in octave.items()} for octave in targets)


class Side(NamedTuple):
    """A layer of a picture beside what it is compared with; of several regions with their axis in front.

    Attributes:
      found: what is known of the picture.
      wanted: the painting's statistics.
      gaussian: what is made of those where distributions count, else None.
      metric: of a layer that stands for a wider one, else None.
    """

    found: Statistics | Few
    wanted: Statistics
    gaussian: Target | None
    metric: Metric | None


def of_region(side: Side, region: int) -> Side:
    """That of one of several regions."""
    if isinstance(side.found, Few):
        assert side.found.guides is not None, "regions have guides"
        found: Statistics | Few = Few(side.found.responses, side.found.guides[region])
    else:
        found = jax.tree.map(lambda array: array[region], side.found)
    wanted, gaussian = jax.tree.map(lambda array: array[region], (side.wanted, side.gaussian))
    return Side(found, wanted, gaussian, side.metric)


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
        maps = {tap: metric.map for tap, metric in self.metrics.items()}
        gaussians = gaussians_of(targets, maps, EPSILON * self.unit)
        return dataclasses.replace(self, targets=targets, gaussians=gaussians)

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
        shares = [0.25**octave for octave in range(len(self.targets))]  # of its pixels
        found = [
            {
                tap: known if isinstance(known, Few) else statistics.statistics_of(known, self.metrics.get(tap))
                for tap, known in octave.items()
            }
            for octave in sums
        ]
        total = jnp.float32(0)
        for share, octave in zip(shares, self.compared(found), strict=True):
            for tap, weight in self.weights.items():
                total += share * weight * octave[tap]
        mean: Array = total / sum(shares) / self.unit
        return mean

    def compared(self, found: Sequence[Mapping[str, Statistics | Few]]) -> list[dict[str, Array]]:
        """How far each layer at each size is from the painting's: E_l; of regions Σ_r λ_r E_lr."""
        sides = [self.side(octave, tap, each[tap]) for octave, each in enumerate(found) for tap in each]
        if self.regions is None:
            values = iter(self.distances(sides))
        else:
            regions = range(len(self.regions))
            apart = iter(self.distances([of_region(side, region) for side in sides for region in regions]))
            values = (jnp.vdot(self.regions, jnp.stack([next(apart) for _ in regions])) for _ in sides)
        return [{tap: next(values) for tap in each} for each in found]

    def side(self, octave: int, tap: str, found: Statistics | Few) -> Side:
        """A layer beside what it is compared with."""
        gaussian = self.gaussians[octave][tap] if self.gaussians else None
        return Side(found, self.targets[octave][tap], gaussian, self.metrics.get(tap))

    def distances(self, sides: Sequence[Side]) -> list[Array]:
        """How far one style is from another at each layer: distributions by their moments side by side."""
        moments, gaussians, others = [], [], {}
        for number, side in enumerate(sides):
            found, gaussian = side.found, side.gaussian
            if gaussian is None or isinstance(found, Few):
                others[number] = self.distance(side)
                continue
            assert found.mean is not None, "a distribution has a mean"
            moments.append((found.mean, found.gram))
            gaussians.append(gaussian)
        joined = iter(wasserstein.distances(moments, gaussians))
        return [others[number] if number in others else next(joined) for number in range(len(sides))]

    def distance(self, side: Side) -> Array:
        """That of one layer by itself: a distribution at few positions, or Gram matrices."""
        found, wanted, gaussian, metric = side
        if isinstance(found, Few):
            assert gaussian is not None, "few positions are for distributions"
            return wasserstein.distance_of_few(found.responses, gaussian, found.guides)
        loss = formulas.style_loss(found.gram, wanted.gram, self.convention, metric)
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
        layers = self.targets[0].items()
        silent = {tap: jax.tree.map(jnp.zeros_like, target._replace(moments=None)) for tap, target in layers}
        each = self.compared([silent])[0]
        total: Array = formulas.sum_of(self.weights[tap] * each[tap] for tap in each) / self.unit
        return total
