"""A photograph in the painting's colours, and its detail given back where an image is enlarged. NumPy alone.

``colors.match`` moves mean and covariance, or R, G and B each for itself. Here the whole distribution of colours moves,
by sliced optimal transport (Pitié, Kokaram and Dahyot 2007; Rabin, Peyré, Delon and Bernot 2011): RGB is rotated at
random, the values along each axis are moved to the target's quantiles, and so on.

That map is steep where the photograph has many pixels of nearly one colour: it tears a plain sky into bands, and shows
the blocks and grain that 8 bits and JPEG left there. So it is made smooth over the picture by a guided filter (He, Sun
and Tang 2013): in each window the shifts are those of the linear function A x + b of the colours x that is nearest to
them, with ``RIDGE`` · |A|² added to the mean square. Where the window has edges, its function follows them; where it
varies by less than √``RIDGE``, all of it moves alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nst_jax.images import resize as reduced

#: How many colours of each picture tell its distribution, and how many quantiles are made of them.
SAMPLE, QUANTILES = 32768, 512
#: The width within which a colour is taken to be anywhere: the step of 8 bits.
STEP = 1 / 255
#: Into how many equal parts an axis is cut to look its shifts up, and how far it goes to either side of 0.
BINS, RANGE = 4096, 2.0
#: Of a picture of more pixels the shifts are found at so many, and enlarged; and so many are moved at a time.
MOST = 2**18
#: Colours that are moved by all rotations before the next are, for the sake of the processor's cache.
BLOCK = 2**13
#: The filter's windows reach to so many parts of the longest side; deviations below 0.02, five steps, move alike.
WINDOW, RIDGE = 64, 4e-4

#: A picture, how much each of its pixels counts or None, and how much it counts among several.
Part = tuple[np.ndarray, np.ndarray | None, float]


def in_colors_of(
    pixels: np.ndarray,
    target: np.ndarray | Sequence[Part],
    weights: np.ndarray | None = None,
    target_weights: np.ndarray | None = None,
    rotations: int = 40,
    seed: int = 0,
    smooth: bool = True,
    wrap: bool = False,
) -> np.ndarray:
    """A picture in the colours of another, float32 [H, W, 3] in [0, 1].

    Args:
      pixels: [H, W, 3] in [0, 1].
      target: the picture whose colours are wanted, [H', W', 3]; or several ``Part``, whose colours are mixed by their
        shares, which are 0 or more and not all 0.
      weights, target_weights: how much each pixel counts, [H, W] and [H', W']; all the same where None or all 0. What
        does not count is moved too, but moves nothing.
      rotations: how many; after 40 the quantiles are the target's but for a hundredth.
      seed: of the rotations, and of the pixels that are looked at.
      smooth: keeps plain parts plain, at a distance from the target's distribution that is a tenth or so of what it
        was. Else what has the same colour gets the same, as near the target's distribution as can be.
      wrap: whether the picture tiles: then the smoothing goes on at the other side.

    0.6 s at 512 pixels. The time hardly grows with the targets. With ``smooth`` it grows by 0.5 µs for each pixel
    beyond ``MOST``, else by 2 µs.
    """
    parts: Sequence[Part] = [(target, target_weights, 1.0)] if isinstance(target, np.ndarray) else target
    total = sum(share for *_, share in parts)
    ends = np.round(SAMPLE * np.cumsum([share / total for *_, share in parts])).astype(int)
    counts = np.diff(ends, prepend=0)
    ours = _sample(pixels, weights, SAMPLE, seed)
    theirs = np.concatenate(
        [_sample(each, counted, count, seed) for (each, counted, _), count in zip(parts, counts, strict=True)]
    )
    moves = []
    for axes in _rotations(rotations, seed):
        tables = np.stack([_table(ours @ axis, theirs @ axis) for axis in axes])
        ours = _moved(ours, axes, tables)
        moves.append((axes, tables))

    def all_moved(colours: np.ndarray) -> np.ndarray:
        found = np.empty_like(colours)
        for start in range(0, len(colours), BLOCK):
            block = colours[start : start + BLOCK]
            for axes, tables in moves:
                block = _moved(block, axes, tables)
            found[start : start + BLOCK] = np.clip(block, 0, 1)
        return found

    height, width = pixels.shape[:2]
    found = np.empty((height, width, 3), np.float32)
    rows = max(1, MOST // width)
    small = pixels.astype(np.float32)
    if smooth:
        counted = np.ones((height, width), np.float32) if weights is None or not weights.any() else weights
        if height * width > MOST:
            scale = (MOST / (height * width)) ** 0.5
            size = max(1, int(height * scale)), max(1, int(width * scale))
            small, counted = reduced(small, *size), reduced(counted, *size)
        shifts = all_moved(small.reshape(-1, 3)).reshape(small.shape) - small
        linear, constant = _guided(small, shifts, counted, wrap)
    for start in range(0, height, rows):
        part = pixels[start : start + rows].astype(np.float32)
        if smooth:
            own_linear, own_constant = (
                _enlarged(each, (start, start + len(part), height), width, wrap) for each in (linear, constant)
            )
            part = np.clip(part + np.einsum("hwi,hwij->hwj", part, own_linear) + own_constant, 0, 1)
        else:
            part = all_moved(part.reshape(-1, 3)).reshape(part.shape)
        found[start : start + rows] = part
    return found


def with_detail(
    image: np.ndarray,
    photograph: np.ndarray,
    share: float,
    resize: Callable[[np.ndarray, int, int], np.ndarray],
) -> np.ndarray:
    """An image enlarged to the photograph's size, with the detail that its own size could not hold: float32 in [0, 1].

    That is up(x) + share · (m − up(down(m))), clipped. What is in m and finer than x can be comes back, and what x has
    made of the rest stays.

    Args:
      image: x, [h, w, 3] in [0, 1].
      photograph: m at the new size, [H, W, 3] in [0, 1], in the colours wanted.
      share: 0 for none of the detail to 1 for all.
      resize: (pixels, height, width) → pixels, for up and down; ``images.resize``, or one that wraps around. With it
        down(up(x)) is a photograph x but for 0.01 in the root mean square, so that little is lost or comes twice.
    """
    height, width = photograph.shape[:2]
    detail = photograph - resize(resize(photograph, *image.shape[:2]), height, width)
    return np.clip(resize(image, height, width) + share * detail, 0, 1).astype(np.float32)


def _sample(pixels: np.ndarray, weights: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """Colours of so many pixels, [count, 3]: one from each equal share of the weights, anywhere within its step."""
    flat = pixels.reshape(-1, 3)
    draw = np.random.default_rng(seed)
    at = (np.arange(count) + draw.uniform(size=count)) / max(count, 1)
    if weights is None or not weights.any():
        chosen = (at * len(flat)).astype(np.int64)
    else:
        reached = np.cumsum(weights.ravel(), dtype=np.float64)
        chosen = np.searchsorted(reached, at * reached[-1], side="right")
    colours = flat[np.minimum(chosen, len(flat) - 1)].astype(np.float32)
    return colours + draw.uniform(-STEP / 2, STEP / 2, colours.shape).astype(np.float32)


def _rotations(count: int, seed: int) -> list[np.ndarray]:
    """Random orthonormal axes, as the rows of [3, 3] each."""
    draw = np.random.default_rng(seed)
    return [np.linalg.qr(draw.normal(size=(3, 3)))[0].T.astype(np.float32) for _ in range(count)]


def _table(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """How far to move a value along an axis, at ``BINS`` + 1 even places from -``RANGE`` to ``RANGE``.

    Between quantiles the shift is interpolated, so the map has no jumps; beyond the outer ones it is theirs.
    """
    from_levels, to_levels = (np.sort(each).reshape(QUANTILES, -1).mean(1) for each in (ours, theirs))
    places = np.linspace(-RANGE, RANGE, BINS + 1)
    return np.interp(places, from_levels, to_levels - from_levels).astype(np.float32)


def _moved(colours: np.ndarray, axes: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Colours [N, 3] moved along each axis by its table."""
    shifts = np.empty_like(colours)
    for index, (axis, table) in enumerate(zip(axes, tables, strict=True)):
        place = (colours @ axis + np.float32(RANGE)) * np.float32(BINS / (2 * RANGE))
        np.clip(place, 0, BINS - 1, out=place)
        below = place.astype(np.int32)
        place -= below
        low = table[below]
        shifts[:, index] = low + place * (table[below + 1] - low)
    return colours + shifts @ axes


