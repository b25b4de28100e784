"""How far the student is from a lesson of the teacher's: the loss that is learnt from."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from nst_jax.losses import formulas
from nst_jax.networks.pooling import pool
from slim_training import student
from slim_training.contract import Lesson, Numbers, window
from slim_training.student import STYLE_TAPS, TAPS, Goals, Params

#: How much each tap counts, in the order of ``TAPS``: the 2015 losses are dominated by the fourth block.
IMPORTANCE = dict(zip(TAPS, (0.5, 1.0, 1.0, 1.5, 1.5, 0.5), strict=True))
#: Part of a target's own square that is added to the square of a Gram matrix's difference from it: near the goal, the
#: difference is mostly rounding.
FLOOR = 0.03
#: Sizes at which gradients are compared, each half the one before.
OCTAVES = 4


class Standing(NamedTuple):
    """Where the student stands with a batch: what the bank needs to move its pictures on under it.

    Attributes:
      metrics: how responses are compared at each tap.
      goals: the student's own targets.
      gradient: of the student's stylisation loss with respect to the pictures, [B, H, W, 3].
    """

    metrics: dict[str, formulas.Metric]
    goals: Goals
    gradient: Array


def loss(
    params: Params,
    rows: Mapping[str, Array],
    lesson: Lesson,
    targets: Mapping[str, Array],
    scales: Mapping[str, Any],
    gradient_weight: float,
) -> tuple[Array, tuple[dict[str, Array], Standing]]:
    """How far the student is from the teacher's answers; with them for the log, per tap, and where it stands.

    Features: relative squared error. Gram differences G - A, which drive the style: relative squared error,
    logarithmic. Gradients of the stylisation loss (with ``gradient_weight``, for a lesson that has them): the same, of
    the gradient and three halvings of it, because L-BFGS follows coarse structure as much as fine.

    Args:
      params: the student.
      rows: the batch's rows of the bank.
      lesson: what the teacher says of it.
      targets: the teacher's Gram matrices of the paintings, A, per style tap, [B, N, N].
      scales: root mean square of the teacher's responses per tap.
      gradient_weight: of the gradients' error beside the others; a Python number.
    """
    goals, metrics = student.goals(params, rows), student.metrics(params)
    gradient, taps = student.image_gradient(params, metrics, goals, rows["x"])
    fits = _feature_errors(params, taps, lesson, scales)
    differences = _gram_errors(params, taps, goals, lesson, targets, scales)
    total = jnp.mean(fits * jnp.array([IMPORTANCE[tap] for tap in TAPS]))
    total = total + jnp.mean(differences * jnp.array([IMPORTANCE[tap] for tap in STYLE_TAPS]))
    slopes = jnp.zeros(OCTAVES)
    if gradient_weight:
        slopes = _gradient_errors(gradient, lesson.gradient)
        total = total + gradient_weight * jnp.mean(slopes)
    log = {"loss": total, "features": fits, "grams": differences, "gradients": slopes}
    return total, (log, Standing(metrics, goals, gradient))


def _feature_errors(params: Params, taps: Mapping[str, Array], lesson: Lesson, scales: Mapping[str, Any]) -> Array:
    """Per tap, [6]: the mean over the batch of Σ (F E - F_teacher)² / Σ F_teacher²."""
    seen = window(dict(taps))
    errors = []
    for tap in TAPS:
        target = lesson.features[tap] / scales[tap]
        errors.append(jnp.mean(_relative(seen[tap] @ params["maps"][tap] - target, target)))
    return jnp.stack(errors)


def _gram_errors(
    params: Params,
    taps: Mapping[str, Array],
    goals: Goals,
    lesson: Lesson,
    targets: Mapping[str, Array],
    scales: Mapping[str, Any],
) -> Array:
    """Per style tap, [5]: the mean over the batch of log(1 + e), e the relative error of Eᵀ (G - A) E."""
    errors = []
    for tap in STYLE_TAPS:
        matrix, scale = params["maps"][tap], scales[tap] ** 2
        mapped = jnp.einsum("cd,bce,ef->bdf", matrix, formulas.gram(taps[tap]) - goals.style[tap], matrix)
        target = (lesson.grams[tap] - targets[tap]) / scale
        floor = FLOOR * jnp.sum((targets[tap] / scale) ** 2, (1, 2))
        error = jnp.sum((mapped - target) ** 2, (1, 2)) / (jnp.sum(target**2, (1, 2)) + floor)
        errors.append(jnp.mean(jnp.log1p(error)))
    return jnp.stack(errors)


def _gradient_errors(ours: Array, theirs: Numbers) -> Array:
    """Per octave, [OCTAVES]: the mean over the batch of log(1 + e), e the relative error of the gradients."""
    pairs = zip(_octaves(ours), _octaves(theirs), strict=True)
    return jnp.stack([jnp.mean(jnp.log1p(_relative(a - b, b))) for a, b in pairs])


def _octaves(x: Array) -> list[Array]:
    """Images [B, H, W, 3] and their halvings."""
    return functools.reduce(lambda found, _: [*found, pool(found[-1], "avg")], range(OCTAVES - 1), [x])


def _relative(error: Array, target: Array) -> Array:
    """Σ error² / Σ target² per item, [B], of arrays [B, h, w, c]."""
    return jnp.sum(error**2, (1, 2, 3)) / (jnp.sum(target**2, (1, 2, 3)) + formulas.TINY)
