"""One step of L-BFGS for a picture whose memory lies in the bank between its steps.

The library's own L-BFGS (``nst_jax.optimize``) looks whether each step lowered the loss; here the student has changed
since the last step, so values do not compare, and every step is taken, but a short one.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

MEMORY = 6  # pairs that each picture keeps
LONGEST = 0.1  # root mean square of a step at most, in units of the picture's range


class Descent(NamedTuple):
    """Where the optimisation of a picture is.

    Attributes:
      x: the picture, [H, W, 3] in [0, 1].
      last_x, gradient: the picture before the last step, and the gradient there.
      steps, changes: past steps and the changes of the gradient by them, [MEMORY, H, W, 3], newest last; zeros where
        there is none yet.
      age: steps taken.
    """

    x: Array
    last_x: Array
    gradient: Array
    steps: Array
    changes: Array
    age: Array


def step(at: Descent, gradient: Float[Array, "h w 3"]) -> Descent:
    """One step of length 1 from a picture with this gradient, clipped to [0, 1].

    A pair of negative curvature is not learnt. Without any pair the step is along the gradient, of norm 1.
    """
    change, moved = gradient - at.gradient, at.x - at.last_x
    curvature = jnp.vdot(moved, change)
    good = (at.age > 0) & (curvature > 1e-9 * jnp.linalg.norm(moved) * jnp.linalg.norm(change) + 1e-20)
    steps = jnp.where(good, jnp.concatenate([at.steps[1:], moved[None]]), at.steps)
    changes = jnp.where(good, jnp.concatenate([at.changes[1:], change[None]]), at.changes)
    direction = _two_loops(gradient, steps, changes)
    rms = jnp.sqrt(jnp.mean(direction**2))
    x = jnp.clip(at.x - direction * jnp.minimum(1.0, LONGEST / (rms + 1e-12)), 0, 1)
    return Descent(x, at.x, gradient, steps, changes, at.age + 1)


def _two_loops(gradient: Array, steps: Array, changes: Array) -> Array:
    """The inverse Hessian of the pairs times the gradient (Nocedal and Wright 2006, algorithm 7.4)."""
    curvatures = jnp.sum(steps * changes, (1, 2, 3))
    inverse = jnp.where(curvatures > 0, 1 / jnp.where(curvatures > 0, curvatures, 1), 0.0)
    direction, factors = gradient, [jnp.float32(0)] * MEMORY
    for i in reversed(range(MEMORY)):
        factors[i] = inverse[i] * jnp.vdot(steps[i], direction)
        direction = direction - factors[i] * changes[i]
    latest = jnp.vdot(changes[-1], changes[-1])
    size = jnp.linalg.norm(gradient)
    first = 1 / (size + 1e-12)
    direction = direction * jnp.where(latest > 0, curvatures[-1] / jnp.where(latest > 0, latest, 1), first)
    for i in range(MEMORY):
        direction = direction + steps[i] * (factors[i] - inverse[i] * jnp.vdot(changes[i], direction))
    return jnp.where(jnp.vdot(direction, gradient) > 0, direction, gradient / (size + 1e-12))
