"""The whole loss, L_total = α L_content + β L_style (2015, equation 7), as a pytree that is called with an image.

Everything that a run may vary — the network's parameters, the targets, the weights — is a leaf. Passed to a jitted
function as an argument, another picture of the same size or another ratio compiles nothing, and ``vmap`` over any
leaf is a sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.losses import formulas, statistics
from nst_jax.losses.formulas import Metric
from nst_jax.losses.statistics import Statistics, Targets
from nst_jax.networks.vgg import Network, prepared, responses

Terms = dict[str, Array]
#: How much the penalty of pixels beyond [0, 1] weighs, in ``Objective.unit``. With it fewer than 0.5 % of the values
#: end beyond by more than 1/255, where without it 0.4 to 13 % do; 1000 leaves none, but L-BFGS gets less far.
RANGE_WEIGHT = 100.0
#: The mean deviation of torchvision's preprocessing: Crowson's constants are for responses to pictures of that unit.
UNIT = 0.226


class Guidance(NamedTuple):
    """Where in the picture what counts, with R regions (Gatys et al. 2017, *Controlling Perceptual Factors*).

    Attributes:
      guides: T_r at each style layer, [R, H', W'], not zero everywhere.
      region_weights: λ_r, [R].
      content_guides: how much each position counts at each content layer, [H', W'], 0 to 1; empty for alike.
      visible: how much each pixel counts in the total variation, [H, W], 0 to 1; None for alike.
      frozen: where the photograph is kept, [H, W], 0 to 1, and the photograph, [H, W, 3]; None for nowhere.
    """

    guides: dict[str, Array]
    region_weights: Array
    content_guides: dict[str, Array]
    visible: Array | None
    frozen: tuple[Array, Array] | None


@flax.struct.dataclass
class Objective:
    """L_total for one photograph and one style.

    Attributes:
      network: the network that sees for it.
      content_targets: P per content layer, [H', W', N].
      style_targets: the painting's Gram matrix over its positions, A/M, per style layer, [N, N]; with guidance one for
        each region, [R, N, N].
      moment_targets: the painting's means and deviations per style layer, [2, N] or [R, 2, N]; empty where they do not
        count.
      coarser: the same two, by their names, for the picture and the painting halved once, twice, …; see ``halved``.
      metrics: of the layers that stand for wider ones, see ``formulas.Metric``; empty for VGG-16 and VGG-19.
      content_layer_weights, style_layer_weights: w_l, scalars; 0 switches a layer off.
      moments: weight of the means and deviations beside the Gram matrices, a scalar.
      content_weight, style_weight, tv_weight: α, β and that of the total variation, scalars.
      tv_chroma: how many times as strong chroma is in the total variation, a scalar.
      convention: the losses' constants, see ``losses``.
      tv_kind: of the total variation, see ``losses``.
      tileable: whether the image is to tile: its total variation is taken across the border too.
      bounded: whether pixels beyond [0, 1] are penalised, and that is one of the terms.
      guidance: where what counts; None for everywhere alike, at no cost.
    """

    network: Network
    content_targets: dict[str, Array]
    style_targets: dict[str, Array]
    moment_targets: dict[str, Array]
    coarser: tuple[Targets, ...]
    metrics: dict[str, Metric]
    content_layer_weights: dict[str, Array]
    style_layer_weights: dict[str, Array]
    moments: Array
    content_weight: Array
    style_weight: Array
    tv_weight: Array
    tv_chroma: Array
    convention: str = flax.struct.field(pytree_node=False)
    tv_kind: str = flax.struct.field(pytree_node=False, default="squares")
    tileable: bool = flax.struct.field(pytree_node=False, default=False)
    bounded: bool = flax.struct.field(pytree_node=False, default=False)
    guidance: Guidance | None = None

    def __call__(self, image: Float[Array, "h w 3"]) -> tuple[Float[Array, ""], Terms]:
        """The weighted total, and the unweighted terms: content, style, tv, each a scalar; range, if bounded."""
        guidance = self.guidance
        if guidance and guidance.frozen is not None:
            image = kept(*guidance.frozen, image)
        content_guides = guidance.content_guides if guidance else {}
        seen = responses(self.network, image, {**self.content_targets, **self.style_targets})
        terms = {
            "content": formulas.sum_of(
                weight
                * formulas.content_loss(
                    seen[tap],
                    self.content_targets[tap],
                    self.convention,
                    self.metrics.get(tap),
                    content_guides.get(tap),
                )
                for tap, weight in self.content_layer_weights.items()
            ),
            "style": self.style_loss(image, seen),
            "tv": formulas.total_variation(
                formulas.strong_chroma(image, self.tv_chroma),
                self.tv_kind,
                self.tileable,
                guidance.visible if guidance else None,
            ),
        }
        if self.convention == "crowson":
            terms |= {name: terms[name] / self.response_unit() ** 2 for name in ("content", "style")}
        total = (
            self.content_weight * terms["content"] + self.style_weight * terms["style"] + self.tv_weight * terms["tv"]
        )
        if self.bounded:
            terms["range"] = formulas.outside(image)
            total += RANGE_WEIGHT * self.unit() * terms["range"]
        return total, {**terms, "total": total}

    def style_loss(self, image: Float[Array, "h w 3"], seen: dict[str, Array]) -> Float[Array, ""]:
        """Σ w_l E_l with the means and deviations where those count, the mean over the octaves by their pixels.

        ``seen`` holds the responses to the image. With guidance E_l is Σ_r λ_r E_lr (Gatys et al. 2017, equation 5).
        """
        guides = self.guidance.guides if self.guidance else {}
        total = jnp.float32(0)
        shares = [0.25**octave for octave in range(1 + len(self.coarser))]  # of its pixels
        for octave, aims in enumerate([vars(self), *self.coarser]):
            if octave:
                image, guides = statistics.halved(image), statistics.halved_guides(guides)
                seen = responses(self.network, image, self.style_targets)
            for tap, weight in self.style_layer_weights.items():
                wanted = aims["style_targets"][tap], aims["moment_targets"].get(tap)
                found = statistics.statistics_of(
                    seen[tap], self.metrics.get(tap), guides.get(tap), wanted[1] is not None
                )
                total += shares[octave] * weight * self.compared(found, wanted, tap)
        return total / sum(shares)

    def compared(self, found: Statistics, wanted: Statistics, tap: str) -> Float[Array, ""]:
        """How far a layer's statistics are from the painting's; with guidance Σ_r λ_r of the regions'."""
        metric = self.metrics.get(tap)
        if not self.guidance:
            return self.distance(found, wanted, metric)
        each = []
        for region in range(len(self.guidance.region_weights)):
            ours, theirs = jax.tree.map(lambda array: array[region], (found, wanted))  # noqa: B023
            each.append(self.distance(ours, theirs, metric))
        return jnp.vdot(self.guidance.region_weights, jnp.stack(each))

    def distance(self, found: Statistics, wanted: Statistics, metric: Metric | None) -> Float[Array, ""]:
        """How far one style's statistics are from another's."""
        loss = formulas.style_loss(found[0], wanted[0], self.convention, metric)
        if found[1] is not None and wanted[1] is not None:
            loss += self.moments * formulas.moments_loss(found[1], wanted[1], self.convention)
        return loss

    def response_unit(self) -> Float[Array, ""]:
        """How large responses are in Crowson's unit; those of layers that stand for VGG-19's are its published ones."""
        return UNIT * (jnp.float32(255) if self.metrics else jnp.mean(self.network.range / self.network.std))

    def unit(self) -> Float[Array, ""]:
        """The weighted loss of a picture to which no filter responds, by which the penalty of the range is measured.

        In the normalized convention that is α Σ w_l + β Σ w_l; in the others it has the unit that the losses have.
        """
        content = formulas.sum_of(
            self.content_layer_weights[tap]
            * formulas.content_loss(jnp.zeros_like(target), target, self.convention, self.metrics.get(tap))
            for tap, target in self.content_targets.items()
        )
        style = formulas.sum_of(
            self.style_layer_weights[tap] * self.compared((jnp.zeros_like(target), None), (target, None), tap)
            for tap, target in self.style_targets.items()
        )
        if self.convention == "crowson":
            content, style = content / self.response_unit() ** 2, style / self.response_unit() ** 2
        return self.content_weight * content + self.style_weight * style


