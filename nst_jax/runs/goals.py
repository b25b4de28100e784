"""The goals of a run: from its pictures and options to the objective at one size.

``Goals`` holds what is computed of the pictures; objectives are made of it for little, one for a run or one a lane.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nst_jax.choices import check_kind
from nst_jax.errors import NSTError
from nst_jax.losses import statistics
from nst_jax.losses.objective import Objective, Terms, objective, taps_of
from nst_jax.losses.pixels import Excess, Range, Smoothness
from nst_jax.losses.statistics import StyleTargets
from nst_jax.losses.style import Style
from nst_jax.losses.terms import Content, Term, as_scalars
from nst_jax.losses.tiles import Tiles
from nst_jax.networks.vgg import Network, once, prepared
from nst_jax.options.config import Complete
from nst_jax.pictures import masks
from nst_jax.pictures.images import Picture
from nst_jax.pictures.masks import Masks
from nst_jax.runs import finish, inputs, scales

#: How much the penalty of pixels beyond [0, 1] weighs, in ``unit_loss``. With it fewer than 0.5 % of the values
#: end beyond by more than 1/255, where without it 0.4 to 13 % do; 1000 leaves none, but L-BFGS gets less far.
RANGE_WEIGHT = 100.0


class Scene(NamedTuple):
    """What the objective at one size is made from.

    Attributes:
      network: which sees for all terms.
      size: (height, width) of the image.
      photograph: as the run sees it, [H, W, 3], or None.
      paintings: reduced as the result is, [h, w, 3] each; of a lane its own.
      config: the options, complete; of lanes what they have in common, with every layer that any of them uses.
    """

    network: Network
    size: tuple[int, int]
    photograph: jax.Array | None
    paintings: list[jax.Array]
    config: Complete


class Extra(NamedTuple):
    """One more term for a run: its weight, how it is made at each size, and the layers that it looks at.

    ``parts`` says that its ``statistics`` count own positions alone (``Seen.own``), so that a run may go tile by tile.
    In a sweep one is made for each painting; their leaves must agree in shape.
    """

    weight: float
    make: Callable[[Scene], Term[Any]]
    taps: tuple[str, ...] = ()
    parts: bool = False


def check_extras(more: Sequence[Extra]) -> None:
    """Raises NSTError unless these are further terms."""
    check_kind("more", more, Sequence, "a list of Extra")
    for extra in more:
        check_kind("one of more", extra, Extra, "an Extra")


def taps_of_extras(more: Sequence[Extra]) -> tuple[str, ...]:
    """The layers that further terms look at."""
    return tuple(dict.fromkeys(tap for extra in more for tap in extra.taps))


def loss_of(goal: Objective, image: jax.Array) -> tuple[jax.Array, Terms]:
    """What is lowered: the objective at an image. One function, so that one compiled program serves every picture."""
    return goal(image)


def exact(net: Network) -> Network:
    """The network by which the losses of a result are computed."""
    return once(dataclasses.replace(net, precision="float32"))


class Goals:
    """What the pictures ask of an image of one size."""

    def __init__(
        self,
        net: Network,
        photograph: Picture | None,
        paintings: Sequence[Picture],
        size: tuple[int, int],
        config: Complete,
        given: Sequence[Masks | None],
        more: Sequence[Extra] = (),
        toned: Sequence[np.ndarray | None] = (),
        tiles: Tiles | None = None,
    ) -> None:
        """Computes the targets.

        Args:
          net: the network.
          photograph, paintings: see ``inputs.Pictures``.
          size: (height, width) of the image.
          config: the options, with every layer that any objective made of this has.
          given: one entry for a run, whose paintings are one style; or one for each painting, each a style of its own.
          more: further terms.
          toned: the photograph as the run sees it in the paintings' colours, one or several ways; with
            ``content_colors`` "painting" the content is compared to one of those.
          tiles: how the pictures are gone through to make the targets; None for each at once.
        """
        self.tiles = tiles
        seen = None
        if photograph is not None:
            pixels = finish.resized(photograph.pixels, *size, config.tileable)
            seen = jnp.asarray(finish.as_painted(pixels, config))
        shown = [inputs.painting_at(painting, size, config) for painting in paintings]
        self.scene = Scene(net, size, seen, shown, config)
        mask = given[0]
        visible = None if mask is None or mask.visible is None else masks.mask_at(mask.visible, *size)
        self.styles = self.styles_of(given, visible)
        if config.content_colors == "painting" and toned and toned[0] is not None:
            others = (jnp.asarray(finish.resized(one, *size, config.tileable)) for one in toned if one is not None)
            self.contents = [self.content_of(other, visible) for other in others]
        else:
            self.contents = [self.content_of(seen, visible)] * max(1, len(toned))
        self.smoothness = Smoothness(jnp.float32(config.tv_chroma), on_device(visible), config.tv_kind, config.tileable)
        scenes = [self.scene._replace(paintings=[one]) for one in shown] if len(given) > 1 else [self.scene]
        self.excesses = []
        for number, each in enumerate(scenes if shown and config.tv_excess else []):
            blend = config.style_blend if len(scenes) == 1 else ()
            parts = on_device(masks.parts_at(given[number], each.paintings))
            self.excesses.append(Excess.of(each.paintings, on_device(visible), config.tileable, blend, parts))
        self.more = [[(extra.weight, extra.make(scene)) for extra in more] for scene in scenes]
        check_taps([term for _, term in self.more[0]], config)

    @functools.cached_property
    def sharp(self) -> Network:
        """The network as it sees an image of this size for all terms."""
        first = taps_of([self.contents[0], self.styles[0], *(term for _, term in self.more[0])])[0]
        return prepared(self.scene.network, first, *self.scene.size)

    def content_of(self, photograph: jax.Array | None, visible: np.ndarray | None) -> Content:
        """The content of a photograph [H, W, 3], of what is ``visible`` of it."""
        net, config = self.scene.network, self.scene.config
        layers = config.content_layer_weights
        guides = {} if visible is None else {tap: masks.carried(visible, net.name, tap) for tap in layers}
        return Content.of(net, photograph, layers, config.loss, on_device(guides), self.tiles)

    def styles_of(self, given: Sequence[Masks | None], visible: np.ndarray | None) -> list[Style]:
        """The style of all paintings together, or of each where each has masks, or None, of its own.

        λ_r is the region's share of what is visible of the picture: so every pixel of a region is drawn to its style
        as much as it would be without masks, and a small region is not painted stronger than a large one.
        """
        net, size, config = self.scene.network, self.scene.size, self.scene.config
        layers, mask = config.style_layer_weights, given[0]
        guides = shares = None
        if mask is not None:
            regions = [masks.mask_at(region, *size) for region in mask.regions]
            whole = np.prod(size) if visible is None else visible.sum()
            guides = on_device(masks.guides(regions, net.name, layers))
            shares = jnp.asarray([region.sum() / whole for region in regions], jnp.float32)
        apart = len(given) > 1
        parts = [each.parts[0] if each else None for each in given] if apart else mask and mask.parts
        found = self.targets_of(parts)
        if not apart:
            found = [self.together(found, regions=0 if mask is None else len(mask.regions))]
        one = Style.of(net, found[0], layers, config.loss, config.moments, guides, shares)
        return [one, *(one.towards(targets) for targets in found[1:])]

    def targets_of(self, parts: Sequence[np.ndarray | None] | None) -> list[StyleTargets]:
        """The statistics of each painting, or of its ``parts`` for each region."""
        net, size, paintings, config = self.scene.network, self.scene.size, self.scene.paintings, self.scene.config
        seeing, taps = statistics.of_paintings(net, config.tileable), tuple(config.style_layer_weights)
        sides = [painting.shape[:2] for painting in paintings]
        octaves = scales.octaves_at(size, sides, config)
        found = []
        for painting, part in zip(paintings, parts or [None] * len(paintings), strict=True):
            guides = None if part is None else painting_guides(part, net.name, painting.shape[:2], taps)
            moments = config.moments > 0 or config.loss == "wasserstein"
            found.append(statistics.style_targets(seeing, painting, taps, moments, guides, octaves, self.tiles))
        return found

    def together(self, found: Sequence[StyleTargets], regions: int) -> StyleTargets:
        """The paintings as one style: each that of its region, or all blended."""
        if not found:
            return ({},)
        if regions > 1:
            joined: StyleTargets = jax.tree.map(lambda *each: jnp.concatenate(each), *found)
            return joined
        blend = jnp.asarray(self.scene.config.style_blend or [1.0] * len(found), jnp.float32)
        mean: StyleTargets = statistics.blended(found, blend)
        return mean

    def objective(self, config: Complete, style: int = 0, look: int = 0) -> Objective:
        """The objective with the weights of ``config`` and of its layers, for one of the styles and of ``toned``."""
        return objective(self.sharp, self.terms(config, style, look))

    def terms(self, config: Complete, style: int = 0, look: int = 0) -> list[tuple[float | jax.Array, Term[Any]]]:
        """The terms of ``objective`` with their weights."""
        weights = config.loss_weights
        content, painted = self.contents[look], self.styles[style]
        content = dataclasses.replace(content, weights=own_weights(content.weights, config.content_layer_weights))
        painted = dataclasses.replace(painted, weights=own_weights(painted.weights, config.style_layer_weights))
        terms: list[tuple[float | jax.Array, Term[Any]]] = [
            (weights["content_weight"], content),
            (weights["style_weight"], painted),
            (weights["tv_weight"], self.smoothness),
        ]
        if self.excesses:
            terms.append((weights["tv_excess"], self.excesses[style]))
        if config.pixel_range == "bounded" and config.optimizer == "lbfgs":
            unit = unit_loss(weights["content_weight"], content, weights["style_weight"], painted)
            terms.append((RANGE_WEIGHT * unit, Range()))
        return [*terms, *self.more[style]]


def check_taps(terms: Sequence[Term[Any]], config: Complete) -> None:
    """Raises NSTError for a further term that looks at a layer which its ``Extra`` has not named.

    Sizes and memory are planned by the layers that are named.
    """
    for term in terms:
        if missing := {tap for taps in term.taps for tap in taps} - set(config.taps):
            raise NSTError(
                f"the term {term.name} looks at {' '.join(sorted(missing))}: name that in Extra(..., taps=...)"
            )


def own_weights(taps: Iterable[str], given: Mapping[str, float]) -> dict[str, jax.Array]:
    """A weight for each of ``taps``: the given one, or 0."""
    return as_scalars({tap: given.get(tap, 0.0) for tap in taps})


def unit_loss(alpha: float, content: Content, beta: float, style: Style) -> jax.Array:
    """The weighted loss of a picture to which no filter responds, by which the penalty of the range is measured.

    In the normalized convention that is α Σ w_l + β Σ w_l; in the others it has the unit that the losses have.
    """
    loss: jax.Array = alpha * content.silent_value() + beta * style.silent_value()
    return loss


def painting_guides(
    part: np.ndarray, network: str, size: tuple[int, ...], style_taps: Sequence[str]
) -> dict[str, jax.Array]:
    """The guides of a painting at (height, width) ``size``, from its entry in ``Masks.parts``; drawn back.

    What a region's border sees of its surroundings would become part of its style. The picture's own regions do not
    draw back: their borders would be painted less.
    """
    found = masks.guides([masks.mask_at(plane, *size[:2]) for plane in part], network, style_taps)
    drawn = {tap: np.stack([masks.withdrawn(grid) for grid in grids]) for tap, grids in found.items()}
    guides: dict[str, jax.Array] = on_device(drawn)
    return guides


def on_device(arrays: Any) -> Any:
    """A pytree of NumPy arrays as JAX's."""
    return jax.tree.map(jnp.asarray, arrays)
