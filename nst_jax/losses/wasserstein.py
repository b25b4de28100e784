"""The style as a distribution: how far the responses of a layer are from the painting's, as Gaussians.

The squared 2-Wasserstein distance of two Gaussians is the least mean square by which one's samples must be moved to
become the other's (Olkin and Pukelsheim 1982). With means μ, μ′ and covariances Σ, Σ′ of N filters, over N,

    W² = ( |μ − μ′|² + tr(Σ + Σ′ − 2 (Σ′^½ Σ Σ′^½)^½) ) / N.

Both covariances have ε I added, so that every matrix has an inverse. The optimal map is x → μ′ + T (x − μ) with the
symmetric T for which T Σ T = Σ′, the geometric mean of Σ⁻¹ and Σ′. The gradient by Σ is (I − T) / N, that by Σ′ is
(I − T⁻¹) / N, and the trace of the root is tr(Σ T): with T nothing else is wanted, and a gradient costs nothing more.

**T by products of matrices alone.** It is Σ′ (Σ Σ′)^-½. The coupled iteration Y ← Y p(ZY), Z ← p(ZY) Z from Y = Σ′/c,
Z = Σ/c leads Y to T and Z to T⁻¹, if p takes every x in (0, 1] nearer to 1 by x → x p(x²): there x² are the
eigenvalues of ZY, which are those of Σ Σ′ over c². No root of Σ′ is needed, and what is equal gives I. Newton and
Schulz have p(s) = (3 − s)/2: three products, by which a small x grows by half. ``STEPS`` are polynomials of degree 4 in
s: five products each. Each is the nearest to 1 on the interval to which the one before has brought all x. The five for
a layer bring x ≥ 1/2190 to within 1/20,000 of 1 by 25 products; Newton and Schulz would take 62, of 21 steps. They
never go beyond: T is at most the optimal one, and W² at least the true one. Where x is smaller, T falls short of the
optimal one: for small x it is 5770 x times that. Twelve steps of Newton and Schulz, 35 products, make it 130 x.

**Few positions.** Where a picture has fewer positions M than filters, Σ = XᵀX with the centred responses X [M, N] over
√M. As (XΣ′Xᵀ)^½, [M, M], has the same eigenvalues as (Σ′^½ XᵀX Σ′^½)^½ but for zeros, the smaller matrix will do;
``distance_of_few`` takes it. There, Σ has no ε I, and the root of an eigenvalue s is √(s + ε²) − ε.

**Responses that stand for wider ones** by a linear map x → Eᵀx with E [n, N] have images with covariances EᵀΣE of rank
n. With K Kᵀ = E Eᵀ, [n, n], they are compared as Kᵀx, and the result is the same, for every ε: there is an orthonormal
U [n, N] with E = K U, so EᵀΣE + ε I is Uᵀ(KᵀΣK + ε I)U on the rows of U, and ε I on all that is orthogonal to them. On
each of the two the distance is one of its own. That on the rows of U is the one of KᵀΣK and KᵀΣ′K, for traces do not
change with orthonormal coordinates; the other is between ε I and ε I: 0. So the constant between narrow and wide is 0.
Where KᵀΣK has itself no full rank, ε I is what both have there, and the same holds. Of few positions, where Σ has no
ε I, the narrow distance is less by ε (N − n) / N.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: What is added to the variance in every direction, in the square of the unit in which torchvision's networks respond.
EPSILON = 1e-4
#: How many times the rounding of the sum of the second moments is added to ε: with less, rounding may leave a direction
#: a negative variance, which the iteration enlarges. Of a flat picture the rounding was 9 times so much.
ROUNDING = 16
#: The coefficients of p for each step, from the constant on. Each is the polynomial whose x p(x²) is nearest to 1 (by
#: Remez's exchange) on the interval where the one before has left x, with 1 % of room above for rounding, starting with
#: [1/300, 1.01]; the last is divided by what it would exceed 1.
STEPS = (
    (14.6143, -139.695, 455.144, -573.162, 244.37),
    (6.2632, -14.6737, 12.2954, -4.02533, 0.448033),
    (3.50749, -6.56681, 5.96289, -2.32292, 0.320379),
    (2.46342, -3.2763, 2.92353, -1.37205, 0.261389),
)
#: What stands before them for covariances: the first one halved keeps (0, 1] within itself, and makes a small x 7 times
#: as large.
FIRST = tuple(each / 2 for each in STEPS[0])


@flax.struct.dataclass
class Target:
    """A painting's mean and covariance at a layer, ready to be compared with; ``target`` makes it.

    Attributes:
      mean: of the responses as they are compared, μ′ or Kᵀμ′, [n].
      covariance: of those, with ε I, [n, n].
      basis: K, [n, n]; None where responses stand for themselves.
      epsilon: ε, a scalar.
      channels: N, the paper's number of filters.
    """

    mean: Array
    covariance: Array
    basis: Array | None
    epsilon: Array
    channels: int = flax.struct.field(pytree_node=False)


def target(
    mean: Float[Array, " n"],
    second_moment: Float[Array, "n n"],
    map: Float[Array, "n N"] | None = None,
    epsilon: float | Float[Array, ""] = EPSILON,
) -> Target:
    """What ``distance`` compares with: made once for a run; for regions under ``vmap``.

    Args:
      mean: E[x] over the painting's positions, in the unit of the responses.
      second_moment: E[x xᵀ] over them. Both may be the means of several paintings'.
      map: E of responses that stand for others.
      epsilon: ε, in the square of the responses' unit; more than 0.
    """
    return targets([(mean, second_moment)], [map], epsilon)[0]


def targets(
    found: Sequence[tuple[Float[Array, " _n"], Float[Array, "_n _n"]]],
    maps: Sequence[Float[Array, "_n _N"] | None],
    epsilon: float | Float[Array, ""] = EPSILON,
) -> list[Target]:
    """``target`` of several layers, each from its mean and second moment; those of like width side by side."""
    epsilon = jnp.asarray(epsilon, found[0][0].dtype if found else None)
    layers = [
        (*moments, None if map is None else _product(map, map.T), epsilon)
        for moments, map in zip(found, maps, strict=True)
    ]
    made = []
    for (mean, covariance, basis), (_, second), map in zip(_side_by_side(_target, layers), found, maps, strict=True):
        own = slice(len(second))
        channels, basis = (len(second), None) if map is None else (map.shape[1], basis[own, own])
        made.append(Target(mean[own], covariance[own, own], basis, epsilon, channels))
    return made


def _target(
    one: Array, mean: Array, second_moment: Array, metric: Array | None, epsilon: Array
) -> tuple[Array, Array, Array | None]:
    """Mean, covariance and basis; with the ``metric`` E Eᵀ."""
    basis = None if metric is None else _root(metric)[0]
    return *_gaussian(mean, second_moment, basis, epsilon, one), basis


def distance(mean: Float[Array, " n"], second_moment: Float[Array, "n n"], target: Target) -> Float[Array, ""]:
    """W² between the responses' Gaussian and the painting's, in the square of their unit; 0 or more, but for rounding.

    Args:
      mean: E[x] over the positions, as for ``target``.
      second_moment: E[x xᵀ] over them.

    Differentiable in reverse, once, by all arguments but ε. Finite, as its gradients are, for one position, silent
    filters, fewer positions than filters, and what is equal to the target.
    """
    return distances([(mean, second_moment)], [target])[0]


def distances(
    found: Sequence[tuple[Float[Array, " _n"], Float[Array, "_n _n"]]], targets: Sequence[Target]
) -> list[Float[Array, ""]]:
    """``distance`` of several layers, each from its mean and second moment: those of like width side by side.

    So there is less to compile, and a GPU starts fewer kernels. Narrower layers have rows and columns of zeros added.
    Those stay zeros through all steps of the iteration, and change nothing.
    """
    layers = [
        (*moments, target.mean, target.covariance, target.basis, target.epsilon)
        for moments, target in zip(found, targets, strict=True)
    ]
    each = _side_by_side(_distance, layers)
    return [value / target.channels for value, target in zip(each, targets, strict=True)]


def _distance(
    one: Array, mean: Array, second_moment: Array, their_mean: Array, theirs: Array, basis: Array | None, epsilon: Array
) -> Array:
    """The distance, not over the filters."""
    mean, ours = _gaussian(mean, second_moment, basis, epsilon, one)
    return jnp.sum(jnp.square(mean - their_mean)) + bures(ours, theirs)


def _side_by_side(of_one: Callable[..., Any], layers: Sequence[tuple[Any, ...]]) -> list[Any]:
    """``of_one(one, *layer)`` of each layer, made wider by zeros; there ``one`` is 0, and 1 elsewhere.

    A layer is a vector, a square matrix, and others of either kind, scalars or None. Those go through one ``vmap``
    that have up to 64 filters, up to 256, up to 1,024, …, and the same arrays.
    """
    groups: dict[Any, list[int]] = {}
    for number, layer in enumerate(layers):
        wide = math.ceil(math.log(max(1, len(layer[0]) / 64), 4))
        groups.setdefault((wide, jax.tree.structure(layer)), []).append(number)
    found = {}
    for numbers in groups.values():
        own = np.array([len(layers[number][0]) for number in numbers])
        width = int(own.max())
        one = jnp.asarray(np.arange(width) < own[:, None], layers[numbers[0]][0].dtype)

        def stacked(*arrays: Array, width: int = width) -> Array:
            return jnp.stack([jnp.pad(array, (0, width - len(array))) if array.ndim else array for array in arrays])

        several = jax.vmap(of_one)(one, *jax.tree.map(stacked, *(layers[number] for number in numbers)))
        for place, number in enumerate(numbers):
            found[number] = jax.tree.map(lambda array: array[place], several)  # noqa: B023
    return [found[number] for number in range(len(layers))]


def distance_of_few(
    responses: Float[Array, "h w n"], target: Target, guide: Float[Array, "h w"] | None = None
) -> Float[Array, ""]:
    """``distance`` of responses at few positions: by a matrix over the positions, which is the smaller one.

    ``guide`` is a region's T, whose squares weigh the positions; not zero everywhere. The two ways differ by what ε
    does, see the module.
    """
    rows = responses.reshape(-1, responses.shape[-1]).astype(target.mean.dtype)
    shares = jnp.full(len(rows), 1 / len(rows), rows.dtype)
    if guide is not None:
        shares = jnp.square(guide.ravel()) / jnp.sum(jnp.square(guide))
    mean = _product(shares, rows)
    centred = jnp.sqrt(shares)[:, None] * (rows - mean)
    if target.basis is not None:
        mean, centred = _product(mean, target.basis), _product(centred, target.basis)
    both = _product(_product(centred, target.covariance), centred.T)
    moved = jnp.sum(jnp.square(centred)) + jnp.trace(target.covariance) - 2 * root_trace(both, target.epsilon**2)
    return (jnp.sum(jnp.square(mean - target.mean)) + moved) / target.channels


def _gaussian(
    mean: Array, second_moment: Array, basis: Array | None, epsilon: Array, one: Array
) -> tuple[Array, Array]:
    """Of Kᵀx the mean and the covariance, with ε I and what rounding may take away; I has the diagonal ``one``."""
    if basis is not None:
        mean, second_moment = _product(mean, basis), _product(basis.T, _product(second_moment, basis))
    covariance = second_moment - jnp.outer(mean, mean)
    rounding = ROUNDING * jnp.finfo(mean.dtype).eps * jnp.trace(second_moment)
    # along the mean rounding is worst: of responses that are alike everywhere nothing else is left
    along = _product(mean, _product(covariance, mean)) / jnp.maximum(_product(mean, mean), epsilon)
    least = epsilon + jax.lax.stop_gradient(rounding + 2 * jnp.maximum(-along, 0))
    return mean, covariance + jnp.diag(least * one)


@jax.custom_vjp
def bures(ours: Float[Array, "m m"], theirs: Float[Array, "m m"]) -> Float[Array, ""]:
    """tr(Σ + Σ′ − 2 (Σ′^½ Σ Σ′^½)^½) of positive definite matrices, with the gradients I − T and I − T⁻¹."""
    return _moved(ours, theirs)[0]


def _moved(ours: Array, theirs: Array) -> tuple[Array, tuple[Array, Array]]:
    """The distance, and both gradients."""
    sizes = jnp.trace(ours), jnp.trace(theirs)  # at least n ε; products of what is divided by them stay within range
    ours_shared, theirs_shared = ours / sizes[0], theirs / sizes[1]
    both = _product(ours_shared, theirs_shared)
    # c², the Frobenius norm of Σ′^½ Σ Σ′^½, by tr(ΣΣ′ΣΣ′); at least its trace over √m, which rounding does not spoil
    square = jnp.sqrt(jnp.maximum(jnp.sum(both * both.T), 0))
    square = jnp.maximum(square, jnp.sum(ours_shared * theirs_shared) / len(ours) ** 0.5)
    start = theirs_shared / jnp.sqrt(square), ours_shared / jnp.sqrt(square)
    forward, back = _coupled(*start, (FIRST, *STEPS))
    gain = jnp.sqrt(sizes[1] / sizes[0])
    forward, back = _symmetric(forward) * gain, _symmetric(back) / gain
    # what cancels is added first
    diagonal = jnp.diagonal(ours) + jnp.diagonal(theirs) - 2 * jnp.sum(ours * forward, 1)
    one = jnp.eye(len(ours), dtype=ours.dtype)
    return jnp.sum(diagonal), (one - forward, one - back)


bures.defvjp(_moved, lambda gradients, slope: (slope * gradients[0], slope * gradients[1]))


@jax.custom_vjp
def root_trace(matrix: Float[Array, "m m"], least: Float[Array, ""]) -> Float[Array, ""]:
    """Σ √(s + δ) − √δ over the eigenvalues s of a positive semidefinite matrix, with the gradient ½ (H + δ I)^-½.

    ``least`` is δ, more than 0. It has no gradient.
    """
    return _rooted(matrix, least)[0]


def _rooted(matrix: Array, least: Array) -> tuple[Array, Array]:
    """The trace, and the gradient."""
    root, inverse = _root(matrix + least * jnp.eye(len(matrix), dtype=matrix.dtype))
    return jnp.trace(root) - len(matrix) * jnp.sqrt(least), inverse / 2


root_trace.defvjp(_rooted, lambda gradient, slope: (slope * gradient, jnp.zeros_like(slope)))


def _root(matrix: Array) -> tuple[Array, Array]:
    """The root of a positive semidefinite matrix that is not 0, and its inverse."""
    one = jnp.eye(len(matrix), dtype=matrix.dtype)
    largest = jnp.max(jnp.abs(matrix))  # squares of what is divided by it stay within range
    norm = jnp.linalg.norm(matrix / largest)
    shared = matrix / largest / norm
    root, inverse = _coupled(shared, one, STEPS)
    gain = jnp.sqrt(largest * norm)
    return _symmetric(root) * gain, _symmetric(inverse) / gain


def _coupled(forward: Array, back: Array, steps: Sequence[Sequence[float]]) -> tuple[Array, Array]:
    """Y (ZY)^-½ and (ZY)^-½ Z, of Y and Z; the eigenvalues of ZY are in (0, 1].

    On a CPU the steps are one loop: so there is one step to compile for each layer of a style, not five.

    0 where rounding has left eigenvalues so far below 0 that they have grown beyond all bounds.
    """
    one = jnp.eye(len(forward), dtype=forward.dtype)

    def step(pair: tuple[Array, Array], p: Array) -> tuple[tuple[Array, Array], None]:
        forward, back = pair
        both = _product(back, forward)
        square = _product(both, both)
        factor = p[0] * one + p[1] * both + _product(square, p[2] * one + p[3] * both + p[4] * square)
        return (_product(forward, factor), _product(factor, back)), None

    def through(unroll: bool, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        found: tuple[Array, Array] = jax.lax.scan(step, pair, jnp.asarray(steps, one.dtype), unroll=unroll)[0]
        return found

    loop, unrolled = functools.partial(through, False), functools.partial(through, True)
    forward, back = jax.lax.platform_dependent((forward, back), cpu=loop, default=unrolled)
    forward, back = (jnp.where(jnp.isfinite(jnp.sum(each)), each, 0) for each in (forward, back))
    return forward, back


def _symmetric(matrix: Array) -> Array:
    return (matrix + matrix.T) / 2


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
