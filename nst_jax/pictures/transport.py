"""A photograph in the colours of paintings, and its detail given back where an image is enlarged. NumPy alone.

``colors.match`` moves mean and covariance, or R, G and B each for itself. Here the whole distribution of colours moves,
by sliced optimal transport (Pitié, Kokaram and Dahyot 2007; Rabin, Peyré, Delon and Bernot 2011): RGB is rotated at
random, the values along each axis are moved to the target's quantiles, and so on.

That map is steep where the photograph has many pixels of nearly one colour: it tears a plain sky into bands, and shows
the blocks and grain that 8 bits and JPEG left there. So it is made smooth over the picture by a guided filter (He, Sun
and Tang 2013): in each window the shifts are those of the linear function A x + b of the colours x that is nearest to
them, with ``RIDGE`` · |A|² added to the mean square. Where the window has edges, its function follows them; where it
varies by less than √``RIDGE``, all of it moves alike. That is done to the colours alone: light and dark keep the map's
own steps, faint as they are, for the strokes that are painted grow from them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nst_jax.pictures.images import resize as reduced
from nst_jax.pictures.threads import in_threads

#: Random rotations; how many colours of each picture tell its distribution, and how many quantiles are made of them.
ROTATIONS, SAMPLE, QUANTILES = 40, 32768, 512
#: The width within which a colour is taken to be anywhere: the step of 8 bits.
STEP = 1 / 255
#: Into how many equal parts an axis is cut to look its shifts up, and how far it goes to either side of 0.
BINS, RANGE = 4096, 2.0
#: Of a picture of more pixels the shifts are found at so many, and enlarged.
MOST = 2**18
#: Colours that a thread moves by all rotations before it takes the next: few for the cache, enough to be worth a turn.
BLOCK = 2**16
#: The filter's windows reach to so many parts of the longest side; deviations below 0.02, five steps, move alike.
WINDOW, RIDGE = 64, 4e-4


def in_colors_of(
    pixels: np.ndarray,
    targets: Sequence[np.ndarray],
    shares: Sequence[float] | None = None,
    weights: np.ndarray | None = None,
    target_weights: Sequence[np.ndarray | None] | None = None,
    wrap: bool = False,
) -> np.ndarray:
    """A picture, [H, W, 3] in [0, 1], in the colours of the targets, [h, w, 3] each; float32 [H, W, 3] in [0, 1].

    Args:
      pixels: the picture.
      targets: one or more pictures.
      shares: how much each target counts, 0 or more and not all 0; alike where None.
      weights, target_weights: how much each pixel counts, [H, W] and [h, w]; alike where None or all 0. What does not
        count is moved too, but moves nothing.
      wrap: whether the picture tiles: then the smoothing goes on at the other side.

    The same arguments give the same picture. Below a second at 512 pixels; each pixel more takes 0.7 µs of one core.
    """
    parts = np.asarray([1.0] * len(targets) if shares is None else shares, float)
    counts = np.diff(np.round(SAMPLE * np.cumsum(parts / parts.sum())).astype(int), prepend=0)
    counted = target_weights or [None] * len(targets)
    wanted = np.concatenate([_sample(*each) for each in zip(targets, counted, counts, strict=True)])
    moves = _moves(_sample(pixels, weights, SAMPLE), wanted)
    height, width = pixels.shape[:2]
    small, seen = pixels.astype(np.float32), np.ones((height, width), np.float32)
    if weights is not None and weights.any():
        seen = weights.astype(np.float32)
    if height * width > MOST:
        scale = (MOST / (height * width)) ** 0.5
        size = max(1, int(height * scale)), max(1, int(width * scale))
        small, seen = reduced(small, *size), reduced(seen, *size)
    linear, constant = _guided(small, _moved_by_all(small, moves) - small, seen, wrap)
    found = np.empty((height, width, 3), np.float32)
    rows = max(1, BLOCK // width)

    def move(start: int) -> None:
        part = pixels[start : start + rows].astype(np.float32)
        strip = start, start + len(part), height
        own_linear, own_constant = (_enlarged(each, strip, width, wrap) for each in (linear, constant))
        smooth = np.clip(part + np.einsum("hwi,hwij->hwj", part, own_linear) + own_constant, 0, 1)
        lighter = _moved_by_all(part, moves).mean(-1, keepdims=True) - smooth.mean(-1, keepdims=True)
        found[start : start + rows] = np.clip(smooth + lighter, 0, 1)

    in_threads(move, range(0, height, rows))
    return found


def with_detail(enlarged: np.ndarray, picture: np.ndarray, coarse: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """An enlarged image with what its smaller self could not hold: x + s (m − m₀), clipped to [0, 1].

    Args:
      enlarged: x, [..., H, W, 3].
      picture: m, which has that detail, [..., H, W, 3].
      coarse: m₀, the same reduced and enlarged again.
      share: s, from 0 to 1; a number, or one for each picture in an array that goes with them.
    """
    detailed: np.ndarray = np.clip(enlarged + np.asarray(share, np.float32) * (picture - coarse), 0, 1)
    return detailed


def _moves(ours: np.ndarray, theirs: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The axes of each rotation, [3, 3], and the shifts along each, [3, ``BINS`` + 1], that lead ours to theirs."""
    draw, moves = np.random.default_rng(0), []
    for _ in range(ROTATIONS):
        axes = np.linalg.qr(draw.normal(size=(3, 3)))[0].T.astype(np.float32)
        tables = np.stack([_table(ours @ axis, theirs @ axis) for axis in axes])
        ours = _moved(ours.T, axes, tables).T
        moves.append((axes, tables))
    return moves


