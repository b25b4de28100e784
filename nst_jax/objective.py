"""The whole loss, L_total = α L_content + β L_style (2015, equation 7), as a pytree that is called with an image.

Everything that a run may vary — the network's parameters, the targets, the weights — is a leaf. Passed to a jitted
function as an argument, another picture of the same size or another ratio compiles nothing, and ``vmap`` over any
leaf is a sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax import losses
from nst_jax.losses import Metric
from nst_jax.networks import Network, linear_map, responses

Terms = dict[str, Array]
#: The mean deviation of torchvision's preprocessing: Crowson's constants are for responses to pictures of that unit.
UNIT = 0.226


@flax.struct.dataclass
class Objective:
    """L_total for one photograph and one style.

    Attributes:
      network: the network that sees for it.
      content_targets: P per content layer, [H', W', N].
      style_targets: the painting's Gram matrix over its positions, A/M, per style layer, [N, N].
      moment_targets: the painting's means and deviations per style layer, [2, N]; empty where they do not count.
      metrics: of the layers that stand for wider ones, see ``losses.Metric``; empty for VGG-16 and VGG-19.
      content_layer_weights, style_layer_weights: w_l, scalars; 0 switches a layer off.
      moments: weight of the means and deviations beside the Gram matrices, a scalar.
      content_weight, style_weight, tv_weight: α, β and that of the total variation, scalars.
      convention: the losses' constants, see ``losses``.
    """

    network: Network
    content_targets: dict[str, Array]
    style_targets: dict[str, Array]
    moment_targets: dict[str, Array]
    metrics: dict[str, Metric]
    content_layer_weights: dict[str, Array]
    style_layer_weights: dict[str, Array]
    moments: Array
    content_weight: Array
    style_weight: Array
    tv_weight: Array
    convention: str = flax.struct.field(pytree_node=False)

    def __call__(self, image: Float[Array, "h w 3"]) -> tuple[Float[Array, ""], Terms]:
        """The weighted total, and the unweighted terms: content, style, tv, each a scalar."""
        seen = responses(self.network, image, {**self.content_targets, **self.style_targets})
        terms = {
            "content": sum_of(
                weight
                * losses.content_loss(seen[tap], self.content_targets[tap], self.convention, self.metrics.get(tap))
                for tap, weight in self.content_layer_weights.items()
            ),
            "style": sum_of(
                weight * self.style_loss_at(tap, seen[tap]) for tap, weight in self.style_layer_weights.items()
            ),
            "tv": losses.total_variation(image),
        }
        if self.convention == "crowson":
            terms |= {name: terms[name] / self.unit() ** 2 for name in ("content", "style")}
        total = (
            self.content_weight * terms["content"] + self.style_weight * terms["style"] + self.tv_weight * terms["tv"]
        )
        return total, {**terms, "total": total}

    def style_loss_at(self, tap: str, response: Float[Array, "h w n"]) -> Float[Array, ""]:
        """E_l of one layer, with its means and deviations where they count."""
        metric, statistics = self.metrics.get(tap), losses.gram(response)
        loss = losses.style_loss(statistics, self.style_targets[tap], self.convention, metric)
        if tap in self.moment_targets:
            found = losses.moments(response, statistics, metric)
            loss += self.moments * losses.moments_loss(found, self.moment_targets[tap], self.convention)
        return loss

    def unit(self) -> Float[Array, ""]:
        """How large responses are in Crowson's unit; those of layers that stand for VGG-19's are its published ones."""
        return UNIT * (jnp.float32(255) if self.metrics else jnp.mean(self.network.range / self.network.std))


def sum_of(terms) -> Array:
    """The sum of arrays of one shape, 0 for none."""
    return sum(terms, start=jnp.float32(0))


def content_targets(net: Network, photograph: Float[Array, "h w 3"] | None, taps: Sequence[str]) -> dict[str, Array]:
    """P^l, the photograph's responses, at each of ``taps``."""
    return jax.jit(responses, static_argnums=2)(net, photograph, tuple(taps)) if taps else {}


@jax.jit(static_argnums=(2, 3))
def style_targets(
    net: Network, painting: Float[Array, "h w 3"], taps: tuple[str, ...], moments: bool = False
) -> dict[str, dict[str, Array]]:
    """What ``Objective`` wants of a painting at each of ``taps``, under the names of its fields.

    Its Gram matrices over their positions, A^l / M^l, and where ``moments`` are wanted its means and deviations.
    """
    seen = responses(net, painting, taps) if taps else {}
    grams = {tap: losses.gram(response) for tap, response in seen.items()}
    metrics = metrics_of(net, taps)
    found = {tap: losses.moments(seen[tap], grams[tap], metrics.get(tap)) for tap in taps if moments}
    return {"style_targets": grams, "moment_targets": found}


def metrics_of(net: Network, taps: Iterable[str]) -> dict[str, Metric]:
    """The metric of each of ``taps`` that stands for a wider layer."""
    maps = {tap: linear_map(net, tap) for tap in taps}
    return {tap: Metric(map @ map.T, map) for tap, map in maps.items() if map is not None}


@jax.jit
def _blended(targets: Sequence[dict[str, dict[str, Array]]], blend: Float[Array, " paintings"]) -> Any:
    """The mean of several paintings' ``style_targets``, weighted by ``blend``."""

    def mean(*each: Array) -> Array:
        return sum_of(weight * array for weight, array in zip(blend, each, strict=True)) / jnp.sum(blend)

    return jax.tree.map(mean, *targets)


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
) -> Objective:
    """The objective of a photograph and its paintings, each RGB in [0, 1] and of a size of its own.

    The target of the style is the mean of the paintings' Gram matrices: of several with the weights ``style_blend``,
    one for each, 0 or more and not all 0, or alike. ``content_layers`` and ``style_layers`` map layer names to w_l;
    without content layers the photograph may be None, without style layers there may be no paintings. Raises NSTError
    for an unknown layer.
    """
    targets = [style_targets(net, painting, tuple(style_layers), moments > 0) for painting in paintings]
    blend = jnp.asarray(style_blend or [1.0] * len(targets), jnp.float32)
    style = _blended(targets, blend) if targets else {"style_targets": {}, "moment_targets": {}}
    return Objective(
        network=net,
        content_targets=content_targets(net, photograph, tuple(content_layers)),
        **style,
        metrics=metrics_of(net, {**content_layers, **style_layers}),
        content_layer_weights={tap: jnp.float32(weight) for tap, weight in content_layers.items()},
        style_layer_weights={tap: jnp.float32(weight) for tap, weight in style_layers.items()},
        moments=jnp.float32(moments),
        content_weight=jnp.float32(content_weight),
        style_weight=jnp.float32(style_weight),
        tv_weight=jnp.float32(tv_weight),
        convention=convention,
    )
