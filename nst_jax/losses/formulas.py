"""The losses of the papers: pure functions of responses and Gram matrices. Every formula and constant is here.

Notation of Gatys, Ecker and Bethge (2015): a layer l has N filters and M positions; its responses to the generated
image, the photograph and the painting are F, P and (through their Gram matrices) G, A.

Gram matrices are divided by their number of positions M throughout, so that images of different sizes compare: the
paper's 1/(4 N² M²) Σ (G − A)² is 1/(4 N²) Σ (G/M − A/M)² where both images have M positions.

There are five conventions for the constants, by the name of the preset that introduced them:

============  =============================  =================================
convention    content                        style, per layer
============  =============================  =================================
gatys2015     ½ Σ (F − P)²                   1/(4 N²) Σ (G/M − A/M)²
gatys2016     mean of (F − P)²               mean of (G/M − A/M)²
crowson       mean of (F − P)²               Σ (G/M − A/M)² / Σ |G/M − A/M|
normalized    Σ (F − P)² / Σ P²              Σ (G/M − A/M)² / Σ (A/M)²
wasserstein   mean of (F − P)²               W₂² of Gaussians, over N: see ``wasserstein``
============  =============================  =================================

The first is the paper's, the second the one of the code that its authors released, the third that of Crowson's tool
as it was until 2023 (``terms.UNIT`` tells in which unit). The fourth has no units: it means the same at every size, for
every network and every painting. The last compares distributions, in the third's unit, as that tool has since.

Beside its Gram matrix a layer has the mean μ and the deviation σ of each filter's responses (Galerne et al. 2024); how
far they are from the painting's is ``moments_loss``.

Responses that stand for others through a linear map E need not be mapped to be compared: with M = E Eᵀ, the squared
distance of mapped responses is dᵀ M d, and that of their Gram matrices tr(M D M D). ``Metric`` holds M and E.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import CONVENTIONS, Convention, check_choice

#: Keeps the normalized losses finite for a target that is zero everywhere.
TINY = 1e-12


def gram(features: Float[Array, "*b h w n"]) -> Float[Array, "*b n n"]:
    """The Gram matrix over its positions: G_ij / M, where G_ij = Σ_k F_ik F_jk (2015, equation 3).

    Args:
      features: responses [H, W, N], with any batch axes in front.

    Returns [N, N], float32, symmetric and positive semidefinite, in the square of the responses' unit. Differentiable
    in reverse, also twice; not forward.
    """
    height, width, _ = features.shape[-3:]
    return correlations(features) / (height * width)


def correlations(features: Float[Array, "*b h w n"]) -> Float[Array, "*b n n"]:
    """G_ij = Σ_k F_ik F_jk, which adds up over positions; else as ``gram``."""
    *batch, height, width, filters = features.shape
    return _correlations(features.reshape(*batch, height * width, filters))


def guided_gram(features: Float[Array, "h w n"], guides: Float[Array, "r h w"]) -> Float[Array, "r n n"]:
    """A Gram matrix for each region: G_r = F_rᵀ F_r / Σ T_r² with F_r = T_r ∘ F (Gatys et al. 2017, equations 3 and 4).

    ``guides`` are the regions' T_r, not zero everywhere; of ones, G_r is ``gram``'s.
    """
    return gram(guides[..., None] * features) / jnp.mean(guides**2, axis=(1, 2))[:, None, None]


def _correlated(rows: Float[Array, "*b m n"]) -> Float[Array, "*b n n"]:
    """G_ij = Σ_k F_ik F_jk of responses at M positions, in full float32.

    Products of bfloat16 numbers are exact in float32. So an accelerator takes them as they are, and no copy of the
    responses in float32 is written; a CPU is faster with the copy.
    """
    if rows.dtype != jnp.bfloat16:
        return _product("...ki,...kj->...ij", _exact(rows), _exact(rows))
    found: Array = jax.lax.platform_dependent(
        rows,
        cpu=lambda rows: _product("...ki,...kj->...ij", _exact(rows), _exact(rows)),
        default=lambda rows: _summed("...ki,...kj->...ij", rows, rows, jnp.float32),
    )
    return found


def _correlated_backward(rows: Array, slope: Array) -> tuple[Array]:
    """F (S + Sᵀ): one product, where JAX's own takes two, of numbers of the responses' type, summed in float32."""
    both = (slope + slope.swapaxes(-1, -2)).astype(rows.dtype)
    if rows.dtype != jnp.bfloat16:
        return (_product("...ki,...ij->...kj", rows, both).astype(rows.dtype),)
    found: Array = jax.lax.platform_dependent(
        rows,
        both,
        cpu=lambda rows, both: _product("...ki,...ij->...kj", rows, both).astype(rows.dtype),
        default=lambda rows, both: _summed("...ki,...ij->...kj", rows, both, rows.dtype),  # rounded as it is written
    )
    return (found,)


def _product(which: str, left: Array, right: Array) -> Array:
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum(which, left, right, precision=highest, preferred_element_type=_exact_type(left))


def _summed(which: str, left: Array, right: Array, kind: Any) -> Array:
    """A product of bfloat16 numbers as accelerators take it: its sums are float32, and then of ``kind``."""
    return jnp.einsum(which, left, right, preferred_element_type=kind)


_correlations = jax.custom_vjp(_correlated)
_correlations.defvjp(lambda rows: (_correlations(rows), rows), _correlated_backward)


def _exact(responses: Array) -> Array:
    """Responses of bfloat16 in float32, in which they are compared."""
    return responses.astype(_exact_type(responses))


def _exact_type(responses: Array) -> jnp.dtype:
    return jnp.promote_types(responses.dtype, jnp.float32)


@flax.struct.dataclass
class Metric:
    """How responses [..., n] that stand for N channels through a linear map E [n, N] are compared without mapping them.

    Attributes:
      matrix: M = E Eᵀ, [n, n].
      map: E, [n, N].
    """

    matrix: Array
    map: Array

    @property
    def channels(self) -> int:
        """N, the paper's number of filters."""
        return self.map.shape[1]


