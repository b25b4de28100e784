"""The whole loss, L_total = α L_content + β L_style (2015, equation 7), as a pytree that is called with an image.

Everything that a run may vary — the network's parameters, the targets, the weights — is a leaf. Passed to a jitted
function as an argument, another picture of the same size or another ratio compiles nothing, and ``vmap`` over any
leaf is a sweep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax import losses
from nst_jax.losses import Metric
from nst_jax.networks import Network, linear_map, responses

Terms = dict[str, Array]
#: How much the penalty of pixels beyond [0, 1] weighs, in ``Objective.unit``. With it fewer than 0.5 % of the values
#: end beyond by more than 1/255, where without it 0.4 to 13 % do; 1000 leaves none, but L-BFGS gets less far.
RANGE_WEIGHT = 100.0


@flax.struct.dataclass
class Objective:
    """L_total for one photograph and one style.

    Attributes:
      network: the network that sees for it.
      content_targets: P per content layer, [H', W', N].
      style_targets: the painting's Gram matrix over its positions, A/M, per style layer, [N, N].
      metrics: of the layers that stand for wider ones, see ``losses.Metric``; empty for VGG-16 and VGG-19.
      content_layer_weights, style_layer_weights: w_l, scalars; 0 switches a layer off.
      content_weight, style_weight, tv_weight: α, β and that of the total variation, scalars.
      convention: the losses' constants, see ``losses``.
      tv_kind: of the total variation, see ``losses``.
      tileable: whether the image is to tile: its total variation is taken across the border too.
      bounded: whether pixels beyond [0, 1] are penalised, and that is one of the terms.
    """

    network: Network
    content_targets: dict[str, Array]
    style_targets: dict[str, Array]
    metrics: dict[str, Metric]
    content_layer_weights: dict[str, Array]
    style_layer_weights: dict[str, Array]
    content_weight: Array
    style_weight: Array
    tv_weight: Array
    convention: str = flax.struct.field(pytree_node=False)
    tv_kind: str = flax.struct.field(pytree_node=False, default="squares")
    tileable: bool = flax.struct.field(pytree_node=False, default=False)
    bounded: bool = flax.struct.field(pytree_node=False, default=False)

    def __call__(self, image: Float[Array, "h w 3"]) -> tuple[Float[Array, ""], Terms]:
        """The weighted total, and the unweighted terms: content, style, tv, each a scalar; range, if bounded."""
        seen = responses(self.network, image, {**self.content_targets, **self.style_targets})
        terms = {
            "content": sum_of(
                weight
                * losses.content_loss(seen[tap], self.content_targets[tap], self.convention, self.metrics.get(tap))
                for tap, weight in self.content_layer_weights.items()
            ),
            "style": sum_of(
                weight
                * losses.style_loss(
                    losses.gram(seen[tap]), self.style_targets[tap], self.convention, self.metrics.get(tap)
                )
                for tap, weight in self.style_layer_weights.items()
            ),
            "tv": losses.total_variation(image, self.tv_kind, self.tileable),
        }
        total = (
            self.content_weight * terms["content"] + self.style_weight * terms["style"] + self.tv_weight * terms["tv"]
        )
        if self.bounded:
            terms["range"] = losses.outside(image)
            total += RANGE_WEIGHT * self.unit() * terms["range"]
        return total, {**terms, "total": total}

    def unit(self) -> Float[Array, ""]:
        """The weighted loss of a picture to which no filter responds, by which the penalty of the range is measured.

        In the normalized convention that is α Σ w_l + β Σ w_l; in the others it has the unit that the losses have.
        """
        content = sum_of(
            self.content_layer_weights[tap]
            * losses.content_loss(jnp.zeros_like(target), target, self.convention, self.metrics.get(tap))
            for tap, target in self.content_targets.items()
        )
        style = sum_of(
            self.style_layer_weights[tap]
            * losses.style_loss(jnp.zeros_like(target), target, self.convention, self.metrics.get(tap))
            for tap, target in self.style_targets.items()
        )
        return self.content_weight * content + self.style_weight * style


def sum_of(terms) -> Array:
    """The sum of arrays of one shape, 0 for none."""
    return sum(terms, start=jnp.float32(0))


def content_targets(net: Network, photograph: Float[Array, "h w 3"] | None, taps: Sequence[str]) -> dict[str, Array]:
    """P^l, the photograph's responses, at each of ``taps``."""
    return jax.jit(responses, static_argnums=2)(net, photograph, tuple(taps)) if taps else {}


def of_paintings(net: Network, tileable: bool) -> Network:
    """The network as it sees paintings: where the image tiles and a painting does not, its border mirrors it."""
    return dataclasses.replace(net, padding="reflect") if tileable else net


def style_targets(net: Network, painting: Float[Array, "h w 3"], taps: Sequence[str]) -> dict[str, Array]:
    """A^l / M^l, the painting's Gram matrices over their positions, at each of ``taps``."""
    return _style_targets(net, painting, tuple(taps)) if taps else {}


@jax.jit(static_argnums=2)
def _style_targets(net: Network, painting: Array, taps: tuple[str, ...]) -> dict[str, Array]:
    return {tap: losses.gram(response) for tap, response in responses(net, painting, taps).items()}


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
    convention: str = "gatys2015",
    tv_kind: str = "squares",
    tileable: bool = False,
    bounded: bool = False,
) -> Objective:
    """The objective of a photograph and its paintings, each RGB in [0, 1] and of a size of its own.

    Several paintings count alike: the target is the mean of their Gram matrices. ``content_layers`` and
    ``style_layers`` map layer names to w_l; without content layers the photograph may be None, without style layers
    there may be no paintings. ``tileable`` asks for a network that wraps around and a photograph that tiles. Raises
    NSTError for an unknown layer.
    """
    grams = [style_targets(of_paintings(net, tileable), painting, tuple(style_layers)) for painting in paintings]
    maps = {tap: linear_map(net, tap) for tap in {**content_layers, **style_layers}}
    return Objective(
        network=net,
        content_targets=content_targets(net, photograph, tuple(content_layers)),
        style_targets={tap: sum_of(each[tap] for each in grams) / len(grams) for tap in style_layers},
        metrics={tap: Metric(map @ map.T, map.shape[1]) for tap, map in maps.items() if map is not None},
        content_layer_weights={tap: jnp.float32(weight) for tap, weight in content_layers.items()},
        style_layer_weights={tap: jnp.float32(weight) for tap, weight in style_layers.items()},
        content_weight=jnp.float32(content_weight),
        style_weight=jnp.float32(style_weight),
        tv_weight=jnp.float32(tv_weight),
        convention=convention,
        tv_kind=tv_kind,
        tileable=tileable,
        bounded=bounded,
    )
