"""Many runs of one photograph as one program: the lanes of a sweep, batched by ``vmap`` and spread over the devices.

What may differ between lanes is a leaf of the objective or the start, so that one compiled program serves all: every
lane has its own image and its own optimiser, and pays one evaluation a step. A set of layers is one weight a layer, 0
for those outside it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nst_jax.choices import Precision
from nst_jax.errors import NSTError
from nst_jax.losses.objective import Objective, Terms
from nst_jax.networks.vgg import Network, network
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import choose_weights
from nst_jax.options.config import Complete
from nst_jax.options.folders import expand
from nst_jax.pictures.sources import Source
from nst_jax.runs import memory
from nst_jax.runs.allocator import keep_no_large_memory
from nst_jax.runs.compiling import Clock
from nst_jax.runs.finish import enlarged, finished
from nst_jax.runs.goals import Extra, Goals, exact, taps_of_extras
from nst_jax.runs.inputs import Pictures, painting_size
from nst_jax.runs.machine import Machine, here
from nst_jax.runs.plan import Gathered, footprint, gather
from nst_jax.runs.progress import Progress, Recorder
from nst_jax.runs.pyramid import coarse_to_fine, stages_at
from nst_jax.runs.result import Result, origin_of, result_of
from nst_jax.runs.scales import octaves_at, step_counts
from nst_jax.runs.start import start_image, start_picture
from nst_jax.sweeps.grid import MOST_LANES, VARYING, Lane

#: An objective, and the leaves of its terms that lanes have for themselves, [lanes, ...], by their positions.
Lanes: TypeAlias = tuple[Objective, dict[int, Array]]


def loss_of_lane(argument: Lanes, image: Array) -> tuple[Array, Terms]:
    """What a lane lowers: the objective that all share, with the lane's own leaves of its terms in their places."""
    shared, own = argument
    leaves, structure = jax.tree.flatten(shared.terms)
    for position, leaf in own.items():
        leaves[position] = leaf
    return dataclasses.replace(shared, terms=jax.tree.unflatten(structure, leaves))(image)


def own_leaves(goals: Sequence[Objective], looks: Sequence[Objective]) -> dict[int, Array]:
    """The leaves of the terms that each of ``goals`` has for itself, [lanes, ...], by their positions.

    Those are all scalars, and what differs between the ``looks`` of the sweep, be they in these lanes or not: so every
    batch is the same program.
    """
    alike = [jax.tree.leaves(goal.terms) for goal in looks]
    each = [jax.tree.leaves(goal.terms) for goal in goals]
    varying = [
        position
        for position, leaf in enumerate(alike[0])
        if jnp.ndim(leaf) == 0 or any(other[position] is not leaf for other in alike)
    ]
    return {position: jnp.stack([leaves[position] for leaves in each]) for position in varying}


class Resolved(NamedTuple):
    """A lane with all its options: the same options, run alone, give the same.

    ``style`` is the painting that it takes, ``look`` the entry of ``Sweep.looks``.
    """

    config: Complete
    style: int
    look: int


