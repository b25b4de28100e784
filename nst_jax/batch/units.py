"""Which jobs are made together: those of one shape as lanes of one program, so many at once as their size tells.

The jobs alone decide it, with ``--lanes``: not which of them are done, and not what memory is free. For a program of
another number of lanes may round differently; so a picture is the same however often a batch was interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst_jax.batch.inputs import Inputs
from nst_jax.batch.jobs import Job, Wish, files_of
from nst_jax.errors import NSTError
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import choose_weights
from nst_jax.options.config import Complete, Config
from nst_jax.pictures import images
from nst_jax.pictures.encoding import WRITABLE, most_bytes
from nst_jax.pictures.images import Picture
from nst_jax.runs import memory, scales
from nst_jax.runs.inputs import painting_size
from nst_jax.runs.machine import Machine
from nst_jax.runs.plan import Gathered, footprint
from nst_jax.sweeps.lanes import batch_size

#: The options in which the lanes of one program may differ: numbers that are leaves of the objective, or the start.
OWN = ("preset", "content_weight", "style_weight", "tv_weight", "strength", "seed", "init_noise")
#: What the lanes of a program may take by ``memory.lane_bytes``, and how many they are at most, where nobody says.
LANES_BYTES, MOST_LANES = 3 * 2**29, 16


class Unit(NamedTuple):
    """Jobs that are made at once.

    Attributes:
      name: made of its jobs' names.
      jobs: one, or as many as ``lanes`` or fewer.
      lanes: of the program; 1 for a run alone.
      bytes: about what their lanes take of the memory at most; 0 for a run alone.
      written: what their pictures may take of the disk at most, in bytes.
    """

    name: str
    jobs: tuple[Job, ...]
    lanes: int
    bytes: int
    written: int


class Networks:
    """The options complete, and the weights, for each kind of options; weights are read once."""

    def __init__(self) -> None:
        self._weights: dict[tuple[str, Path | None], Weights] = {}
        self._complete: dict[int, tuple[Config, Complete]] = {}

    def weights(self, config: Config) -> Weights:
        """The weights that ``config`` names. Raises NSTError for those that cannot be used."""
        key = config.network, config.weights
        if key not in self._weights:
            self._weights[key] = choose_weights(*key)
        return self._weights[key]

    def complete(self, config: Config) -> tuple[Complete, str]:
        """The options complete, and the hash of the weights."""
        weights = self.weights(config)
        known = self._complete.get(id(config))
        if known is None or known[0] is not config:
            known = config, config.for_network(weights.network)
            self._complete[id(config)] = known
        return known[1], weights.sha256


def error_of(job: Job, inputs: Inputs) -> str:
    """Why a job cannot be made, as far as its files' headers tell, or ""."""
    files = [job.wish.content] if job.wish.content else []
    return next((inputs[path].error for path in (*files, *job.wish.styles) if inputs[path].error), "")


def units_of(jobs: Sequence[Job], inputs: Inputs, networks: Networks, lanes: int = 0) -> list[Unit]:
    """The jobs, whose files have headers, in units; those of one shape follow each other.

    ``lanes`` is how many are made at once, or 0 for as many as ``LANES_BYTES`` tells.
    """
    shape_of = _Shapes(inputs, networks)
    groups: dict[str, tuple[int, int, list[Job]]] = {}
    for job in jobs:
        shape, lane = shape_of(job.wish)
        most = max(1, min(MOST_LANES, LANES_BYTES // lane)) if shape else 1
        group = groups.setdefault(shape or f"alone {job.name}", (lanes or most if shape else 1, lane, []))
        group[2].append(job)
    units = []
    for _, (most, lane, found) in sorted(groups.items()):
        found.sort(key=lambda job: job.name)
        size = batch_size(len(found), most, 1)
        for start in range(0, len(found), size):
            part = tuple(found[start : start + size])
            told = "\n".join([str(size), *(job.name for job in part)])
            written = sum(_written(job.wish, inputs) for job in part)
            units.append(Unit(hashlib.sha256(told.encode()).hexdigest()[:20], part, size, size * lane, written))
    return units


def _written(wish: Wish, inputs: Inputs) -> int:
    """As many bytes as a job's picture may have."""
    config, size = wish.config, (wish.config.size, wish.config.size)
    with contextlib.suppress(NSTError):
        if wish.content:
            size = images.scaled_size(*inputs[wish.content].size, config.size, enlarge=True)
    return most_bytes(WRITABLE[wish.suffix], size, True, config.depth)


class _Shapes:
    """What decides the shape of a job's program, as text, and about how many bytes a lane of it takes."""

    def __init__(self, inputs: Inputs, networks: Networks) -> None:
        self.inputs, self.networks = inputs, networks
        self.known: dict[tuple[int, tuple[tuple[int, int], ...]], tuple[str, int]] = {}

    def __call__(self, wish: Wish) -> tuple[str, int]:
        sizes = tuple(self.inputs[path].size for path in (wish.content, *wish.styles) if path)
        key = id(wish.config), sizes if wish.content else ((0, 0), *sizes)
        if key not in self.known:
            self.known[key] = self.of(wish)
        return self.known[key]

    def of(self, wish: Wish) -> tuple[str, int]:
        """The shape, or "" for a job that is made alone: with masks, in two passes, or with files of its own."""
        config, sha256 = self.networks.complete(wish.config)
        if config.refine or files_of(config) or not wish.styles or not wish.content:
            return "", 0
        try:
            photograph = _blank(images.scaled_size(*self.inputs[wish.content].size, config.size, enlarge=True))
            longest = config.style_size or config.size
            factors = config.style_scale * (len(wish.styles) if len(config.style_scale) == 1 else 1)
            paintings = [
                _blank(images.scaled_size(*self.inputs[path].size, longest, enlarge=False, scale=factor))
                for path, factor in zip(wish.styles, factors, strict=True)
            ]
            sizes = scales.scale_sizes(scales.full_size(photograph, paintings, config), config)
            octaves = []
            for size in sizes:
                shown = [painting_size(painting, size, config) for painting in paintings]
                octaves.append(scales.octaves_at(size, shown, config))
        except (ValueError, NSTError):  # what is wrong is told when the job is made
            return "", 0
        found = Gathered(photograph, [], None, sizes, [None], [None])
        lane = memory.lane_bytes(
            dataclasses.replace(footprint(config, sizes, found, Machine("gpu")), octaves=octaves[-1])
        )
        common = {name: value for name, value in config.to_json().items() if name not in OWN}
        blended = len(wish.styles) if config.style_blend else 0
        shape = f"{sizes[-1][0]:05d} {sizes[-1][1]:05d} {octaves} {blended} {sha256} {common}"
        return shape, lane


def _blank(size: tuple[int, int]) -> Picture:
    """A picture of which only the size counts, and which takes no memory."""
    pixels = np.broadcast_to(np.float32(0), (*size, 3))
    return Picture(pixels, None, Path(), "", size[::-1])