def _moved_by_all(pixels: np.ndarray, moves: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """A picture [H, W, 3] after all the moves, clipped to [0, 1]."""
    colours = pixels.reshape(-1, 3)
    found = np.empty_like(colours)
    for start in range(0, len(colours), BLOCK):
        block = np.ascontiguousarray(colours[start : start + BLOCK].T)
        for axes, tables in moves:
            block = _moved(block, axes, tables)
        found[start : start + BLOCK] = np.clip(block, 0, 1).T
    return found.reshape(pixels.shape)


def _sample(pixels: np.ndarray, weights: np.ndarray | None, count: int) -> np.ndarray:
    """Colours of so many pixels, [count, 3]: one from each equal share of the weights, anywhere within its step."""
    flat = pixels.reshape(-1, 3)
    draw = np.random.default_rng(0)
    at = (np.arange(count) + draw.uniform(size=count)) / max(count, 1)
    if weights is None or not weights.any():
        chosen = (at * len(flat)).astype(np.int64)
    else:
        reached = np.cumsum(weights.ravel(), dtype=np.float64)
        chosen = np.searchsorted(reached, at * reached[-1], side="right")
    colours = flat[np.minimum(chosen, len(flat) - 1)].astype(np.float32)
    return colours + draw.uniform(-STEP / 2, STEP / 2, colours.shape).astype(np.float32)


def _table(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """How far to move a value along an axis, at ``BINS`` + 1 even places from -``RANGE`` to ``RANGE``.

    Between quantiles the shift is interpolated, so the map has no jumps; beyond the outer ones it is theirs.
    """
    from_levels, to_levels = (np.sort(each).reshape(QUANTILES, -1).mean(1) for each in (ours, theirs))
    places = np.linspace(-RANGE, RANGE, BINS + 1)
    table: np.ndarray = np.interp(places, from_levels, to_levels - from_levels).astype(np.float32)
    return table


def _moved(colours: np.ndarray, axes: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Colours [3, N] moved along each axis by its table."""
    places = axes @ colours
    places += np.float32(RANGE)
    places *= np.float32(BINS / (2 * RANGE))
    np.clip(places, 0, BINS - 1, out=places)
    below = places.astype(np.int32)
    places -= below
    low, shifts = (_looked_up(tables, each) for each in (below, below + 1))
    shifts -= low
    shifts *= places
    shifts += low
    moved: np.ndarray = axes.T @ shifts
    moved += colours
    return moved


def _looked_up(tables: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Of each table, [3, …], its numbers at places [3, N]."""
    return np.stack([table.take(each) for table, each in zip(tables, places, strict=True)])


def _guided(pixels: np.ndarray, shifts: np.ndarray, weights: np.ndarray, wrap: bool) -> tuple[np.ndarray, np.ndarray]:
    """A [H, W, 3, 3] and b [H, W, 3] of the smooth shifts x A + b of colours x: the means of all windows' over a pixel.

    ``weights`` say how much each pixel counts; where none does, all count alike.
    """
    reach = max(1, round(max(pixels.shape[:2]) / WINDOW))
    counted = 1e-3 + (weights / weights.max())[..., None]
    whole = _windows(counted, reach, wrap)

    def means(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = _windows(counted * values.reshape(*values.shape[:2], -1), reach, wrap) / whole
        return found.reshape(values.shape)

    mean, shift = means(pixels), means(shifts)
    spread = means(pixels[..., :, None] * pixels[..., None, :]) - mean[..., :, None] * mean[..., None, :]
    common = means(pixels[..., :, None] * shifts[..., None, :]) - mean[..., :, None] * shift[..., None, :]
    linear = np.linalg.solve(spread + RIDGE * np.eye(3), common)
    constant = shift - np.einsum("hwi,hwij->hwj", mean, linear)
    return means(linear).astype(np.float32), means(constant).astype(np.float32)


def _windows(values: np.ndarray, reach: int, wrap: bool) -> np.ndarray:
    """The sums over the windows that reach so far from each pixel, [H, W, C], float64; beyond the border a mirror."""
    around = ((reach + 1, reach), (reach + 1, reach), (0, 0))
    sums: np.ndarray = np.pad(values, around, mode="wrap" if wrap else "symmetric").astype(np.float64)
    span = 2 * reach + 1
    for axis in (0, 1):
        sums = np.moveaxis(sums.cumsum(axis), axis, 0)
        sums = np.moveaxis(sums[span:] - sums[:-span], 0, axis)
    return sums


def _enlarged(values: np.ndarray, rows: tuple[int, int, int], width: int, wrap: bool) -> np.ndarray:
    """[h, w, …] at the size (…, width): rows from the first to the second of so many in all. Linear in between."""
    first, last, height = rows
    for axis, places, size in ((0, np.arange(first, last), height), (1, np.arange(width), width)):
        count = values.shape[axis]
        if count == size:
            values = values.take(places, axis)
            continue
        at = (places + 0.5) * count / size - 0.5
        below = np.floor(at).astype(int)
        share = (at - below).astype(np.float32).reshape(-1, *[1] * (values.ndim - axis - 1))
        low, high = (values.take(each, axis, mode="wrap" if wrap else "clip") for each in (below, below + 1))
        values = low + share * (high - low)
    return values
