"""What the tests of runs share: the keys of a report and the objective of pictures."""

import dataclasses
from pathlib import Path

import numpy as np

from nst_jax.pictures.images import Picture
from nst_jax.pictures.masks import Masks
from nst_jax.runs.goals import Goals

#: What every report tells.
KEYS = {
    "config", "loss_weights", "device", "versions", "network", "inputs", "output", "seconds", "steps", "evaluations",
    "losses", "trace",
}  # fmt: skip


def from_memory(pixels, alpha=None):
    """A picture that was never in a file."""
    return Picture(pixels, alpha, Path("array"), "", (pixels.shape[1], pixels.shape[0]))


def goal_of(net, run):
    """The objective of a prepared run at its full size, seen by ``net``."""
    photograph, paintings, _, _, given, toned = run.pictures
    goals = Goals(net, photograph, paintings, run.sizes[-1], run.config, [given], run.more, [toned])
    return goals.objective(run.config)


def objective_of(net, photograph, paintings, config, given=None):
    """The objective of pictures [H, W, 3] as they are, with masks; its size is the first one's."""
    pictures = [None if pixels is None else from_memory(pixels) for pixels in (photograph, *paintings)]
    size = next(one for one in pictures if one is not None).pixels.shape[:2]
    config = dataclasses.replace(config.for_network(net.name), size=max(size))
    return Goals(net, pictures[0], pictures[1:], size, config, [given]).objective(config)


def two_regions(size, paintings):
    """Two regions of a picture, a hidden part, and a part of each painting."""
    height, width = size
    left = np.broadcast_to(np.linspace(1, 0, width, dtype="f4"), size)
    visible = np.ones(size, "f4")
    visible[: height // 5, : width // 4] = 0.3
    parts = [np.ones((2, *painting.shape[:2]), "f4") for painting in paintings]
    return Masks(np.stack([left, 1 - left]) * visible, parts, visible, None, [])
