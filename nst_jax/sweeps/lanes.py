"""Many runs of one photograph as one program: the lanes of a sweep, batched by ``vmap`` and spread over the devices.

What may differ between lanes is a leaf of the objective or the start, so that one compiled program serves all: every
lane has its own image and its own optimiser, and pays one evaluation a step. A set of layers is one weight a layer, 0
for those outside it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nst_jax.errors import NSTError
from nst_jax.losses import objective, statistics
from nst_jax.networks.vgg import Network, network
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import choose_weights
from nst_jax.optim.steps import Method
from nst_jax.options.config import Config
from nst_jax.options.folders import expand
from nst_jax.pictures import masks
from nst_jax.pictures.images import Picture
from nst_jax.pictures.masks import Masks
from nst_jax.runs import inputs, memory, scales, stylize
from nst_jax.runs.compiling import compile_seconds
from nst_jax.runs.inputs import Pictures, Source
from nst_jax.runs.progress import Progress, Recorder
from nst_jax.runs.pyramid import coarse_to_fine, stages_at
from nst_jax.runs.stylize import Result
from nst_jax.sweeps.grid import MOST_LANES, VARYING, Lane


def loss_of_lane(
    argument: tuple[objective.Objective, dict[str, Any]], image: jax.Array
) -> tuple[jax.Array, objective.Terms]:
    """What a lane lowers: the objective that all share, with the lane's own leaves in it."""
    shared, own = argument
    return shared.replace(**own)(image)  # type: ignore[attr-defined]