def squared_distance(
    responses: Float[Array, "*b n"], target: Float[Array, "*b n"] | float, metric: Metric | None = None
) -> Float[Array, ""]:
    """Σ (F − P)² over all positions and filters; Σ dᵀ M d with a metric."""
    difference = _exact(responses) - target
    mapped = difference if metric is None else difference @ metric.matrix
    return jnp.sum(mapped * difference)


def squared_gram_distance(
    statistics: Float[Array, "n n"], target: Float[Array, "n n"] | float, metric: Metric | None = None
) -> Float[Array, ""]:
    """Σ (G − A)² over all pairs of filters; tr(M D M D) with a metric."""
    difference = statistics - target
    mapped = difference if metric is None else metric.matrix @ difference
    return jnp.sum(mapped * mapped.T)


def content_loss(
    responses: Float[Array, "h w n"],
    target: Float[Array, "h w n"],
    convention: Convention = "gatys2015",
    metric: Metric | None = None,
    guide: Float[Array, "h w"] | None = None,
) -> Float[Array, ""]:
    """How far the responses are from the photograph's: L_content (2015, equation 1), see the module for conventions.

    ``guide`` says how much each position counts, 0 to 1. Raises NSTError for an unknown convention.
    """
    distance = content_distance(responses, target, metric, guide)
    return content_value(distance, content_scale(target, convention, metric, guide))


def content_distance(
    responses: Float[Array, "h w n"],
    target: Float[Array, "h w n"],
    metric: Metric | None = None,
    guide: Float[Array, "h w"] | None = None,
) -> Float[Array, ""]:
    """Σ T (F − P)², with T the ``guide``: the part of ``content_loss`` that adds up over positions."""
    if guide is None:
        return squared_distance(responses, target, metric)
    share = jnp.sqrt(guide)[..., None]
    return squared_distance(share * responses, share * target, metric)


def content_scale(
    target: Float[Array, "h w n"],
    convention: Convention = "gatys2015",
    metric: Metric | None = None,
    guide: Float[Array, "h w"] | None = None,
) -> Float[Array, ""]:
    """What ``content_distance`` is divided by: 2, the number of values, or Σ P²; of the photograph alone."""
    check_choice("convention", convention, CONVENTIONS)
    if convention == "gatys2015":
        half: Array = jnp.float32(2)
        return half
    if convention in ("gatys2016", "crowson", "wasserstein"):
        height, width, filters = target.shape
        positions = height * width if guide is None else jnp.sum(guide)
        values: Array = jnp.float32(positions * (metric.channels if metric else filters))
        return values
    return content_distance(target, jnp.zeros_like(target), metric, guide) + TINY


def content_value(distance: Float[Array, ""], scale: Float[Array, ""]) -> Float[Array, ""]:
    """L_content from what adds up over positions and what it is divided by."""
    return distance / scale


