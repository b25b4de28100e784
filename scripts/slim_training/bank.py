"""The bank: pictures that are being stylised under the student, from which every batch is taken.

Its arrays stay on the device. The host knows how old each item is, and so which are begun anew.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from nst_jax.choices import Pooling
from nst_jax.networks.pooling import pool
from slim_training.lbfgs import MEMORY, Descent
from slim_training.renewals import Renewal, Renewals
from slim_training.student import CONTENT_TAP, STYLE_TAPS, Moments, on_device
from slim_training.teacher import Targets, Teacher

#: Steps that a picture is stylised for at most, before it is begun anew or replaced.
LONGEST_LIFE = 200
#: Batches that a photograph and a painting are in at most.
MOST_VISITS = 60
#: Batches after which a picture that ends counts for the log.
FINISHED_VISITS = 8
#: With both poolings, every so many batches one is of maximum pooling, and so is this part of the items.
MAXIMUM_EVERY = 4
#: Items that are written at once, so that no number of them compiles anew.
GROUP = 4

Rows = dict[str, Any]


class Batch(NamedTuple):
    """Some pictures of the bank, all of one pooling.

    Attributes:
      items: their numbers.
      pooling: of both networks.
      rows: the arrays of ``Bank.rows``, one row an item.
      targets: the teacher's.
    """

    items: np.ndarray
    pooling: Pooling
    rows: Rows
    targets: Targets


class Bank:
    """Pictures that are being stylised, as arrays with one row an item.

    Attributes:
      rows: ``Descent``'s fields; the photograph and painting that each is made of, ``content`` and ``style``; the
        weights ``style_weights`` [5], ``content_weight`` and ``tv_weight``; and ``first_losses`` [6], the teacher's at
        the first of the visits.
      targets: the teacher's, of all items.
      members: the items of each pooling that has any: ``both``, or the average alone.
      age: steps of the item's present optimisation.
      life: steps that it lasts.
      visits: batches that it was in with its present photograph.
      default: whether its style weights are the preset's.
    """

    def __init__(
        self,
        count: int,
        size: int,
        renewals: Renewals,
        teacher: Teacher,
        mean_age: float,
        rng: np.random.Generator,
        both: bool = True,
    ):
        self.renewals, self.teacher, self.mean_age, self.rng = renewals, teacher, mean_age, rng
        channels = teacher.channels

        def zeros(*shape: int) -> Array:
            return jnp.zeros((count, *shape), jnp.float32)

        self.rows: Rows = {name: zeros(size, size, 3) for name in ("content", "style", "x", "last_x", "gradient")}
        self.rows |= {name: zeros(MEMORY, size, size, 3) for name in ("steps", "changes")}
        self.rows |= {"age": jnp.zeros(count, jnp.int32), "style_weights": zeros(5), "first_losses": zeros(6)}
        self.rows |= {"content_weight": zeros(), "tv_weight": zeros()}
        self.targets = Targets(
            content=jnp.zeros((count, size // 8, size // 8, channels[CONTENT_TAP]), jnp.float16),
            style={tap: Moments(zeros(channels[tap]), zeros(channels[tap], channels[tap])) for tap in STYLE_TAPS},
        )
        self.rows, self.targets = on_device((self.rows, self.targets))
        self.age, self.life, self.visits = (np.zeros(count, np.int32) for _ in range(3))
        self.default, self.batches = np.zeros(count, bool), 0
        most = count // MAXIMUM_EVERY if both else 0
        self.members: dict[Pooling, np.ndarray] = {"max": np.arange(most)} if both else {}
        self.members["avg"] = np.arange(most, count)
        self.ended: dict[Pooling, list[int]] = {"avg": [], "max": []}
        for pooling, items in self.members.items():
            for group in _groups(items):
                self.renew(group, pooling)
        self.life = 1 + np.int32(self.life * rng.random(count))  # so that they do not all end at once

    def renew(self, items: np.ndarray, pooling: Pooling) -> None:
        """Draws new photographs, paintings, balances and start pictures for some items of a pooling."""
        drawn = [self.renewals.take() for _ in items]
        self.default[items], self.visits[items] = [each.default for each in drawn], 0
        drawn, items = _filled(drawn), np.array(_filled(items))
        fresh = {
            name: np.stack([getattr(each, name) for each in drawn]) for name in Renewal._fields if name != "default"
        }
        targets = self.teacher.targets(fresh["content"], fresh["style"], pooling)
        self.rows, self.targets = _renewed(self.rows, self.targets, items, fresh, targets)
        self._begin(items)

    def _begin(self, items: np.ndarray) -> None:
        self.age[items] = 0
        self.life[items] = np.minimum(LONGEST_LIFE, 1 + self.rng.exponential(self.mean_age, len(items)))

    def batch(self, size: int) -> Batch:
        """``size`` random items: with both poolings, of the maximum at first and every fourth time."""
        pooling: Pooling = "avg" if "max" not in self.members or self.batches % MAXIMUM_EVERY else "max"
        self.batches += 1
        items = self.rng.choice(self.members[pooling], size, replace=False)
        return Batch(items, pooling, *_taken((self.rows, self.targets), items))

    def push(self, batch: Batch, moved: Descent, losses: Array, steps: int) -> tuple[Array, np.ndarray]:
        """Writes a batch's progress back, and begins anew or renews the items that are old enough.

        Args:
          batch: it, as it was taken.
          moved: where its optimisation is now.
          losses: the teacher's of it, before it moved, [B, 6].
          steps: that it took.

        Returns (mean style loss over that at the start, content loss) of each picture, by the teacher, [B, 2]; and
        which of them count, [B]: those with default weights that ended.
        """
        items, pooling = batch.items, batch.pooling
        self.rows, standing = _moved(self.rows, items, moved, losses, self.visits[items] == 0)
        self.visits[items] += 1
        self.age[items] += steps
        over = self.age[items] >= self.life[items]
        waiting = np.isin(items, self.ended[pooling])  # it has counted already
        finished = over & ~waiting & self.default[items] & (self.visits[items] >= FINISHED_VISITS)
        again = []
        for item in items[over]:
            if item in self.ended[pooling]:
                continue
            if self.rng.random() < 0.4 and self.visits[item] < MOST_VISITS:
                again.append(item)
            else:
                self.ended[pooling].append(item)
        for group in _groups(again):
            detail = self.rng.integers(0, 2, len(group))
            self.rows = _enlarged(self.rows, np.array(_filled(group)), np.array(_filled(detail), np.float32))
            self._begin(group)
        while len(self.ended[pooling]) >= GROUP:
            group, self.ended[pooling] = np.array(self.ended[pooling][:GROUP]), self.ended[pooling][GROUP:]
            self.renew(group, pooling)
        return standing, finished


def _groups(items: np.ndarray | list[int]) -> list[np.ndarray]:
    """Items in groups of at most ``GROUP``."""
    return [np.array(items[start : start + GROUP]) for start in range(0, len(items), GROUP)]


def _filled(items: Any) -> list[Any]:
    """So many of a group as ``GROUP`` says: what is missing is its first one again, which changes nothing."""
    return [*items, *[items[0]] * (GROUP - len(items))]


@jax.jit
def _taken(arrays: Any, items: Array) -> Any:
    return jax.tree.map(lambda array: array[items], arrays)


@functools.partial(jax.jit, donate_argnums=(0, 1))
def _renewed(rows: Rows, targets: Targets, items: Array, fresh: Rows, aims: Targets) -> tuple[Rows, Targets]:
    """The bank with new pictures, and their targets, in place of some items."""
    rows = rows | {name: rows[name].at[items].set(array) for name, array in fresh.items()}
    return _forgotten(rows, items), jax.tree.map(lambda all, some: all.at[items].set(some), targets, aims)


@functools.partial(jax.jit, donate_argnums=0)
def _enlarged(rows: Rows, items: Array, detail: Array) -> Rows:
    """The bank with some items begun anew as a pyramid does: on from a coarser result.

    Where ``detail`` is 1, the photograph's finest octave comes back with it.
    """
    x, content = rows["x"][items], rows["content"][items]
    lost = content - coarsened(content)
    x = jnp.clip(coarsened(x) + detail[:, None, None, None] * lost, 0, 1)
    return _forgotten(rows | {"x": rows["x"].at[items].set(x)}, items)


@functools.partial(jax.jit, donate_argnums=0)
def _moved(rows: Rows, items: Array, moved: Descent, losses: Array, first: Array) -> tuple[Rows, Array]:
    """The bank with a batch's progress, and how far its pictures are, see ``Bank.push``."""
    begun = jnp.where(first[:, None], losses, rows["first_losses"][items])
    fields = moved._asdict() | {"first_losses": begun}
    style, before = (jnp.mean(each[:, : len(STYLE_TAPS)], 1) for each in (losses, begun))
    standing = jnp.stack([style / before, losses[:, -1]], 1)
    return rows | {name: rows[name].at[items].set(value) for name, value in fields.items()}, standing


def _forgotten(rows: Rows, items: Array) -> Rows:
    """The rows without some items' L-BFGS memory."""
    return rows | {name: rows[name].at[items].set(0) for name in ("steps", "changes", "age")}


def coarsened(images: Array) -> Array:
    """Images [B, H, W, 3] that have lost their finest octave."""
    return jax.image.resize(pool(images, "avg"), images.shape, "cubic")