class Plan(NamedTuple):
    """How a sweep is run: lanes in a batch, over which devices; bytes that a lane takes, and that a device has free."""

    batch: int
    devices: list[jax.Device]
    lane_bytes: int
    free_bytes: int


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep that has been checked and is ready to run; made by ``prepare``.

    Attributes:
      lanes: with all their options resolved: the same options, run alone, give the same.
      photograph: at the size of the result, or None.
      paintings: at their sizes, in the colours that they are to have.
      palette: whose colours these are, or None.
      weights, net: the network.
      union: the options with every layer that any lane uses.
      sizes: (height, width) of each scale.
      masks: for each of the paintings, or a single entry where there are none, where what counts; None for everywhere.
    """

    lanes: tuple[Lane, ...]
    photograph: Picture | None
    paintings: list[Picture]
    palette: Picture | None
    weights: Weights
    net: Network
    union: Config
    sizes: list[tuple[int, int]]
    masks: list[Masks | None]

    def lane_bytes(self) -> int:
        """About how much memory a lane takes at the full size."""
        taps = {**self.union.content_layer_weights, **self.union.style_layer_weights}
        method = Method(self.union.optimizer, self.union.history)
        regions = len(self.masks[0].regions) if self.masks[0] else 0
        guided = dict.fromkeys(self.union.style_layer_weights, regions) if regions else {}
        octaves = scales.octaves_at(self.sizes[-1], [], self.union)
        return memory.lane_bytes(
            self.weights.network, taps, self.sizes[-1], method, False, guided, octaves, self.net.precision
        )

    def paintings_of(self, lane: Lane) -> list[Picture]:
        """The lane's style picture, if there are any."""
        return self.paintings[lane.style : lane.style + 1]

    def pictures_of(self, lane: Lane) -> Pictures:
        """All that goes into a lane."""
        start = inputs.start_picture(lane.config)
        return Pictures(self.photograph, self.paintings_of(lane), start, self.palette, self.masks[lane.style])

    def plan(self, count: int, at_once: int = 0, devices: Sequence[jax.Device] | None = None) -> Plan:
        """How so many lanes are to be run: ``at_once``, or where that is 0, as many as find room on the devices."""
        devices = list(devices or jax.local_devices())
        lane, free = self.lane_bytes(), memory.free_bytes(devices[0])
        room = max(1, int(memory.USABLE * free / lane))
        return Plan(batch_size(count, at_once or room * len(devices), len(devices)), devices, lane, free)

    def run(
        self,
        indices: Sequence[int],
        plan: Plan,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[list[tuple[int, Result]]]:
        """Runs the lanes ``indices`` batch by batch; gives the numbers and results of each batch as it ends.

        ``on_progress`` is told of every chunk, with the terms' means over the lanes; it may raise ``Stop``: then the
        batch's results are marked "stopped", and they are the last.
        """
        starts = range(0, len(indices), plan.batch)
        for number, start in enumerate(starts):

            def tell(progress: Progress, number: int = number) -> None:
                step = progress.step + number * progress.steps
                on_progress(dataclasses.replace(progress, step=step, steps=progress.steps * len(starts)))

            results = self.run_batch(indices[start : start + plan.batch], plan, tell)
            yield results
            if any(result.ended == "stopped" for _, result in results):
                return

    def run_batch(
        self, indices: Sequence[int], plan: Plan, on_progress: Callable[[Progress], None]
    ) -> list[tuple[int, Result]]:
        """Runs some lanes as one program, filled up to a batch by repeating the last; gives numbers and results."""
        started, compiled = time.perf_counter(), compile_seconds()
        lanes = [self.lanes[index] for index in [*indices, *[indices[-1]] * (plan.batch - len(indices))]]
        mesh = Mesh(np.array(plan.devices), ("lanes",), axis_types=(AxisType.Auto,))
        everywhere, spread = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("lanes"))
        net = jax.device_put(self.net, everywhere)

        def goal_at(size: tuple[int, int], told: bool) -> tuple[objective.Objective, dict[str, Any]]:
            sharp = stylize.exact(net) if told else net
            goal = stylize.build_objective(sharp, self.photograph, self.paintings[:1], size, self.union, self.masks[0])
            return jax.device_put(goal, everywhere), jax.device_put(self.own(lanes, goal, size), spread)

        pictures = [self.pictures_of(lane) for lane in lanes]
        starts = [
            inputs.start_image(one, self.sizes[0], lane.config) for one, lane in zip(pictures, lanes, strict=True)
        ]
        finish = functools.partial(inputs.finished, photograph=self.photograph, config=self.union)
        recorder = Recorder(on_progress, started, finish, self.masks[0])
        loaded = time.perf_counter()
        made = coarse_to_fine(
            loss_of_lane,
            stages_at(self.sizes, self.union, goal_at, net.precision),
            np.stack(starts),
            self.union,
            recorder,
            lanes=True,
            place=lambda image: jax.device_put(image, spread),
        )
        seconds = stylize.seconds_since(started, loaded, compiled)
        return [
            (
                index,
                Result(
                    image=finish(made.image[position]),
                    alpha=self.photograph.alpha if self.photograph else None,
                    config=lane.config,
                    losses={name: values[position] for name, values in made.losses.items()},
                    trace=recorder.traces[position],
                    steps=made.steps[position],
                    evaluations=made.evaluations[position],
                    seconds=seconds,
                    inputs=inputs.inputs_of(pictures[position]),
                    weights=stylize.origin_of(self.weights, net.precision),
                    notes=inputs.notes_of(pictures[position]),
                    ended=made.ended[position],
                ),
            )
            for position, (index, lane) in enumerate(zip(indices, lanes, strict=False))
        ]

    def own(self, lanes: Sequence[Lane], goal: objective.Objective, size: tuple[int, int]) -> dict[str, Any]:
        """The leaves of the objective that are each lane's own, [lanes, ...]."""

        def stacked(values: list[float]) -> jax.Array:
            return jnp.asarray(values, jnp.float32)

        own: dict[str, Any] = {
            name: stacked([lane.config.loss_weights[name] for lane in lanes]) for name in self.union.loss_weights
        }
        for name in ("content_layer_weights", "style_layer_weights"):
            weights = [getattr(lane.config, name) for lane in lanes]
            own[name] = {tap: stacked([each.get(tap, 0.0) for each in weights]) for tap in getattr(self.union, name)}
        if len(self.paintings) > 1:
            taps = tuple(self.union.style_layer_weights)
            seeing = dataclasses.replace(self.net, precision=goal.network.precision)
            seeing = statistics.of_paintings(seeing, self.union.tileable)
            aims = []
            for painting, given in zip(self.paintings, self.masks, strict=True):
                pixels = inputs.painting_at(painting, size, self.union)
                parts = masks.painting_guides(given.parts[0], self.net.name, pixels.shape[:2], taps) if given else None
                aims.append(
                    statistics.style_targets(seeing, pixels, taps, self.union.moments > 0, parts, len(goal.coarser) + 1)
                )
            own |= jax.tree.map(lambda *each: jnp.stack(each), *(aims[lane.style] for lane in lanes))
        return own