def style_loss(
    statistics: Float[Array, "n n"],
    target: Float[Array, "n n"],
    convention: Convention = "gatys2015",
    metric: Metric | None = None,
) -> Float[Array, ""]:
    """How far a layer's Gram matrix is from the painting's: E_l (2015, equation 4), see the module for conventions.

    Both matrices are ``gram``'s: divided by their number of positions. Raises NSTError for an unknown convention, and
    for "wasserstein", which takes means too: see ``wasserstein.distance``.
    """
    check_choice(
        "convention of Gram matrices", convention, tuple(each for each in CONVENTIONS if each != "wasserstein")
    )
    distance = squared_gram_distance(statistics, target, metric)
    filters = metric.channels if metric else len(target)
    if convention == "gatys2015":
        return distance / (4 * filters**2)
    if convention == "gatys2016":
        return distance / filters**2
    if convention == "crowson":
        difference = statistics - target
        mapped = difference if metric is None else metric.map.T @ difference @ metric.map
        return distance / (jnp.sum(jnp.abs(mapped)) + TINY)
    return distance / (squared_gram_distance(target, 0.0, metric) + TINY)


def moments(
    features: Float[Array, "h w n"],
    statistics: Float[Array, "*r n n"],
    metric: Metric | None = None,
    guides: Float[Array, "r h w"] | None = None,
) -> Float[Array, "*r 2 N"]:
    """The mean μ and the deviation σ of each filter's responses over the positions, σ² = G_ii / M − μ².

    Args:
      features: responses [H, W, n].
      statistics: their ``gram``, or with ``guides`` their ``guided_gram``.
      metric: of responses that stand for others; μ and σ are those of the others.
      guides: the regions' T_r, whose squares weigh the positions; then the result is [R, 2, N].
    """
    height, width, _ = features.shape
    weights = height * width if guides is None else jnp.sum(guides**2, (1, 2))[:, None]
    return moments_of(sums(features, guides) / weights, statistics, metric)


def sums(features: Float[Array, "h w n"], guides: Float[Array, "r h w"] | None = None) -> Float[Array, "*r n"]:
    """Σ_k F_ik over the positions, or Σ_k T_rk² F_ik for each region."""
    features = _exact(features)
    if guides is None:
        return features.sum((0, 1))
    if len(guides) > 1:
        return _product("rhw,hwn->rn", guides**2, features)
    return jnp.sum(guides[..., None] ** 2 * features, (1, 2))  # a CPU's product with one row adds up value by value


def moments_of(
    mean: Float[Array, "*r n"], statistics: Float[Array, "*r n n"], metric: Metric | None = None
) -> Float[Array, "*r 2 N"]:
    """``moments`` from the mean of the responses and their Gram matrix over its positions."""
    if metric is None:
        second = jnp.diagonal(statistics, axis1=-2, axis2=-1)
    else:
        highest = jax.lax.Precision.HIGHEST  # the mean's square is taken from the second moment
        second = jnp.einsum("nN,...nm,mN->...N", metric.map, statistics, metric.map, precision=highest)
        mean = jnp.matmul(mean, metric.map, precision=highest)
    # the square root's slope is infinite at 0, where a filter is silent
    return jnp.stack([mean, jnp.sqrt(jnp.maximum(second - mean**2, 0) + TINY)], -2)


def moments_loss(
    found: Float[Array, "2 N"], target: Float[Array, "2 N"], convention: Convention = "gatys2016"
) -> Float[Array, ""]:
    """How far means and deviations are from the painting's.

    Σ (μ − μ_s)² / Σ μ_s² and the same of σ in the normalized convention; N Σ (μ − μ_s)² + N Σ (σ − σ_s)² else, a
    quarter of it for gatys2015, so that the layer weights 1000/N² leave them the mean squares of Galerne et al. (2024).
    Raises NSTError for an unknown convention.
    """
    check_choice("convention", convention, CONVENTIONS)
    distances = jnp.sum(jnp.square(found - target), -1)
    if convention == "normalized":
        return jnp.sum(distances / (jnp.sum(jnp.square(target), -1) + TINY))
    return target.shape[-1] * jnp.sum(distances) / (4 if convention == "gatys2015" else 1)


def sum_of(terms: Iterable[Array]) -> Array:
    """The sum of arrays of one shape, 0 for none."""
    return sum(terms, start=jnp.float32(0))
