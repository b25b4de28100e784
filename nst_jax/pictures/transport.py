"""A picture in the colours of others: sliced optimal transport between the colours of their pixels. NumPy alone.

In turn for a number of random rotations of RGB, the values along each axis are moved to the quantiles that the target's
have there (Pitié, Kokaram and Dahyot 2007; Rabin et al. 2011). Where ``colors.match`` brings over mean and covariance,
this brings over the whole distribution, and what was one colour stays one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Random rotations, the quantiles along each of their axes, and the pixels of which those are taken: so the time does
#: not grow with the pictures, but for moving the pixels themselves.
ROTATIONS = 40
QUANTILES = 256
SAMPLE = 32768


def in_colors_of(
    pixels: np.ndarray,
    targets: Sequence[np.ndarray],
    shares: Sequence[float] | None = None,
    weights: np.ndarray | None = None,
    target_weights: Sequence[np.ndarray | None] | None = None,
) -> np.ndarray:
    """A picture, [H, W, 3] in [0, 1], in the colours of the targets, [h, w, 3] each; float32 [H, W, 3] in [0, 1].

    Args:
      pixels: the picture.
      targets: one or more pictures.
      shares: how much each target counts; alike where None.
      weights, target_weights: how much each pixel counts, [H, W] and [h, w]; alike where None or all 0.

    The same arguments give the same picture.
    """
    draw = np.random.default_rng(0)
    parts = np.asarray([1.0] * len(targets) if shares is None else shares, float)
    counts = np.round(SAMPLE * parts / parts.sum()).astype(int)
    seen = _sample(pixels, weights, SAMPLE, draw)
    wanted = np.concatenate(
        [
            _sample(target, weight, count, draw)
            for target, weight, count in zip(targets, target_weights or [None] * len(targets), counts, strict=True)
        ]
    )
    moved: np.ndarray = pixels.reshape(-1, 3).astype(np.float32)
    levels = np.linspace(0, 1, QUANTILES)
    for _ in range(ROTATIONS):
        axes = np.linalg.qr(draw.normal(size=(3, 3)))[0].astype(np.float32)
        ours, theirs = (np.quantile(each @ axes, levels, axis=0) for each in (seen, wanted))
        seen = seen + _shifts(seen @ axes, ours, theirs) @ axes.T
        moved = moved + _shifts(moved @ axes, ours, theirs) @ axes.T
    found: np.ndarray = np.clip(moved, 0, 1).reshape(pixels.shape)
    return found


def _shifts(values: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """How far each value along each axis, [N, 3], is to go; beyond the outer quantiles as far as they do."""
    columns = [np.interp(values[:, axis], ours[:, axis], theirs[:, axis] - ours[:, axis]) for axis in range(3)]
    return np.stack(columns, -1).astype(np.float32)


def _sample(pixels: np.ndarray, weights: np.ndarray | None, count: int, draw: np.random.Generator) -> np.ndarray:
    """So many pixels, drawn by their weights, [count, 3]: one from each of as many equal shares of the whole."""
    flat = pixels.reshape(-1, 3).astype(np.float32)
    if weights is None or not weights.any():
        weights = np.ones(len(flat))
    reached = np.cumsum(weights.ravel(), dtype=np.float64)
    at = (np.arange(count) + draw.uniform(size=count)) / max(1, count) * reached[-1]
    found: np.ndarray = flat[np.minimum(np.searchsorted(reached, at, side="right"), len(flat) - 1)]
    return found


def with_detail(enlarged: np.ndarray, picture: np.ndarray, coarse: np.ndarray, share: float) -> np.ndarray:
    """An enlarged image with what its smaller self could not hold: x + s (m − m₀), clipped to [0, 1].

    Args:
      enlarged: x, [..., H, W, 3].
      picture: m, which has that detail, [..., H, W, 3].
      coarse: m₀, the same reduced and enlarged again.
      share: s, from 0 to 1.
    """
    detailed: np.ndarray = np.clip(enlarged + np.float32(share) * (picture - coarse), 0, 1)
    return detailed