def batch_size(lanes: int, at_once: int, devices: int) -> int:
    """How many lanes to run at once: as few batches as ``at_once`` allows, of equal size, a multiple of ``devices``."""
    batches = math.ceil(lanes / max(1, at_once // devices * devices))
    return max(1, math.ceil(math.ceil(lanes / max(1, batches)) / devices)) * devices


def prepare(
    content: Source | None, styles: Sequence[Source], lanes: Sequence[Lane], *, weights: Weights | None = None
) -> Sweep:
    """Reads and checks all that a sweep needs.

    Args:
      content: as ``stylize`` takes it.
      styles: the style pictures, or folders of them; which picture a lane takes is ``Lane.style``.
      lanes: at least one; their options differ in ``VARYING`` alone.
      weights: the network's, instead of those that the options name.

    Raises NSTError for whatever cannot be used.
    """
    if not lanes:
        raise NSTError("the sweep has no lanes: give one at least")
    if len(lanes) > MOST_LANES:
        raise NSTError(f"the sweep has {len(lanes)} lanes; at most {MOST_LANES} are possible")
    weights = weights or choose_weights(lanes[0].config.network, lanes[0].config.weights)
    configs = [lane.config.for_network(weights.network) for lane in lanes]
    for name in vars(configs[0]):
        if name not in VARYING and len({getattr(config, name) for config in configs}) > 1:
            raise NSTError(f"the lanes differ in {name}: lanes of one sweep may differ in {', '.join(VARYING)} alone")
    if configs[0].refine:
        raise NSTError("--refine is for a single picture: leave it out of a sweep")
    styles, common = expand(styles, configs[0], mixed=False)
    for lane in lanes:
        if not 0 <= lane.style < max(1, len(styles)):
            raise NSTError(
                f"a lane asks for style {lane.style} of {len(styles)}: give more styles, or a smaller number"
            )
    union = dataclasses.replace(
        common,
        content_layers=_with_weight(config.content_layer_weights for config in configs),
        style_layers=_with_weight(config.style_layer_weights for config in configs),
    )
    photograph, paintings = inputs.load_pictures(content, styles, union)
    palette = inputs.palette_picture(union)
    paintings = inputs.recolored(paintings, photograph, palette, union)
    sizes = scales.scale_sizes(scales.full_size(photograph, paintings, union), union)
    factors = union.style_scale

    def resolve(config: Config, style: int) -> Config:
        return dataclasses.replace(config, scales=len(sizes), style_scale=(factors[style if len(factors) > 1 else 0],))

    resolved = tuple(Lane(resolve(config, lane.style), lane.style) for config, lane in zip(configs, lanes, strict=True))
    pixels = [painting.pixels.tobytes() for painting in paintings]
    seen: dict[tuple[Config, int], int] = {}
    for index, lane in enumerate(resolved):
        key = lane.config, pixels.index(pixels[lane.style]) if pixels else 0
        if key in seen:
            raise NSTError(f"lanes {seen[key]} and {index} are the same: give each once")
        seen[key] = index
    alone = [[painting] for painting in paintings] or [[]]  # a lane has one painting
    given: list[Masks | None] = [None] * len(alone)
    if masks.needed(union, photograph, paintings):
        given = [masks.load(union, inputs.painted(photograph, union), own, sizes[-1]) for own in alone]
    net = network(weights, union.pooling, union.padding, union.precision)
    return Sweep(resolved, photograph, paintings, palette, weights, net, union, sizes, given)


def _with_weight(sets: Any) -> tuple[str, ...]:
    """Every layer of some sets, once, as entries of a ``Config``."""
    return tuple(f"{tap}:1" for tap in dict.fromkeys(tap for weights in sets for tap in weights))
