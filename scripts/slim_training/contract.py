"""What a teacher is asked and what it answers, whatever it runs in: the shapes of its lessons, and what is compared."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from nst_jax.networks.weights import Weights
from slim_training.student import TAPS

#: A NumPy array, or one of JAX's that stays on its device.
Numbers = Any


class Targets(NamedTuple):
    """What a batch of B pictures is stylised towards, as the teacher sees it.

    Attributes:
      content: responses to the photographs at the content tap, [B, h, w, N] in float16.
      style: the paintings' Gram matrices at each style tap, [B, N, N].
    """

    content: Numbers
    style: dict[str, Numbers]


class Lesson(NamedTuple):
    """What the teacher says of a batch of B pictures.

    Attributes:
      losses: the normalized losses of the style taps and the content tap, unweighted, [B, 6].
      features: the responses at each tap, as ``window`` leaves them, [B, h, w, N].
      grams: Gram matrices at each style tap, [B, N, N].
      gradient: of the weighted losses with respect to the pictures, [B, H, W, 3]; None where it was not asked for.
    """

    losses: Numbers
    features: dict[str, Numbers]
    grams: dict[str, Numbers]
    gradient: Numbers | None = None


class Teacher(Protocol):
    """What is asked of a teacher. Pictures are NumPy arrays [B, H, W, 3], RGB in [0, 1]."""

    channels: dict[str, int]
    """N at each tap"""

    def features(self, images: np.ndarray) -> dict[str, Numbers]:
        """The responses at each tap, as ``window`` leaves them."""

    def targets(self, photographs: np.ndarray, paintings: np.ndarray) -> Targets:
        """What pictures of these photographs in the manner of these paintings are stylised towards."""

    def lesson(
        self,
        images: np.ndarray,
        targets: Targets,
        style_weights: np.ndarray,
        content_weight: np.ndarray,
        with_gradient: bool,
    ) -> Lesson:
        """What there is to learn of pictures that are being stylised, with weights [B, 5] and [B]."""


def tap_channels(filters: Weights) -> dict[str, int]:
    """N at each tap."""
    return {tap: filters.arrays[tap]["bias"].size for tap in TAPS}


def window(taps: dict[str, Any]) -> dict[str, Any]:
    """Responses {tap: [B, h, w, N]} as they are compared: of conv1_1's, many and easy, the middle quarter is enough."""
    quarter = taps["conv1_1"].shape[1] // 4
    return taps | {"conv1_1": taps["conv1_1"][:, quarter:-quarter, quarter:-quarter]}
