"""How near a picture's brushwork is to a painting's, whatever its palette: statistics of oriented bands.

After Portilla and Simoncelli, *A Parametric Texture Model Based on Joint Statistics of Complex Wavelet Coefficients*
(IJCV 2000). No network; pictures are float32 [H, W, 3] in [0, 1]. ``benchmarks.judge`` says how it was calibrated.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

#: RGB to lightness, red against green, and both against blue; the rows are orthogonal.
PLANES = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], np.float32) / 3
#: A plane that deviates by less than this, a step of 8 bits, is taken for flat.
STEP = 1 / 255
#: Of a plane of deviation 1, a band's variance that is taken for none: rounding to 8 bits alone may leave as much.
NONE = 1e-4
ORIENTATIONS, MOST_SCALES, SMALLEST_BAND = 4, 4, 8
#: Moves by up to two pixels of a band; of each two opposite ones one.
LAGS = [(down, right) for down in range(3) for right in range(-2, 3) if (down, right) > (0, 0)]
#: Crops of the painting: their side over its, and how many positions along each side.
CROP, POSITIONS = 0.6, 5
KINDS = ("energy", "kurtosis", "autocorrelation", "orientations", "planes", "scales", "phase")


class Strokes:
    """How far the statistics of a picture are from a painting's; called with a picture, gives that. Lower is nearer.

    Of each of the seven ``KINDS`` the mean over its statistics of |s − m| / d. Here m is the statistic's mean over the
    painting's crops, and d the deviation over the crops, pooled over the kind: the root of the mean variance, as single
    deviations of so few crops are themselves uncertain. Strokes are the mean over the kinds.

    Args:
      painting: [H, W, 3].
      scales: how many scales of bands, as ``scales_of`` gives it.

    Attributes:
      floor: the mean of the crops' own strokes, about 0.7: nothing need be nearer.
    """

    def __init__(self, painting: np.ndarray, scales: int) -> None:
        self.scales = scales
        every = [statistics(crop, scales) for crop in crops(painting)]
        self.mean = {kind: np.mean([one[kind] for one in every], axis=0) for kind in every[0]}
        variances = {kind: float(np.var([one[kind] for one in every], axis=0).mean()) for kind in every[0]}
        self.deviation = {kind: max(variance, NONE) ** 0.5 for kind, variance in variances.items()}
        self.floor = float(np.mean([self.distance(one) for one in every]))

    def __call__(self, picture: np.ndarray) -> float:
        return self.distance(statistics(picture, self.scales))

    def distance(self, found: dict[str, np.ndarray]) -> float:
        """The strokes of a picture with these statistics."""
        far = [np.abs(found[kind] - mean).mean() / self.deviation[kind] for kind, mean in self.mean.items()]
        return float(np.mean(far))


def crops(painting: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of a painting at its own scale, at ``POSITIONS`` along each side."""
    height, width = (round(CROP * side) for side in painting.shape[:2])
    for down in np.linspace(0, painting.shape[0] - height, POSITIONS).round().astype(int):
        for right in np.linspace(0, painting.shape[1] - width, POSITIONS).round().astype(int):
            yield painting[down : down + height, right : right + width]


def scales_of(result: tuple[int, ...], painting: tuple[int, ...]) -> int:
    """How many scales there are whose bands are large enough, in results and crops of a painting of these shapes."""
    least = min(*result[:2], *(round(CROP * side) for side in painting[:2]))
    return int(np.clip(1 + np.log2(least / SMALLEST_BAND), 1, MOST_SCALES))


def statistics(picture: np.ndarray, scales: int) -> dict[str, np.ndarray]:
    """Of a picture [H, W, 3], by kind, each a vector; c is a coefficient of a band, |c| its magnitude.

    - energy: log of the mean |c|²;
    - kurtosis: log of that of the real part;
    - autocorrelation: of the magnitudes, moved by ``LAGS``;
    - orientations, planes, scales: correlations of the magnitudes of two orientations of a plane, of two planes, and of
      one scale with the next in a plane;
    - phase: correlation, a complex number, of c with the next scale's c²/|c|, whose phase turns as fast.
    """
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS[: None if scales > 1 else 5]}
    finer = None
    for band in bands(normalised(picture), scales):
        power = band.real**2 + band.imag**2
        squared, energy = band.real**2, _mean(power)
        found["energy"].append(np.log(energy + NONE))
        found["kurtosis"].append(np.log((_mean(squared**2) + NONE**2) / (_mean(squared) ** 2 + NONE**2)))
        size = np.sqrt(power)
        size -= _mean(size)[..., None, None]
        size /= np.sqrt(_mean(size**2) + NONE)[..., None, None]
        found["autocorrelation"] += [autocorrelation(size, *lag) for lag in LAGS]
        pairs = np.einsum("pohw,qrhw->poqr", size, size, optimize=True) / size[0, 0].size
        one, other = np.triu_indices(len(PLANES), 1)
        left, right = np.triu_indices(ORIENTATIONS, 1)
        found["orientations"] += [pairs[plane, left, plane, right] for plane in range(len(PLANES))]
        found["planes"].append(pairs[one, :, other])
        if finer is not None:
            height, width = size.shape[2:]  # every second pixel of the finer scale lies on one of this scale
            ours, sizes = (each[..., ::2, ::2] for each in finer)
            found["scales"].append(np.einsum("pohw,prhw->por", sizes, size, optimize=True) / (height * width))
            doubled = band**2 / np.sqrt(power + NONE**2)
            common = np.einsum("pohw,pohw->po", ours, doubled.conj()) / (height * width)
            common /= np.sqrt(_mean(np.abs(ours) ** 2) * energy) + NONE
            found["phase"] += [common.real, common.imag]
        finer = band, size
    return {kind: np.concatenate([each.ravel() for each in parts]) for kind, parts in found.items()}