def _guided(pixels: np.ndarray, shifts: np.ndarray, weights: np.ndarray, wrap: bool) -> tuple[np.ndarray, np.ndarray]:
    """A [H, W, 3, 3] and b [H, W, 3] of the smooth shifts x A + b of colours x: the means of all windows' over a pixel.

    ``weights`` say how much each pixel counts; where none does, all count alike.
    """
    reach = max(1, round(max(pixels.shape[:2]) / WINDOW))
    counted = 1e-3 + (weights / weights.max())[..., None]
    whole = _windows(counted, reach, wrap)

    def means(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(*values.shape[:2], -1)
        return (_windows(counted * flat, reach, wrap) / whole).reshape(values.shape)

    mean, shift = means(pixels), means(shifts)
    spread = means(pixels[..., :, None] * pixels[..., None, :]) - mean[..., :, None] * mean[..., None, :]
    common = means(pixels[..., :, None] * shifts[..., None, :]) - mean[..., :, None] * shift[..., None, :]
    linear = np.linalg.solve(spread + RIDGE * np.eye(3), common)
    constant = shift - np.einsum("hwi,hwij->hwj", mean, linear)
    return means(linear).astype(np.float32), means(constant).astype(np.float32)


def _windows(values: np.ndarray, reach: int, wrap: bool) -> np.ndarray:
    """The sums over the windows that reach so far from each pixel, [H, W, C], float64; beyond the border a mirror."""
    around = ((reach + 1, reach), (reach + 1, reach), (0, 0))
    sums = np.pad(values, around, mode="wrap" if wrap else "symmetric").astype(np.float64)
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
