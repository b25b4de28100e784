"""The style as a distribution: squared 2-Wasserstein distance between Gaussians, and its gradient in closed form.

Of Gaussians with means μ, μ′ and covariances Σ, Σ′ it is (Dowson and Landau 1982)

    W₂² = ‖μ − μ′‖² + tr(Σ + Σ′ − 2 (Σ′^½ Σ Σ′^½)^½),

and its gradient by Σ is I − T, where T = Σ′^½ (Σ′^½ Σ Σ′^½)^−½ Σ′^½ is the linear map that transports the one to the
other: so the trace in the formula is ⟨T, Σ⟩, and one inverse root gives value and gradient at once.

Roots are taken by matrix products alone. With S = Σ′^½ Σ Σ′^½ divided by its Frobenius norm, Y₀ = S and Z₀ = I, the
coupled iteration

    Y ← Y q(ZY),  Z ← q(ZY) Z,  q(M) = a I + b M + c M²

takes Y to S^½ and Z to S^−½. Newton and Schulz's q has c = 0 and lets what is small grow by a factor of 1.5 a turn;
here a, b and c are those for which a x + b x³ + c x⁵ is nearest to 1, in the maximum norm, over the interval in which
the roots x of S's eigenvalues then are (``coefficients``): what is small grows eight- and fourfold. Responses of a
picture of few positions have covariances without full rank, with condition numbers of 1e10 and more; what an iteration
of fixed length leaves of the smallest eigenvalues is in docs/quality.md.

Responses that stand for others by a linear map E, [n, N], have images Eᵀx with covariance EᵀΣE. Let E Eᵀ = F Fᵀ with
F [n, n]; then Eᵀ = Q Fᵀ with QᵀQ = I, so EᵀΣE = Q (FᵀΣF) Qᵀ. Outside the span of Q both covariances are 0, or ε with
ε I added to both, and contribute ε + ε − 2 ε = 0. So the distance is that of FᵀΣF + ε I and FᵀΣ′F + ε I, of size n, and
not nearly.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: What is added to the diagonal of a matrix whose root is taken, in terms of its Frobenius norm: rounding leaves
#: eigenvalues of −1e-7 of it, which no root has and which the iteration would grow.
LIFT = 1e-6
#: The turns for the distance, and for the painting's root, which is taken once; both from √``LIFT`` on. Six take 25
#: products a layer.
TURNS, TURNS_ONCE = 6, 8

Coefficients = tuple[tuple[float, float, float], ...]


@functools.cache
def coefficients(least: float, turns: int) -> Coefficients:
    """(a, b, c) of each turn: minimax approximations of 1 by a x + b x³ + c x⁵, the first over [least, 1].

    Each turn's interval is what the one before makes of its own. Found by Remez's exchange of four points.
    """
    low, high, found = least, 1.0, []
    for _ in range(turns):
        if high - low < 1e-4:  # converged: the next terms of the series of 1/√ (15/8, −10/8, 3/8)
            found.append((1.875, -1.25, 0.375))
            continue
        points = low + (high - low) * (1 - np.cos(np.linspace(0, np.pi, 4))) / 2
        for _ in range(60):
            columns = [points, points**3, points**5, np.array([1.0, -1.0, 1.0, -1.0])]
            a, b, c, error = np.linalg.solve(np.stack(columns, 1), np.ones(4))
            extremes = np.sqrt(np.sort(np.roots([5 * c, 3 * b, a]).real))
            points = np.array([low, *extremes, high])
        found.append((float(a), float(b), float(c)))
        low, high = 1 - abs(error), 1 + abs(error)
    return tuple(found)


def roots(matrix: Float[Array, "n n"], turns: Coefficients) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """S^½ and S^−½ of a symmetric, positive matrix that is not zero, lifted by ``LIFT``; in its own type."""
    norm = jnp.sqrt(jnp.sum(matrix * matrix))
    unit = jnp.eye(len(matrix), dtype=matrix.dtype)
    root, inverse = (matrix / norm + LIFT * unit) / (1 + LIFT), unit
    for number, (a, b, c) in enumerate(turns):
        both = _product(inverse, root) if number else root
        factor = a * unit + b * both + c * _product(both, both)
        root = _symmetric(_product(root, factor))
        inverse = _symmetric(_product(factor, inverse)) if number else factor
    return root * jnp.sqrt(norm), inverse / jnp.sqrt(norm)


def root_of(matrix: Float[Array, "*r n n"]) -> Float[Array, "*r n n"]:
    """Σ^½ of symmetric, positive matrices: taken once, and so more exactly than in ``spread_distance``."""

    def one(each: Array) -> Array:
        return roots(each, coefficients(LIFT**0.5, TURNS_ONCE))[0]

    for _ in range(matrix.ndim - 2):
        one = jax.vmap(one)
    return one(matrix)


def covariance(
    mean: Float[Array, "*r n"], second: Float[Array, "*r n n"], ridge: Float[Array, ""] | float
) -> Float[Array, "*r n n"]:
    """Σ = E[x xᵀ] − μ μᵀ, with ``ridge`` added to its diagonal: then it is positive whatever the picture."""
    spread = second - mean[..., :, None] * mean[..., None, :]
    return spread + ridge * jnp.eye(mean.shape[-1], dtype=spread.dtype)


@jax.custom_vjp
def spread_distance(
    spread: Float[Array, "n n"], target: Float[Array, "n n"], target_root: Float[Array, "n n"]
) -> Float[Array, ""]:
    """tr(Σ + Σ′ − 2 (Σ′^½ Σ Σ′^½)^½), 0 or more.

    Differentiable in reverse by ``spread`` alone; the target's are a run's constants, and their slopes are 0.
    """
    return _spread_forward(spread, target, target_root)[0]


def _spread_forward(spread: Array, target: Array, target_root: Array) -> tuple[Array, tuple[Array, Array]]:
    inner = _product(_product(target_root, spread), target_root)
    _, inverse = roots(_symmetric(inner), coefficients(LIFT**0.5, TURNS))
    transport = _symmetric(_product(_product(target_root, inverse), target_root))
    distance = jnp.trace(spread) + jnp.trace(target) - 2 * jnp.sum(transport * spread)
    return jnp.maximum(distance, 0), (transport, target)


def _spread_backward(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array, Array]:
    transport, target = kept
    nothing = jnp.zeros_like(target)
    return slope * (jnp.eye(len(transport), dtype=transport.dtype) - transport), nothing, nothing


spread_distance.defvjp(_spread_forward, _spread_backward)


def distance(
    mean: Float[Array, " n"],
    second: Float[Array, "n n"],
    target_mean: Float[Array, " n"],
    target: Float[Array, "n n"],
    target_root: Float[Array, "n n"],
    ridge: Float[Array, ""] | float,
) -> Float[Array, ""]:
    """W₂² of two Gaussians, from the mean and the second moment E[x xᵀ] of one, which add up over positions.

    ``target`` is the other's covariance with ``ridge`` on its diagonal, and ``target_root`` its root.
    """
    between = jnp.sum(jnp.square(mean - target_mean))
    return between + spread_distance(covariance(mean, second, ridge), target, target_root)


def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)


def _symmetric(matrix: Array) -> Array:
    """Products of symmetric matrices that commute are symmetric, but for rounding, which the iteration would grow."""
    return (matrix + matrix.T) / 2
