"""How far the student is from a lesson of the teacher's: the loss that is learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from nst_jax.choices import Pooling
from nst_jax.losses import formulas
from slim_training import student
from slim_training.student import STYLE_TAPS, TAPS, Moments, Params
from slim_training.teacher import Lesson, window

#: How much each tap counts, in the order of ``TAPS``.
IMPORTANCE = dict(zip(TAPS, (0.5, 1.0, 1.0, 1.5, 1.5, 0.5), strict=True))
#: Part of a target's own square that is added to the square of a moment's difference from it: near the goal, the
#: difference is mostly rounding.
FLOOR = 0.03


def loss(
    params: Params,
    rows: Mapping[str, Array],
    lesson: Lesson,
    targets: Mapping[str, Moments],
    scales: Mapping[str, Any],
    pooling: Pooling,
) -> tuple[Array, dict[str, Array]]:
    """How far the student is from the teacher's answers; with them for the log, per tap.

    Features: relative squared error. How far the moments are from the painting's, which drives the style: relative
    squared errors of the differences of means and of second moments, logarithmic.

    Args:
      params: the student.
      rows: the batch's rows of the bank.
      lesson: what the teacher says of it.
      targets: the teacher's moments of the paintings, per style tap.
      scales: root mean square of the teacher's responses per tap.
      pooling: of both networks.
    """
    taps, paintings = (student.features(params, rows[name], pooling) for name in ("x", "style"))
    fits = _feature_errors(params, taps, lesson, scales)
    errors = {
        tap: _moment_errors(
            params["maps"][tap],
            (student.moments_of(taps[tap]), student.moments_of(paintings[tap])),
            (lesson.style[tap], targets[tap]),
            scales[tap],
        )
        for tap in STYLE_TAPS
    }
    means, seconds = (jnp.stack([errors[tap][i] for tap in STYLE_TAPS]) for i in range(2))
    total = jnp.mean(fits * jnp.array([IMPORTANCE[tap] for tap in TAPS]))
    total = total + jnp.mean((means + seconds) * jnp.array([IMPORTANCE[tap] for tap in STYLE_TAPS]))
    return total, {"loss": total, "features": fits, "means": means, "seconds": seconds}


def _feature_errors(params: Params, taps: Mapping[str, Array], lesson: Lesson, scales: Mapping[str, Any]) -> Array:
    """Per tap, [6]: the mean over the batch of Σ (F E - F_teacher)² / Σ F_teacher²."""
    seen = window(dict(taps))
    errors = []
    for tap in TAPS:
        target = lesson.features[tap] / scales[tap]
        error = jnp.sum((seen[tap] @ params["maps"][tap] - target) ** 2, (1, 2, 3))
        errors.append(jnp.mean(error / (jnp.sum(target**2, (1, 2, 3)) + formulas.TINY)))
    return jnp.stack(errors)


def _moment_errors(
    matrix: Array, ours: tuple[Moments, Moments], theirs: tuple[Moments, Moments], scale: Any
) -> tuple[Array, Array]:
    """The errors of Eᵀ (μ - μ′) and Eᵀ (G - G′) E beside the teacher's, means over the batch of log(1 + e).

    ``ours`` and ``theirs`` are the moments of the pictures and of the paintings.
    """
    mean = (ours[0].mean - ours[1].mean) @ matrix
    second = jnp.einsum("cd,bce,ef->bdf", matrix, ours[0].second - ours[1].second, matrix)
    picture, painting = theirs
    return (
        _relative(mean, (picture.mean - painting.mean) / scale, painting.mean / scale),
        _relative(second, (picture.second - painting.second) / scale**2, painting.second / scale**2),
    )


def _relative(difference: Array, target: Array, painting: Array) -> Array:
    """The mean over the batch of log(1 + e), with e the relative squared error of a difference from the painting."""
    axes = tuple(range(1, target.ndim))
    size = jnp.sum(target**2, axes) + FLOOR * jnp.sum(painting**2, axes) + formulas.TINY
    return jnp.mean(jnp.log1p(jnp.sum((difference - target) ** 2, axes) / size))