def _mean(field: np.ndarray) -> np.ndarray:
    return field.mean(axis=(-2, -1))


def autocorrelation(field: np.ndarray, down: int, right: int) -> np.ndarray:
    """The mean of a field [..., H, W] times itself moved, over the pixels where both are."""
    height, width = field.shape[-2:]
    here = field[..., : height - down, max(0, -right) : width - max(0, right)]
    there = field[..., down:, max(0, right) : width - max(0, -right)]
    return np.einsum("...hw,...hw->...", here, there) / here[0, 0].size


def normalised(picture: np.ndarray) -> np.ndarray:
    """The planes [3, H, W] of a picture [H, W, 3], each brought to mean 0 and deviation 1: the palette is taken out."""
    planes = np.moveaxis(picture.astype(np.float32) @ PLANES.T, -1, 0)
    planes = planes - _mean(planes)[:, None, None]
    return planes / np.maximum(planes.std(axis=(1, 2)), STEP)[:, None, None]


def bands(planes: np.ndarray, scales: int) -> Iterator[np.ndarray]:
    """The complex steerable pyramid of planes [P, H, W], from fine to coarse, mirrored at the border.

    The filters are raised cosines of the log frequency, each an octave down to where the next begins, times cos³ of the
    angle over half the plane of frequencies: so the real and the imaginary part are a quarter of a period apart
    (Portilla and Simoncelli, section 2.1). Scale s is [P, orientations, ⌈H / 2ˢ⌉, ⌈W / 2ˢ⌉], complex64. What is finer
    than the first scale's octave, and what is coarser than the last's, is left out.
    """
    height, width = planes.shape[1:]
    margin = 2 * 2**scales
    ends = [(margin, margin + -side % 2**scales) for side in (height, width)]
    spectrum = np.fft.fft2(np.pad(planes, [(0, 0), *ends], mode="symmetric"))
    spectrum *= _below(*spectrum.shape[1:], 1)
    for scale in range(scales):
        oriented = np.fft.ifft2(spectrum[:, None] * _oriented(*spectrum.shape[1:]))
        start = margin >> scale
        yield oriented[..., start : start - (-height >> scale), start : start - (-width >> scale)]
        spectrum = _halved(spectrum * _below(*spectrum.shape[1:], 0.5))


@lru_cache(maxsize=32)
def _below(height: int, width: int, end: float) -> np.ndarray:
    """The filter [height, width] of what is below the frequency ``end``, of which half is whole; 1 is Nyquist's."""
    radius = 2 * np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    octaves = np.log2(np.maximum(radius, 1e-9) / end) + 1
    return np.cos(np.pi / 2 * np.clip(octaves, 0, 1)).astype(np.float32)


@lru_cache(maxsize=32)
def _oriented(height: int, width: int) -> np.ndarray:
    """The filters [orientations, height, width] of what is not below half of Nyquist's frequency."""
    above = np.sqrt(np.maximum(1 - _below(height, width, 0.5) ** 2, 0))
    angle = np.arctan2(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    turns = [np.cos(angle - np.pi * turn / ORIENTATIONS) for turn in range(ORIENTATIONS)]
    return np.stack([2 * above * np.maximum(turn, 0) ** 3 for turn in turns]).astype(np.float32)


def _halved(spectrum: np.ndarray) -> np.ndarray:
    """The spectrum of every second pixel each way of [..., H, W], which has nothing above half the frequencies."""
    rows, columns = (np.fft.fftfreq(side // 2, 2 / side).astype(int) for side in spectrum.shape[-2:])
    return spectrum[..., rows[:, None], columns] / 4