class Batches(NamedTuple):
    """How a sweep is run: lanes in a batch, over which devices; bytes that a lane takes, and that a device has free."""

    batch: int
    devices: tuple[jax.Device, ...]
    lane_bytes: int
    free_bytes: int


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep that has been checked and is ready to run; made by ``prepare_lanes``.

    Attributes:
      lanes: with their options complete.
      found: the pictures, with masks for each of the paintings.
      looks: each painting of the lanes with a lane's options, once for every ``tone``.
      weights: the network's.
      union: the options with every layer that any lane uses.
      precision: of the steps.
      machine: what it runs on.
      more: further terms of the objective.
    """

    lanes: tuple[Resolved, ...]
    found: Gathered
    looks: tuple[tuple[int, Complete], ...]
    weights: Weights
    union: Complete
    precision: Precision
    machine: Machine
    more: Sequence[Extra] = ()

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each scale."""
        return self.found.sizes

    @property
    def schedule(self) -> list[tuple[tuple[int, int], int]]:
        """((height, width), steps) of each stage of a batch in turn."""
        return list(zip(self.sizes, step_counts(self.sizes, self.union), strict=True))

    def lane_bytes(self) -> int:
        """About how much memory a lane takes at the full size."""
        taken = footprint(self.union, self.sizes, self.found, self.machine, self.precision)
        return memory.lane_bytes(taken)

    def pictures_of(self, lane: Resolved) -> Pictures:
        """All that goes into a lane: its own painting, if there are any."""
        found = self.found
        own = found.paintings[lane.style : lane.style + 1]
        start, mask = start_picture(lane.config), found.masks[lane.style]
        return Pictures(found.photograph, own, start, found.palette, mask, self.toned[lane.look])

    @functools.cached_property
    def toned(self) -> list[np.ndarray | None]:
        """The photograph in the paintings' colours, for each of ``looks``; Nones where nothing asks for it."""
        return [self.found.tinted(style, config) for style, config in self.looks]

    def plan(self, count: int, at_once: int = 0, devices: Sequence[jax.Device] = ()) -> Batches:
        """How so many lanes are to be run: ``at_once``, or where that is 0, as many as find room on the devices."""
        devices = tuple(devices) or self.machine.devices
        lane, free = self.lane_bytes(), self.machine.free
        room = max(1, int(memory.USABLE * free / lane))
        return Batches(batch_size(count, at_once or room * len(devices), len(devices)), devices, lane, free)

    def run(
        self,
        indices: Sequence[int],
        plan: Batches,
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

            made = self.run_batch(indices[start : start + plan.batch], plan, tell)
            results = [
                (index, dataclasses.replace(result, way=self.way(plan, position)))
                for position, (index, result) in enumerate(made)
            ]
            yield results
            if any(result.ended == "stopped" for _, result in results):
                return

    def way(self, plan: Batches, position: int) -> dict[str, object]:
        """What decides the last bits of the lane at a position in a batch, see ``Prepared.way``: its program."""
        lanes = {
            "program": "sweep",
            "count": plan.batch,
            "position": position,
            "devices": len(plan.devices),
            "styles": len(self.found.paintings),
            "looks": len(self.looks),
            "masked": self.found.masks[0] is not None,
            "content_layers": list(self.union.content_layers),
            "style_layers": list(self.union.style_layers),
        }
        return {
            "precision": self.precision,
            "cores": self.machine.cores,
            "more": len(self.more),
            "lanes": lanes,
        }

    def run_batch(
        self, indices: Sequence[int], plan: Batches, on_progress: Callable[[Progress], None]
    ) -> list[tuple[int, Result]]:
        """Runs some lanes as one program, filled up to a batch by repeating the last; gives numbers and results."""
        lanes = [self.lanes[index] for index in [*indices, *[indices[-1]] * (plan.batch - len(indices))]]
        union, found = self.union, self.found

        def goal_at(net: Network, size: tuple[int, int]) -> Lanes:
            goals = Goals(net, found.photograph, found.paintings, size, union, found.masks, self.more, self.toned)
            alike = [goals.objective(union, style, look) for look, (style, _) in enumerate(self.looks)]
            return alike[0], own_leaves([goals.objective(*lane) for lane in lanes], alike)

        program = Program(union, self.weights, self.precision, self.machine, plan.devices, self.sizes)
        pictures = [self.pictures_of(lane) for lane in lanes]
        finish = functools.partial(finished, photograph=found.photograph, config=union)
        try:
            results = program.run([lane.config for lane in lanes], pictures, goal_at, finish, on_progress)
        except Exception as error:
            if not memory.is_exhausted(error):
                raise
            each = plan.batch // len(plan.devices)
            less = f"give --lanes-at-once {plan.batch // 2}" if each > 1 else "give a smaller --size"
            raise NSTError(f"the memory ended with {each} lanes at once on a device: {less}") from None
        return list(zip(indices, results, strict=False))


class Program(NamedTuple):
    """What lanes have in common, be they of one photograph or of many.

    Attributes:
      union: the options, with every layer that any lane uses.
      weights, precision, machine: see ``Sweep``.
      devices: those over which the lanes are spread.
      sizes: (height, width) of each scale.
    """

    union: Complete
    weights: Weights
    precision: Precision
    machine: Machine
    devices: tuple[jax.Device, ...]
    sizes: list[tuple[int, int]]

    def run(
        self,
        configs: Sequence[Complete],
        pictures: Sequence[Pictures],
        goal_at: Callable[[Network, tuple[int, int]], Lanes],
        finish: Callable[[np.ndarray], np.ndarray],
        on_progress: Callable[[Progress], None],
    ) -> list[Result]:
        """Runs lanes as one program; gives the result of each.

        Args:
          configs, pictures: of each lane. What their masks keep is the same for all.
          goal_at: the objective at a size as a network sees it, with the leaves that the lanes have for themselves.
          finish: makes of the lanes' images, [lanes, H, W, 3], what is given out.
          on_progress: see ``Sweep.run``.
        """
        clock, union = Clock(), self.union
        mesh = Mesh(np.array(self.devices), ("lanes",), axis_types=(AxisType.Auto,))
        everywhere, spread = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("lanes"))
        net = network(self.weights, union.pooling, union.padding, self.precision, self.machine.lowering)
        net = jax.device_put(net, everywhere)

        def placed_goal_at(size: tuple[int, int], told: bool) -> Lanes:
            shared, own = goal_at(exact(net) if told else net, size)
            return jax.device_put(shared, everywhere), jax.device_put(own, spread)

        starts = [start_image(one, self.sizes[0], config) for one, config in zip(pictures, configs, strict=True)]
        recorder = Recorder(on_progress, clock.started, finish, pictures[0].masks)
        clock.loaded()
        keep_no_large_memory(len(configs) * self.sizes[-1][0] * self.sizes[-1][1])
        made = coarse_to_fine(
            loss_of_lane,
            stages_at(self.sizes, union, placed_goal_at, self.precision),
            np.stack(starts),
            union,
            recorder,
            chunk=self.machine.chunk,
            lanes=True,
            place=lambda image: jax.device_put(image, spread),
            enlarge=enlarging(union, configs, [one.toned for one in pictures]),
        )
        seconds, origin, image = clock.seconds(), origin_of(self.weights, self.precision), finish(made.image)
        each = zip(recorder.traces, configs, pictures, strict=True)
        return [
            result_of(made, image, trace, config, one, origin, self.machine, seconds, lane)
            for lane, (trace, config, one) in enumerate(each)
        ]


