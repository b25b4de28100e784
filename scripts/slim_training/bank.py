"""The bank: pictures that are being stylised under the student, from which every batch is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slim_training.contract import Targets, Teacher
from slim_training.lbfgs import MEMORY, Descent
from slim_training.pictures import Pictures, coarsened
from slim_training.student import CONTENT_TAP, STYLE_TAPS

#: Style weights of the default preset, in the order of ``STYLE_TAPS``.
STYLE_WEIGHTS = np.array([1, 1, 1, 1, 0.2], np.float32)
#: Steps that a picture is stylised for at most, before it is begun anew or replaced.
LONGEST_LIFE = 200
#: Batches that a photograph and a painting are in at most.
MOST_VISITS = 60
#: Batches after which a picture that ends counts for the log.
FINISHED_VISITS = 8


class Batch(NamedTuple):
    """Some pictures of the bank.

    Attributes:
      items: their numbers.
      rows: the arrays of ``Bank.rows``, one row an item.
      targets: the teacher's.
    """

    items: np.ndarray
    rows: dict[str, np.ndarray]
    targets: Targets


class Bank:
    """Pictures that are being stylised, as arrays with one row an item.

    Attributes:
      rows: ``Descent``'s fields; the photograph and painting that each is made of, ``content`` and ``style``; and the
        weights ``style_weights`` [5], ``content_weight`` and ``tv_weight``.
      targets: the teacher's, of all items.
      life: steps that the item's present optimisation lasts.
      visits: batches that it was in with its present photograph.
      default: whether its style weights are the preset's.
      first_losses: the teacher's losses at the first of the visits, [6].
    """

    def __init__(self, count: int, pictures: Pictures, teacher: Teacher, mean_age: float):
        self.pictures, self.rng, self.teacher, self.mean_age = pictures, pictures.rng, teacher, mean_age
        size, channels = pictures.size, teacher.channels

        def zeros(*shape: int) -> np.ndarray:
            return np.zeros((count, *shape), np.float32)

        self.rows = {name: zeros(size, size, 3) for name in ("content", "style", "x", "last_x", "gradient")}
        self.rows |= {name: zeros(MEMORY, size, size, 3) for name in ("steps", "changes")}
        self.rows |= {"age": np.zeros(count, np.int32), "style_weights": zeros(5)}
        self.rows |= {"content_weight": zeros(), "tv_weight": zeros()}
        self.targets = Targets(
            content=np.zeros((count, size // 8, size // 8, channels[CONTENT_TAP]), np.float16),
            style={tap: zeros(channels[tap], channels[tap]) for tap in STYLE_TAPS},
        )
        self.life, self.visits = np.zeros(count, np.int32), np.zeros(count, np.int32)
        self.default, self.first_losses = np.zeros(count, bool), np.ones((count, 6), np.float32)
        for item in range(count):
            self.renew(item)
            self.life[item] = 1 + self.life[item] * self.rng.random()  # so that they do not all end at once

    def renew(self, item: int) -> None:
        """Draws a new photograph, painting, balance and start picture.

        The start is the photograph, the painting or a mixture of both, sometimes with noise.
        """
        rng, rows = self.rng, self.rows
        content = self.pictures.crop("train" if rng.random() < 0.7 else "content" if rng.random() < 0.7 else "style")
        style = self.pictures.crop("style" if rng.random() < 0.75 else "train")
        rows["content"][item], rows["style"][item] = content, style
        targets = self.teacher.targets(content[None], style[None])
        self.targets.content[item] = targets.content[0]
        for tap in STYLE_TAPS:
            self.targets.style[tap][item] = targets.style[tap][0]
        self.default[item] = rng.random() < 0.5
        spread = 1 if self.default[item] else np.exp(1.2 * rng.normal(size=5))
        rows["style_weights"][item] = STYLE_WEIGHTS * spread
        rows["content_weight"][item] = np.exp(rng.uniform(np.log(0.1), np.log(4)))
        rows["tv_weight"][item] = 0 if rng.random() < 0.4 else np.exp(rng.uniform(np.log(0.3), np.log(20)))
        kind, share = rng.random(), rng.random()
        share = 0 if kind < 0.15 else share if kind < 0.3 else 1
        noise = rng.uniform(0, 0.15) if rng.random() < 0.3 else 0
        self.visits[item] = 0
        self.begin(item, share * content + (1 - share) * style + noise * rng.normal(size=content.shape))

    def begin(self, item: int, image: np.ndarray) -> None:
        """Starts the optimisation of an item anew from ``image`` [size, size, 3], which is clipped to [0, 1]."""
        self.rows["x"][item] = np.clip(image, 0, 1)
        for name in ("steps", "changes", "age"):
            self.rows[name][item] = 0
        self.life[item] = min(LONGEST_LIFE, 1 + self.rng.exponential(self.mean_age))

    def batch(self, size: int, avoid: Sequence[int] | np.ndarray = ()) -> Batch:
        """``size`` random items, none of ``avoid``."""
        items = self.rng.choice(np.setdiff1d(np.arange(len(self.life)), avoid), size, replace=False)
        style = {tap: target[items] for tap, target in self.targets.style.items()}
        rows = {name: array[items] for name, array in self.rows.items()}
        return Batch(items, rows, Targets(self.targets.content[items], style))

    def push(self, items: np.ndarray, moved: Descent, losses: np.ndarray) -> list[tuple[float, float]]:
        """Writes a batch's progress back, and begins anew or renews the items that are old enough.

        Args:
          items: the batch's.
          moved: where their optimisation is now.
          losses: the teacher's of them, before they moved, [B, 6].

        Returns (style loss over that at the start, content loss), by the teacher, of the items with default weights
        that ended.
        """
        finished = []
        for name, value in moved._asdict().items():
            self.rows[name][items] = value
        for item, loss in zip(items, losses, strict=True):
            if self.visits[item] == 0:
                self.first_losses[item] = loss
            self.visits[item] += 1
            if self.rows["age"][item] < self.life[item]:
                continue
            first = self.first_losses[item, :5]
            if self.visits[item] >= FINISHED_VISITS and self.default[item] and first.min() > 1e-3:
                finished.append((float(loss[:5] @ STYLE_WEIGHTS / (first @ STYLE_WEIGHTS)), float(loss[5])))
            if self.rng.random() < 0.4 and self.visits[item] < MOST_VISITS:
                self.begin(item, coarsened(self.rows["x"][item]))  # as a pyramid does: on from a coarser result
            else:
                self.renew(item)
        return finished
