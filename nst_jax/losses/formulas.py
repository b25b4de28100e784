"""The losses of the papers: pure functions of responses and Gram matrices. Every formula and constant is here.

Notation of Gatys, Ecker and Bethge (2015): a layer l has N filters and M positions; its responses to the generated
image, the photograph and the painting are F, P and (through their Gram matrices) G, A.

Gram matrices are divided by their number of positions M throughout, so that images of different sizes compare: the
paper's 1/(4 N² M²) Σ (G − A)² is 1/(4 N²) Σ (G/M − A/M)² where both images have M positions.

There are four conventions for the constants, by the name of the preset that introduced them:

============  =============================  =================================
convention    content                        style, per layer
============  =============================  =================================
gatys2015     ½ Σ (F − P)²                   1/(4 N²) Σ (G/M − A/M)²
gatys2016     mean of (F − P)²               mean of (G/M − A/M)²
crowson       mean of (F − P)²               Σ (G/M − A/M)² / Σ |G/M − A/M|
normalized    Σ (F − P)² / Σ P²              Σ (G/M − A/M)² / Σ (A/M)²
============  =============================  =================================

The first is the paper's, the second the one of the code that its authors released, the third that of Crowson's tool
(``objective.UNIT`` tells in which unit). The last has no units: it means the same at every size, for every network and
every painting.

Beside its Gram matrix a layer has the mean μ and the deviation σ of each filter's responses (Galerne et al. 2024); how
far they are from the painting's is ``moments_loss``.

Responses that stand for others through a linear map E need not be mapped to be compared: with M = E Eᵀ, the squared
distance of mapped responses is dᵀ M d, and that of their Gram matrices tr(M D M D). ``Metric`` holds M and E.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Keeps the normalized losses finite for a target that is zero everywhere.
TINY = 1e-12
#: Differences between neighbours that are much smaller than this count as squares where others count as they are.
SMALL_STEP = 1 / 255


def gram(features: Float[Array, "*b h w n"]) -> Float[Array, "*b n n"]:
    """The Gram matrix over its positions: G_ij / M, where G_ij = Σ_k F_ik F_jk (2015, equation 3).

    Args:
      features: responses [H, W, N], with any batch axes in front.

    Returns [N, N], float32, symmetric and positive semidefinite, in the square of the responses' unit. Differentiable
    in reverse, also twice; not forward.
    """
    height, width, filters = features.shape[-3:]
    rows = features.reshape(*features.shape[:-3], height * width, filters)
    return _correlations(rows) / (height * width)


def guided_gram(features: Float[Array, "h w n"], guides: Float[Array, "r h w"]) -> Float[Array, "r n n"]:
    """A Gram matrix for each region: G_r = F_rᵀ F_r / Σ T_r² with F_r = T_r ∘ F (Gatys et al. 2017, equations 3 and 4).

    ``guides`` are the regions' T_r, not zero everywhere; of ones, G_r is ``gram``'s.
    """
    return gram(guides[..., None] * features) / jnp.mean(guides**2, axis=(1, 2))[:, None, None]


def _correlated(rows: Float[Array, "*b m n"]) -> Float[Array, "*b n n"]:
    """G_ij = Σ_k F_ik F_jk of responses at M positions, in full float32."""
    exact = _exact(rows)
    return _product("...ki,...kj->...ij", exact, exact)


def _correlated_backward(rows: Array, slope: Array) -> tuple[Array]:
    """F (S + Sᵀ): one product, where JAX's own takes two, of numbers of the responses' type, summed in float32."""
    both = (slope + slope.swapaxes(-1, -2)).astype(rows.dtype)
    return (_product("...ki,...ij->...kj", rows, both).astype(rows.dtype),)


def _product(which: str, left: Array, right: Array) -> Array:
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum(which, left, right, precision=highest, preferred_element_type=_exact_type(left))


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
    convention: str = "gatys2015",
    metric: Metric | None = None,
    guide: Float[Array, "h w"] | None = None,
) -> Float[Array, ""]:
    """How far the responses are from the photograph's: L_content (2015, equation 1), see the module for conventions.

    ``guide`` says how much each position counts, 0 to 1.
    """
    height, width, filters = target.shape
    positions: Array | int = height * width
    if guide is not None:
        responses, target = (jnp.sqrt(guide)[..., None] * each for each in (responses, target))
        positions = jnp.sum(guide)
    distance = squared_distance(responses, target, metric)
    if convention == "gatys2015":
        return distance / 2
    if convention in ("gatys2016", "crowson"):
        return distance / (positions * (metric.channels if metric else filters))
    return distance / (squared_distance(target, 0.0, metric) + TINY)


def style_loss(
    statistics: Float[Array, "n n"],
    target: Float[Array, "n n"],
    convention: str = "gatys2015",
    metric: Metric | None = None,
) -> Float[Array, ""]:
    """How far a layer's Gram matrix is from the painting's: E_l (2015, equation 4), see the module for conventions.

    Both matrices are ``gram``'s: divided by their number of positions.
    """
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
    features = _exact(features)
    mean = features.mean((0, 1))
    if guides is not None:
        mean = jnp.einsum("rhw,hwn->rn", guides**2, features) / jnp.sum(guides**2, (1, 2))[:, None]
    if metric is None:
        second = jnp.diagonal(statistics, axis1=-2, axis2=-1)
    else:
        second = jnp.einsum("nN,...nm,mN->...N", metric.map, statistics, metric.map)
        mean = mean @ metric.map
    # the square root's slope is infinite at 0, where a filter is silent
    return jnp.stack([mean, jnp.sqrt(jnp.maximum(second - mean**2, 0) + TINY)], -2)


def moments_loss(
    found: Float[Array, "2 N"], target: Float[Array, "2 N"], convention: str = "gatys2016"
) -> Float[Array, ""]:
    """How far means and deviations are from the painting's.

    Σ (μ − μ_s)² / Σ μ_s² and the same of σ in the normalized convention; N Σ (μ − μ_s)² + N Σ (σ − σ_s)² else, a
    quarter of it for gatys2015, so that the layer weights 1000/N² leave them the mean squares of Galerne et al. (2024).
    """
    distances = jnp.sum(jnp.square(found - target), -1)
    if convention == "normalized":
        return jnp.sum(distances / (jnp.sum(jnp.square(target), -1) + TINY))
    return target.shape[-1] * jnp.sum(distances) / (4 if convention == "gatys2015" else 1)


def strong_chroma(image: Float[Array, "h w 3"], factor: Float[Array, ""] | float) -> Float[Array, "h w 3"]:
    """The image with its chroma, what it has beside the mean of its three values, so many times as strong.

    Grain of colour is what the eye minds and the responses hardly see: in the total variation it may count more.
    """
    grey = image.mean(-1, keepdims=True)
    return grey + factor * (image - grey)


def total_variation(
    image: Float[Array, "h w 3"],
    kind: str = "squares",
    wrap: bool = False,
    visible: Float[Array, "h w"] | None = None,
) -> Float[Array, ""]:
    """How much neighbours differ in an image in [0, 1]; 0 for a flat image. Not in the papers.

    With the differences d↓ and d→ of each value from the ones below and right of it, and the mean over all values
    (so that it does not grow with the image), the kinds are

    ==========  =====================================================================================================
    squares     mean of d↓² + d→²
    absolute    mean of |d↓| + |d→|: an edge costs what a ramp of the same height costs, and so it may stay
    isotropic   mean of √(d↓² + d→²), the same whichever way an edge runs (Rudin, Osher and Fatemi 1992)
    neighbours  mean of ⅔ (d↓² + d→²) + ⅙ (d↘² + d↙²), as squares, but the same whichever way a fine pattern runs
                (the stencil of nine points of Crowson's style-transfer-pytorch, whose border repeats itself)
    ==========  =====================================================================================================

    where |d| stands for √(d² + ε²) − ε with ε = ``SMALL_STEP``, and √(d↓² + d→²) likewise. Differences to beyond the
    border are 0, or with ``wrap`` those to the other side. ``visible`` says how much each pixel counts, 0 to 1, in the
    mean; a pair of neighbours counts by the product.
    """
    height, width, _ = image.shape
    count = image.size if visible is None else 3 * jnp.sum(visible)

    def squares(down: int, right: int) -> Array:
        """d² to the value so far down and right, weighed."""

        def neighbour(array: Array) -> Array:
            return jnp.roll(array, (-down, -right), (0, 1))

        rows, columns = jnp.arange(height)[:, None] + down, jnp.arange(width) + right
        weight = (rows < height) & (columns >= 0) & (columns < width) | wrap
        if visible is not None:
            weight = weight * visible * neighbour(visible)
        return jnp.square(neighbour(image) - image) * weight[..., None]

    down, across = squares(1, 0), squares(0, 1)
    if kind == "absolute":
        return (jnp.sum(_magnitude(down)) + jnp.sum(_magnitude(across))) / count
    if kind == "isotropic":
        return jnp.sum(_magnitude(down + across)) / count
    straight = (jnp.sum(down) + jnp.sum(across)) / count
    if kind == "squares":
        return straight
    return 2 / 3 * straight + (jnp.sum(squares(1, 1)) + jnp.sum(squares(1, -1))) / (6 * count)


def _magnitude(square: Array) -> Array:
    """√(s + ε²) − ε of a square s, without the loss of digits: its gradient exists at 0."""
    return square / (jnp.sqrt(square + SMALL_STEP**2) + SMALL_STEP)


def outside(image: Float[Array, "h w 3"]) -> Float[Array, ""]:
    """How far values are beyond [0, 1]: the mean over all of the squared distance from it. Not in the papers."""
    return jnp.mean(jnp.square(image - jnp.clip(image, 0, 1)))


def sum_of(terms) -> Array:
    """The sum of arrays of one shape, 0 for none."""
    return sum(terms, start=jnp.float32(0))
