"""The whole loss, L_total = α L_content + β L_style (2015, equation 7), as a pytree that is called with an image.

Everything that a run may vary — the network's parameters, the targets, the weights — is a leaf. Passed to a jitted
function as an argument, another picture of the same size or another ratio compiles nothing, and ``vmap`` over any
leaf is a sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax import losses
from nst_jax.losses import Metric
from nst_jax.networks import Network, linear_map, responses

Terms = dict[str, Array]


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
      metrics: of the layers that stand for wider ones, see ``losses.Metric``; empty for VGG-16 and VGG-19.
      content_layer_weights, style_layer_weights: w_l, scalars; 0 switches a layer off.
      content_weight, style_weight, tv_weight: α, β and that of the total variation, scalars.
      convention: the losses' constants, see ``losses``.
      guidance: where what counts; None for everywhere alike, at no cost.
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
    guidance: Guidance | None = None

    def __call__(self, image: Float[Array, "h w 3"]) -> tuple[Float[Array, ""], Terms]:
        """The weighted total, and the unweighted terms: content, style, tv, each a scalar."""
        guidance = self.guidance
        if guidance and guidance.frozen is not None:
            image = kept(*guidance.frozen, image)
        content_guides = guidance.content_guides if guidance else {}
        seen = responses(self.network, image, {**self.content_targets, **self.style_targets})
        terms = {
            "content": sum_of(
                weight
                * losses.content_loss(
                    seen[tap],
                    self.content_targets[tap],
                    self.convention,
                    self.metrics.get(tap),
                    content_guides.get(tap),
                )
                for tap, weight in self.content_layer_weights.items()
            ),
            "style": sum_of(
                weight * self.style_loss(tap, seen[tap]) for tap, weight in self.style_layer_weights.items()
            ),
            "tv": losses.total_variation(image, guidance.visible if guidance else None),
        }
        total = (
            self.content_weight * terms["content"] + self.style_weight * terms["style"] + self.tv_weight * terms["tv"]
        )
        return total, {**terms, "total": total}

    def style_loss(self, tap: str, response: Float[Array, "h w n"]) -> Float[Array, ""]:
        """E_l of the responses at a style layer; with guidance Σ_r λ_r E_lr (Gatys et al. 2017, equation 5)."""
        target, metric = self.style_targets[tap], self.metrics.get(tap)
        if not self.guidance:
            return losses.style_loss(losses.gram(response), target, self.convention, metric)
        grams = losses.guided_gram(response, self.guidance.guides[tap])
        each = [losses.style_loss(*pair, self.convention, metric) for pair in zip(grams, target, strict=True)]
        return jnp.vdot(self.guidance.region_weights, jnp.stack(each))


def kept(frozen: Float[Array, "h w"], photograph: Float[Array, "h w 3"], image: Float[Array, "h w 3"]) -> Array:
    """The image with the photograph in it where ``frozen`` is 1, blended where it is between 0 and 1."""
    frozen = frozen[..., None]
    return frozen * photograph + (1 - frozen) * image


def sum_of(terms) -> Array:
    """The sum of arrays of one shape, 0 for none."""
    return sum(terms, start=jnp.float32(0))


def content_targets(net: Network, photograph: Float[Array, "h w 3"] | None, taps: Sequence[str]) -> dict[str, Array]:
    """P^l, the photograph's responses, at each of ``taps``."""
    return jax.jit(responses, static_argnums=2)(net, photograph, tuple(taps)) if taps else {}


def style_targets(
    net: Network, painting: Float[Array, "h w 3"], taps: Sequence[str], guides: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """A^l / M^l, the painting's Gram matrices over their positions, at each of ``taps``.

    With ``guides``, [R, H', W'] at each of them, one for each region of the painting, [R, N, N].
    """
    return _style_targets(net, painting, tuple(taps), guides and dict(guides)) if taps else {}


@jax.jit(static_argnums=2)
def _style_targets(
    net: Network, painting: Array, taps: tuple[str, ...], guides: dict[str, Array] | None
) -> dict[str, Array]:
    seen = responses(net, painting, taps)
    if guides is None:
        return {tap: losses.gram(response) for tap, response in seen.items()}
    return {tap: losses.guided_gram(response, guides[tap]) for tap, response in seen.items()}


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
    guidance: Guidance | None = None,
    painting_guides: Sequence[Mapping[str, Array] | None] | None = None,
) -> Objective:
    """The objective of a photograph and its paintings, each RGB in [0, 1] and of a size of its own.

    Several paintings count alike: the target is the mean of their Gram matrices. ``content_layers`` and
    ``style_layers`` map layer names to w_l; without content layers the photograph may be None, without style layers
    there may be no paintings. Raises NSTError for an unknown layer.

    With ``guidance``, ``painting_guides`` say which part of each painting counts: of R > 1 regions, painting r is the
    style of region r and has guides [1, H', W'], or a single painting is that of all and has [R, H', W'].
    """
    parts = painting_guides or [None] * len(paintings)
    grams = [
        style_targets(net, painting, tuple(style_layers), part) for painting, part in zip(paintings, parts, strict=True)
    ]
    apart = guidance is not None and len(guidance.region_weights) > 1
    combined = jnp.concatenate if apart else lambda grams: sum_of(grams) / len(grams)
    maps = {tap: linear_map(net, tap) for tap in {**content_layers, **style_layers}}
    return Objective(
        network=net,
        content_targets=content_targets(net, photograph, tuple(content_layers)),
        style_targets={tap: combined([each[tap] for each in grams]) for tap in style_layers},
        metrics={tap: Metric(map @ map.T, map.shape[1]) for tap, map in maps.items() if map is not None},
        content_layer_weights={tap: jnp.float32(weight) for tap, weight in content_layers.items()},
        style_layer_weights={tap: jnp.float32(weight) for tap, weight in style_layers.items()},
        content_weight=jnp.float32(content_weight),
        style_weight=jnp.float32(style_weight),
        tv_weight=jnp.float32(tv_weight),
        convention=convention,
        guidance=guidance,
    )