def enlarging(
    union: Complete, configs: Sequence[Complete], toned: Sequence[np.ndarray | None]
) -> Callable[[np.ndarray, tuple[int, int]], np.ndarray]:
    """How the lanes' images, [lanes, H, W, 3], are enlarged: each with its own detail.

    ``toned`` is each one's photograph in its paintings' colours, [H, W, 3]; or all are None.
    """
    first = toned[0]
    alike = all(one is first for one in toned)
    share = np.array([config.detail_share for config in configs]).reshape(-1, 1, 1, 1)
    picture = first if alike else np.stack([one for one in toned if one is not None])
    return functools.partial(enlarged, config=union, toned=picture, share=share)


def batch_size(lanes: int, at_once: int, devices: int) -> int:
    """How many lanes to run at once: as few batches as ``at_once`` allows, of equal size, a multiple of ``devices``."""
    batches = math.ceil(lanes / max(1, at_once // devices * devices))
    return max(1, math.ceil(math.ceil(lanes / max(1, batches)) / devices)) * devices


def prepare_lanes(
    content: Source | None,
    styles: Sequence[Source],
    lanes: Sequence[Lane],
    *,
    weights: Weights | None = None,
    more: Sequence[Extra] = (),
    machine: Machine | None = None,
) -> Sweep:
    """Reads and checks all that a sweep needs.

    Args:
      content: as ``stylize`` takes it.
      styles: the style pictures, or folders of them; which picture a lane takes is ``Lane.style``.
      lanes: at least one; their options differ in ``VARYING`` alone.
      weights, more, machine: as ``stylize`` takes them.

    Raises NSTError for whatever cannot be used.
    """
    if not lanes:
        raise NSTError("the sweep has no lanes: give one at least")
    if len(lanes) > MOST_LANES:
        raise NSTError(f"the sweep has {len(lanes)} lanes; at most {MOST_LANES} are possible")
    machine = machine or here()
    weights = weights or choose_weights(lanes[0].config.network, lanes[0].config.weights)
    configs = [lane.config.for_network(weights.network) for lane in lanes]
    for name in vars(configs[0]):
        if name not in VARYING and len({getattr(config, name) for config in configs}) > 1:
            raise NSTError(f"the lanes differ in {name}: lanes of one sweep may differ in {', '.join(VARYING)} alone")
    if configs[0].refine:
        raise NSTError("--refine is for a single picture: leave it out of a sweep")
    if isinstance(configs[0].tile, int):
        raise NSTError("--tile is for a single picture: leave it out of a sweep")
    styles, common = expand(styles, configs[0], mixed=False)
    for lane in lanes:
        if not 0 <= lane.style < max(1, len(styles)):
            raise NSTError(
                f"a lane asks for style {lane.style} of {len(styles)}: give more styles, or a smaller number"
            )
    union = dataclasses.replace(
        common,
        init=next((config.init for config in configs if config.needs_toned), common.init),
        content_layers=_with_weight(config.content_layer_weights for config in configs),
        style_layers=_with_weight(config.style_layer_weights for config in configs),
        more_taps=taps_of_extras(more),
    )
    found = gather(content, styles, union, apart=True)
    if (octaves := fewest_octaves(found, union)) < union.style_octaves:
        union, *configs = (dataclasses.replace(one, style_octaves=octaves) for one in (union, *configs))
    factors = union.style_scale

    def resolve(config: Complete, style: int) -> Complete:
        factor = factors[style if len(factors) > 1 else 0]
        return dataclasses.replace(config, scales=len(found.sizes), style_scale=(factor,))

    keys = [(lane.style, config.tone * config.needs_toned) for config, lane in zip(configs, lanes, strict=True)]
    looks = {key: (key[0], config) for key, config in zip(keys, configs, strict=True)}
    places = {key: place for place, key in enumerate(looks)}
    resolved = tuple(
        Resolved(resolve(config, key[0]), key[0], places[key]) for key, config in zip(keys, configs, strict=True)
    )
    pixels = [painting.pixels.tobytes() for painting in found.paintings]
    seen: dict[tuple[Complete, int], int] = {}
    for index, each in enumerate(resolved):
        key = each.config, pixels.index(pixels[each.style]) if pixels else 0
        if key in seen:
            raise NSTError(f"lanes {seen[key]} and {index} are the same: give each once")
        seen[key] = index
    precision = machine.precisions(union.precision, union.network)[0]
    return Sweep(resolved, found, tuple(looks.values()), weights, union, precision, machine, more)


def fewest_octaves(found: Gathered, config: Complete) -> int:
    """``style_octaves`` that every painting has at each of the sizes at which any does: so lanes are as runs alone."""
    each = []
    for painting in found.paintings:
        sides = [(size, painting_size(painting, size, config)) for size in found.sizes]
        each.append([octaves_at(size, [side], config) for size, side in sides])
    alike = all(one == each[0] for one in each)
    return config.style_octaves if alike else min(map(min, each))


def _with_weight(sets: Iterable[Mapping[str, float]]) -> tuple[str, ...]:
    """Every layer of some sets, once, as entries of a ``Config``."""
    return tuple(f"{tap}:1" for tap in dict.fromkeys(tap for weights in sets for tap in weights))
