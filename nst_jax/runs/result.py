"""What a run gives: the picture, and how it came about."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nst_jax.networks.weights import Weights
from nst_jax.options.config import Complete
from nst_jax.pictures import images
from nst_jax.pictures.images import Picture
from nst_jax.runs.inputs import Pictures
from nst_jax.runs.machine import Machine
from nst_jax.runs.pyramid import Made


@dataclasses.dataclass(frozen=True)
class Result:
    """A picture and how it came about.

    Attributes:
      image: float32 RGB in [0, 1], [H, W, 3].
      alpha: the content picture's, float32 in [0, 1], [H, W], or None.
      config: the options, complete.
      losses: of ``image``: content, style, tv (unweighted) and total (weighted). Where luminance alone is painted, of
        the grey picture, before it is given its colours.
      trace: the same for every evaluation, with its ``step``, ``seconds`` since the start, and ``size``, the longest
        side at that scale; losses of different scales, or of ``slim`` before it is refined, do not compare.
      steps: taken, over all scales.
      evaluations: of loss and gradient paid for, at any scale, the last one for ``losses`` included.
      seconds: load, compile, run and total.
      inputs: of each input picture: role, path, sha256 and size (width, height) of the file.
      weights: network, sha256 and metadata of the weights, and the precision of the steps.
      device: platform, kind and count of the devices.
      notes: what was wrong with an input but could be passed over, one line each.
      ended: "" after all steps, "stopped" after ``Stop``, "not finite" where the loss did not stay finite, "out of
        memory" where the memory ended, "lost" where a process or a device was: then ``image`` is that of the scale
        before.
      left: the options that may be left to the network, of which ``config`` has its own values.
      way: what else decides the last bits, see ``Prepared.way``; of a lane also ``lanes``, the program that it was in.
    """

    image: np.ndarray
    alpha: np.ndarray | None
    config: Complete
    losses: dict[str, float]
    trace: list[dict[str, float]]
    steps: int
    evaluations: int
    seconds: dict[str, float]
    inputs: list[dict[str, object]]
    weights: dict[str, object]
    device: dict[str, object]
    notes: list[str]
    ended: str
    left: tuple[str, ...] = ()
    way: dict[str, Any] = dataclasses.field(default_factory=dict)


def result_of(
    made: Made,
    image: np.ndarray,
    trace: list[dict[str, float]],
    config: Complete,
    pictures: Pictures,
    weights: dict[str, object],
    machine: Machine,
    seconds: dict[str, float],
    lane: int | None = None,
) -> Result:
    """The result of a run, or of a lane, from what ``coarse_to_fine`` made and the ``image`` as it is given out."""

    def own(value: Any) -> Any:
        return value if lane is None else value[lane]

    alpha, size = pictures.photograph.alpha if pictures.photograph else None, image.shape[-3:-1]
    return Result(
        image=own(image),
        alpha=alpha if alpha is None or alpha.shape == size else images.resize(alpha, *size),
        config=config,
        losses={name: own(value) for name, value in made.losses.items()},
        trace=trace,
        steps=own(made.steps),
        evaluations=own(made.evaluations),
        seconds=seconds,
        inputs=inputs_of(pictures),
        weights=weights,
        device=machine.words(),
        notes=notes_of(pictures) + rising(trace, config, own(made.ended), own(made.losses.get("total"))),
        ended=own(made.ended),
    )


def rising(
    trace: Sequence[Mapping[str, float]], config: Complete, ended: str = "", total: float | None = None
) -> list[str]:
    """A note where the loss of the last stage's last evaluation is above that of its first, and has not come down.

    L-BFGS may have rejected the point of that evaluation: so the result's own ``total`` is to be above it too. Nothing
    is known of a refined run that ``ended`` early, as there the last rows are of two networks.
    """
    last = [row for row in trace if row["size"] == trace[-1]["size"]]
    if config.refine:  # before them came steps of the same size under another network
        last = last[-(config.steps or 1) :]
    if len(last) < 2 or not last[-1]["total"] > last[0]["total"]:
        return []
    if (total is not None and not total > last[0]["total"]) or (config.refine and ended):
        return []
    return [
        f"the loss ended above its start at {last[0]['size']} pixels, {last[0]['total']:.3g} and then"
        f" {last[-1]['total']:.3g}: smaller steps (--learning-rate with adam) or more of them may help"
    ]


def origin_of(weights: Weights, precision: str) -> dict[str, object]:
    """Which network the weights are of, their file's sha256, its metadata, and their precision in use."""
    return {"name": weights.network, "sha256": weights.sha256, **weights.metadata, "precision": precision}


def roles_of(pictures: Pictures) -> list[tuple[str, Picture]]:
    """Each input with its role: "content", "style", "init", "palette", or one of ``Masks.files``."""
    roles = [("content", pictures.photograph), *(("style", painting) for painting in pictures.paintings)]
    roles += [("init", pictures.start), ("palette", pictures.palette)]
    masks = pictures.masks.files if pictures.masks else []
    return [(role, picture) for role, picture in roles if picture is not None] + masks


def inputs_of(pictures: Pictures) -> list[dict[str, object]]:
    """Role, path, sha256 and size (width, height) of the file of each input."""
    return [
        {"role": role, "path": str(picture.path), "sha256": picture.sha256, "size": list(picture.size)}
        for role, picture in roles_of(pictures)
    ]


def notes_of(pictures: Pictures) -> list[str]:
    """What was wrong with each input but could be passed over."""
    return [f"{picture.path}: {note}" for _, picture in roles_of(pictures) for note in picture.notes]