def kept(frozen: Float[Array, "h w"], photograph: Float[Array, "h w 3"], image: Float[Array, "h w 3"]) -> Array:
    """The image with the photograph in it where ``frozen`` is 1, blended where it is between 0 and 1."""
    frozen = frozen[..., None]
    return frozen * photograph + (1 - frozen) * image


def build(
    net: Network,
    photograph: Float[Array, "h w 3"] | None,
    paintings: Sequence[Float[Array, "_ _ 3"]],
    *,
    content_layers: Mapping[str, float],
    style_layers: Mapping[str, float],
    content_weight: float,
    style_weight: float,
    tv_weight: float = 0.0,
    style_blend: Sequence[float] = (),
    convention: str = "gatys2015",
    moments: float = 0.0,
    octaves: int = 1,
    tv_kind: str = "squares",
    tv_chroma: float = 1.0,
    tileable: bool = False,
    bounded: bool = False,
    guidance: Guidance | None = None,
    painting_guides: Sequence[Mapping[str, Array] | None] | None = None,
) -> Objective:
    """The objective of a photograph and its paintings, each RGB in [0, 1] and of a size of its own.

    The target of the style is the mean of the paintings' Gram matrices: of several with the weights ``style_blend``,
    one for each, 0 or more and not all 0, or alike. ``content_layers`` and ``style_layers`` map layer names to w_l;
    without content layers the photograph may be None, without style layers there may be no paintings. ``tileable``
    asks for a network that wraps around and a photograph that tiles. Raises NSTError for an unknown layer.

    With ``guidance``, ``painting_guides`` say which part of each painting counts: of R > 1 regions, painting r is the
    style of region r and has guides [1, H', W'], or a single painting is that of all and has [R, H', W'].

    With several ``octaves`` the style is also compared at half the size, at a quarter, …: motifs that are larger than
    what the filters see then keep their form.
    """
    parts = painting_guides or [None] * len(paintings)
    seeing = statistics.of_paintings(net, tileable)
    each = [
        statistics.style_targets(seeing, painting, tuple(style_layers), moments > 0, part, octaves)
        for painting, part in zip(paintings, parts, strict=True)
    ]
    style: dict[str, Any] = {"style_targets": {}, "moment_targets": {}, "coarser": ()}
    if guidance is not None and len(guidance.region_weights) > 1:
        style = jax.tree.map(lambda *regions: jnp.concatenate(regions), *each) if each else style
    elif each:
        style = statistics.blended(each, jnp.asarray(style_blend or [1.0] * len(each), jnp.float32))
    sharp = net if photograph is None else prepared(net, {**content_layers, **style_layers}, *photograph.shape[:2])
    return Objective(
        network=sharp,
        content_targets=statistics.content_targets(net, photograph, tuple(content_layers)),
        **style,
        metrics=statistics.metrics_of(net, {**content_layers, **style_layers}),
        content_layer_weights={tap: jnp.float32(weight) for tap, weight in content_layers.items()},
        style_layer_weights={tap: jnp.float32(weight) for tap, weight in style_layers.items()},
        moments=jnp.float32(moments),
        content_weight=jnp.float32(content_weight),
        style_weight=jnp.float32(style_weight),
        tv_weight=jnp.float32(tv_weight),
        tv_chroma=jnp.float32(tv_chroma),
        convention=convention,
        guidance=guidance,
        tv_kind=tv_kind,
        tileable=tileable,
        bounded=bounded,
    )
