"""Colours kept: the painting's colours made those of the photograph or of a palette, and luminance painted alone.

After Gatys, Ecker, Bethge, Hertzmann and Shechtman, *Controlling Perceptual Factors in Neural Style Transfer* (CVPR
2017, arXiv 1611.07865). Pictures are NumPy arrays, sRGB-encoded, [..., 3], as the networks see them; docs/colors.md
says why in these spaces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: sRGB-encoded values to luminance (Y), orange to blue (I) and purple to green (Q): NTSC's, as in the paper.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
#: A variance below this, (0.8 of a step of 8 bits)², is taken for none: to spread it would show the grain.
FLAT = 1e-5


def match(
    pixels: np.ndarray,
    target: np.ndarray,
    method: str,
    weights: np.ndarray | None = None,
    target_weights: np.ndarray | None = None,
) -> np.ndarray:
    """A picture with the colour statistics of another, float64 [H, W, 3], not clipped: it may leave [0, 1].

    Clipped, the statistics are near the target's, no more: clipping is the caller's. Only "histogram" keeps to the
    target's range. A direction in colour space in which ``pixels`` vary by less than ``FLAT`` stays flat.

    Args:
      pixels: [H, W, 3].
      target: the picture whose statistics count, [H', W', 3].
      method:
        "luminance": grey; L' = σ_C / σ_S (L_S − μ_S) + μ_C, so mean and deviation of the luminance are the target's.
        "cholesky", "pca": x' = A (x − μ_S) + μ_C with A Σ_S Aᵀ = Σ_C, so mean and covariance are the target's.
          A = L_C L_S⁻¹ in YIQ, so that light and dark depend on light and dark alone; A = Σ_C^½ Σ_S^-½ in RGB.
        "histogram": "pca", then R, G and B by rank, so that each has the target's distribution.
      weights, target_weights: how much each pixel counts, [H, W] and [H', W']; all the same where None or all 0. What
        alpha hides does not count.
    """
    ours, theirs = _statistics(pixels, weights), _statistics(target, target_weights)
    if method == "luminance":
        to_luminance = YIQ[0]
        variance, wanted = (to_luminance @ each.covariance @ to_luminance for each in (ours, theirs))
        gain = np.sqrt(max(wanted, 0.0) / max(variance, FLAT))
        return grey(gain * (pixels - ours.mean) + theirs.mean)
    if method == "cholesky":
        roots = _lower(YIQ @ theirs.covariance @ YIQ.T), _lower(YIQ @ ours.covariance @ YIQ.T, FLAT)
        linear = np.linalg.inv(YIQ) @ roots[0] @ np.linalg.inv(roots[1]) @ YIQ
    else:
        linear = _symmetric(theirs.covariance) @ np.linalg.inv(_symmetric(ours.covariance, FLAT))
    matched = (pixels - ours.mean) @ linear.T + theirs.mean
    if method != "histogram":
        return np.asarray(matched)
    matched = matched.round(9)  # what only rounding tells apart shares a rank
    channels = [
        _match_ranks(matched[..., channel], target[..., channel], ours.shares, theirs.shares) for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Y of YIQ: [..., 3] → [...], in [0, 1] where the pixels are."""
    light: np.ndarray = pixels @ YIQ[0].astype(pixels.dtype)
    return light


def grey(pixels: np.ndarray) -> np.ndarray:
    """The luminance as a grey picture: [..., 3] → [..., 3]."""
    return np.repeat(luminance(pixels)[..., None], 3, axis=-1)


def with_chroma(image: np.ndarray, content: np.ndarray) -> np.ndarray:
    """The luminance of ``image``, [..., H, W, 3], with the chroma, I and Q, of ``content``, [H, W, 3]; all in [0, 1].

    Where that would leave [0, 1], the chroma is reduced until it fits; the luminance and the hue stay.
    """
    light = np.clip(grey(image), 0, 1)  # but for rounding it is there
    chroma = content - grey(content)
    room = np.where(chroma > 0, 1 - light, light)
    share = np.divide(room, np.abs(chroma), out=np.ones_like(light), where=np.abs(chroma) > room)
    joined: np.ndarray = np.clip(light + share.min(-1, keepdims=True) * chroma, 0, 1)
    return joined


class _Statistics(NamedTuple):
    """Of a picture's colours: the pixels' shares [H, W], whose sum is 1, the mean [3] and the covariance [3, 3]."""

    shares: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray


def _statistics(pixels: np.ndarray, weights: np.ndarray | None) -> _Statistics:
    if weights is None or not weights.any():
        weights = np.ones(pixels.shape[:2])
    shares = weights.astype(np.float64) / weights.sum(dtype=np.float64)
    flat = pixels.reshape(-1, 3).astype(np.float64)
    mean = shares.ravel() @ flat
    centred = flat - mean
    return _Statistics(shares, mean, centred.T @ (shares.reshape(-1, 1) * centred))


def _eigen(covariance: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Square roots of the eigenvalues [3], which rounding may leave below 0, at least √``least``; and the vectors."""
    values, vectors = np.linalg.eigh(covariance)
    return np.sqrt(np.maximum(values, least)), vectors


def _symmetric(covariance: np.ndarray, least: float = 0.0) -> np.ndarray:
    """Σ^½, the symmetric root; of a grey picture too."""
    roots, vectors = _eigen(covariance, least)
    root: np.ndarray = (vectors * roots) @ vectors.T
    return root


def _lower(covariance: np.ndarray, least: float = 0.0) -> np.ndarray:
    """L of L Lᵀ = Σ, Cholesky's root, from a QR decomposition, which needs no positive definite Σ."""
    roots, vectors = _eigen(covariance, least)
    upper = np.linalg.qr((vectors * roots).T).R
    return upper.T * np.where(np.diag(upper) < 0, -1, 1)


def _match_ranks(values: np.ndarray, target: np.ndarray, shares: np.ndarray, target_shares: np.ndarray) -> np.ndarray:
    """Values [H, W] replaced by the target's, [H', W'], of the same rank; what is equal stays equal."""
    seen = target_shares > 0
    _, inverse, ranks = _ranks(values, shares)
    wanted, _, wanted_ranks = _ranks(target[seen], target_shares[seen])
    matched: np.ndarray = np.interp(ranks, wanted_ranks, wanted)[inverse].reshape(values.shape)
    return matched


def _ranks(values: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different values in order, which of them each pixel has, and the share of the pixels up to each one's middle.

    Shapes [N], [pixels] and [N].
    """
    levels, inverse = np.unique(values.ravel(), return_inverse=True)
    own = np.bincount(inverse, shares.ravel(), len(levels))
    return levels, inverse, np.cumsum(own) - own / 2
