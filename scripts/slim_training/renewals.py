"""What the bank's items begin with: a photograph, a painting, a balance and a start, prepared ahead in threads.

Each is drawn by its own number's generator, so that they are the same whichever thread is done first.
"""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import os
import time
from types import TracebackType
from typing import NamedTuple

import numpy as np

from nst_jax.options.presets import preset
from nst_jax.pictures.transport import in_colors_of
from slim_training.pictures import Pictures
from slim_training.student import STYLE_TAPS

_DEFAULT = preset("default").for_network("slim")
#: Style weights of the default preset, in the order of ``STYLE_TAPS``.
STYLE_WEIGHTS = np.array([_DEFAULT.style_layer_weights[tap] for tap in STYLE_TAPS], np.float32)
#: The other weights are drawn between so many times the default preset's.
CONTENT_RANGE, TV_RANGE = (0.25, 10), (0.15, 10)
#: Share of the items whose photograph is brought into the painting's colours first.
IN_COLORS = 0.6
#: Renewals that are prepared ahead.
AHEAD = 96


class Renewal(NamedTuple):
    """What an item begins with.

    Attributes:
      content, style, x: the photograph, the painting and the start, [size, size, 3] in [0, 1].
      style_weights, content_weight, tv_weight: [5], [] and [].
      default: whether the style weights are the preset's.
    """

    content: np.ndarray
    style: np.ndarray
    x: np.ndarray
    style_weights: np.ndarray
    content_weight: np.float32
    tv_weight: np.float32
    default: bool


def draw(pictures: Pictures, rng: np.random.Generator) -> Renewal:
    """A new photograph, often in the painting's colours, painting and balance.

    The start is the photograph, the painting or a mixture of both, sometimes with noise.
    """
    kind = "train" if rng.random() < 0.7 else "content" if rng.random() < 0.7 else "style"
    content = pictures.crop(kind, rng)
    style = pictures.crop("style" if rng.random() < 0.75 else "train", rng)
    if rng.random() < IN_COLORS:
        content = in_colors_of(content, [style])
    default = bool(rng.random() < 0.5)
    spread = np.float32(1) if default else np.exp(0.7 * rng.normal(size=5)).astype(np.float32)
    content_weight = _DEFAULT.loss_weights["content_weight"] * np.exp(rng.uniform(*np.log(CONTENT_RANGE)))
    tv_weight = _DEFAULT.loss_weights["tv_weight"] * np.exp(rng.uniform(*np.log(TV_RANGE)))
    tv_weight *= rng.random() > 0.4
    start, share = rng.random(), rng.random()
    share = 0 if start < 0.15 else share if start < 0.3 else 1
    noise = rng.uniform(0, 0.15) if rng.random() < 0.3 else 0
    x = np.clip(share * content + (1 - share) * style + noise * rng.normal(size=content.shape), 0, 1)
    weights = STYLE_WEIGHTS * spread, np.float32(content_weight), np.float32(tv_weight)
    return Renewal(content, style, x.astype(np.float32), *weights, default)


class Renewals:
    """The renewals of a seed one after the other; a context manager.

    Attributes:
      waited: seconds that were waited for them.
    """

    def __init__(self, pictures: Pictures, *seed: int):
        self.pictures, self.seed, self.numbers, self.waited = pictures, seed, itertools.count(), 0.0
        self.pool = concurrent.futures.ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 2))
        self.coming: collections.deque[concurrent.futures.Future[Renewal]] = collections.deque()

    def __enter__(self) -> Renewals:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(cancel_futures=True)

    def take(self) -> Renewal:
        """The next one."""
        while len(self.coming) < AHEAD:
            rng = np.random.default_rng([*self.seed, next(self.numbers)])
            self.coming.append(self.pool.submit(draw, self.pictures, rng))
        began = time.monotonic()
        found = self.coming.popleft().result()
        self.waited += time.monotonic() - began
        return found
