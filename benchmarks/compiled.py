"""What the compiler says of a step and of a chunk of steps, for devices that need not be there. It is no timing.

    python -m benchmarks compiled --output compiled.json
    python -m benchmarks compiled --targets v5e --objectives nst_jax-0.1 --programs step --text texts

A target is a kind of device, ``h100``, ``v5e`` or ``v6e``, with ``:N`` for so many of them. One whose compiler is not
installed is skipped, with what is missing. Each row is compiled in a process of its own; filters are random, pictures
too, as only their shapes count. A picture is 4:3 and as many pixels wide as ``--sizes`` says; of several devices each
has as many of its rows. How the memory is used is what the run's own plan takes on such a device.

"arguments" and "temporaries" are GiB a device, GFLOP and GB (read and written) those of a step on each device; "bound
ms" is what follows from these and the maker's figures, with all bytes taken for the main memory's.
Compilers count what is in a loop once or for each turn. So operations and bytes are told of a step alone, and by tiles,
which are a loop, of none. "kernels" are those that a step starts. Collectives and host calls are those in the text.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks import hlo
from benchmarks.harness import Row, table
from benchmarks.processes import in_child
from benchmarks.slim import changed
from benchmarks.targets import Target, target_of
from nst_jax.losses.objective import Objective
from nst_jax.losses.shards import Shards
from nst_jax.losses.tiles import Tiles, strides_of
from nst_jax.meshes import mesh_of
from nst_jax.networks.vgg import random_weights
from nst_jax.optim import minimise
from nst_jax.options.config import Config
from nst_jax.runs import memory, scales
from nst_jax.runs.goals import loss_of
from nst_jax.runs.machine import Machine
from nst_jax.runs.plan import Prepared, prepare
from nst_jax.runs.pyramid import method_of
from nst_jax.runs.stylize import stages_of

#: Targets that are asked without others on the command line.
TARGETS = ("h100", "h100:4", "h100:8", "v5e", "v5e:4", "v5e:16", "v6e")
#: The longest side of the pictures of which targets are made; no shape but the content's depends on it.
DRAFT = 512
#: The part of a device's memory that a program may take.
USABLE = 0.9
COLUMNS = ("target", "objective", "size", "optimizer", "program", "way", "arguments", "temporaries")
COLUMNS += ("GFLOP", "GB", "bound ms", "kernels", "collectives", "host calls", "seconds to compile")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), help=" ".join(TARGETS))
    parser.add_argument("--objectives", nargs="+", default=["default", "nst_jax-0.1"], help="presets")
    parser.add_argument("--sizes", nargs="+", type=int, default=[512], help="widths in pixels")
    parser.add_argument("--programs", nargs="+", choices=["step", "chunk"], default=["step", "chunk"])
    parser.add_argument("--network", default="vgg19")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other options of the run")
    parser.add_argument("--text", help="folder for the texts of the programs")
    parser.add_argument("--here", action="store_true", help="only the first of each, in this process, as JSON")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows of the table, which it prints as they come."""
    targets = [target_of(name) for name in options.targets]
    if options.here:
        row = told(targets[0], options.objectives[0], options.sizes[0], options.programs[0], options)
        print(json.dumps(row))
        return row
    rows: list[Row] = []
    for target in targets:
        for size in options.sizes:
            for objective in options.objectives:
                for program in options.programs:
                    rows.append(asked(target, objective, size, program, options))
                    print(table(rows[-1:], COLUMNS), flush=True)
    return {"rows": rows}


def asked(target: Target, objective: str, size: int, program: str, options: argparse.Namespace) -> Row:
    """``told`` in a process of its own; of a target whose compiler is not installed what is missing."""
    row: Row = {"target": target.name, "objective": objective, "size": size, "program": program}
    if missing := target.missing():
        return row | {"skipped": missing}
    arguments = ["--targets", target.name, "--objectives", objective, "--sizes", str(size), "--programs", program]
    arguments += ["--network", options.network, "--here", "--set", *options.set]
    arguments += ["--text", str(Path(options.text).absolute())] if options.text else []
    try:
        return in_child("compiled", arguments, target.environment())
    except SystemExit as error:  # one target that a compiler cannot do does not end the others
        return row | {"skipped": str(error).strip().splitlines()[-1][:300]}


def told(target: Target, objective: str, size: int, program: str, options: argparse.Namespace) -> Row:
    """What the compiler says of one program, in a process with the target's environment."""
    config = changed(Config(objective, network=options.network, size=DRAFT, scales=1), options.set)
    height, width = shape_of(size, target.devices)
    devices = target.topology()
    run = run_at((height, width), config, target, devices)
    lowered, length = lower(run, (height, width), devices, program)
    started = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - started
    text = compiled.as_text()
    if options.text:
        name = f"{target.name.replace(':', '-')}_{objective}_{size}_{program}.txt"
        Path(options.text).mkdir(parents=True, exist_ok=True)
        Path(options.text, name).write_text(text)
    row: Row = {
        "target": target.name,
        "objective": objective,
        "size": size,
        "height": height,
        "width": width,
        "program": program,
        "steps": length,
        "optimizer": words_of(run),
        "way": way_of(run),
        "seconds to compile": round(seconds),
    }
    step = program == "step"
    row |= memory_of(compiled) | read(text, step)
    return row | costs_of(lowered, compiled, text, target) if step and not run.plan.tile else row


def shape_of(size: int, devices: int) -> tuple[int, int]:
    """(height, width) of a picture of 4:3, whose rows the devices divide at every pooling to the deepest layer."""
    part = 16 * devices
    return max(1, round(3 * size / 4 / part)) * part, size


def run_at(size: tuple[int, int], config: Config, target: Target, devices: Sequence[Any]) -> Prepared:
    """A run whose memory is planned for a (height, width) ``size`` on ``devices``, each with its part of it.

    Its pictures are of ``DRAFT``'s size.
    """
    random = np.random.default_rng(0)
    height = DRAFT * 3 // 4
    pair = (random.random((height, DRAFT, 3), np.float32) for _ in range(2))
    shards = tuple(devices) if len(devices) > 1 else ()
    machine = Machine(target.chip.platform, free=int(USABLE * target.chip.memory), shards=shards)
    run = prepare(*pair, config, weights=random_weights(config.network), machine=machine)
    taken = dataclasses.replace(run.footprint, sizes=(size,))
    precisions = machine.precisions(run.config.precision, run.config.network)
    plan = memory.plan(taken, machine.free, precisions, run.config.tile)
    return run.in_way(plan.way())._replace(footprint=taken)


def lower(run: Prepared, size: tuple[int, int], devices: Sequence[Any], program: str) -> tuple[Any, int]:
    """The program for a picture of (height, width) ``size`` on devices, before it is compiled, and its steps."""
    config, plan, mesh = run.config, run.plan, mesh_of(devices)
    (stage,) = stages_of(run._replace(plan=plan._replace(tile=0)), run.passes[-1])
    goal = at_size(jax.eval_shape(functools.partial(stage.goal, False)), size)
    if run.machine.shards:
        shards = Shards(mesh, size, scales.evenly_parted(config), plan.tile)
        function, goal, image = shards, shards.abstract(goal), shards.abstract_image()
    else:
        there = NamedSharding(mesh, PartitionSpec())
        goal = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=there), goal)
        function = Tiles(plan.tile, loop=False) if plan.tile else loss_of
        image = jax.ShapeDtypeStruct((*size, 3), jnp.float32, sharding=there)
    method = method_of(config, plan.pairs or None)
    length = 1 if program == "step" else run.machine.chunk
    return minimise.lowered(method, function, goal, image, length), length


def at_size(goal: Objective, size: tuple[int, int]) -> Objective:
    """The shapes of an objective for an image of another (height, width): of what is of the picture's shape."""

    def resized(array: Any, octave: int, tap: str | None, axis: int) -> jax.ShapeDtypeStruct:
        stride = 2**octave * (1 if tap is None else strides_of(goal.network.name, [tap])[tap])
        shape = (*array.shape[:axis], size[0] // stride, size[1] // stride, *array.shape[axis + 2 :])
        return jax.ShapeDtypeStruct(shape, array.dtype)

    return goal.along(resized)


def words_of(run: Prepared) -> str:
    """The optimiser, of L-BFGS with its pairs."""
    return f"lbfgs {run.plan.pairs}" if run.config.optimizer == "lbfgs" else run.config.optimizer


def way_of(run: Prepared) -> str:
    """How the plan uses the memory."""
    told = [f"tiles of {run.plan.tile}"] if run.plan.tile else []
    return ", ".join([run.plan.precision, *told, *(["recomputed"] if run.plan.remat else [])])


def memory_of(compiled: Any) -> Row:
    """The compiler's account of the memory of each device."""
    sizes = compiled.memory_analysis()
    return {"arguments": sizes.argument_size_in_bytes / 2**30, "temporaries": sizes.temp_size_in_bytes / 2**30}


def costs_of(lowered: Any, compiled: Any, text: str, target: Target) -> Row:
    """Operations and bytes of a step on each device, and the seconds that follow from the maker's figures.

    A GPU's compiler gives no account. There operations are those of the program before it is compiled, whose parts for
    each device are counted once; bytes are by XLA's general account of the compiled one, with its libraries' added.
    """
    costs = compiled.cost_analysis()
    if costs:
        flops, moved = costs["flops"], costs["bytes accessed"]
    else:
        from jax._src.lib import _jax  # what Lowered.cost_analysis asks, which takes no other device's program

        account = functools.partial(_jax.hlo_module_cost_analysis, jax.devices("cpu")[0].client)
        flops = account(lowered._lowering.hlo().as_hlo_module())["flops"]
        moved = account(compiled.runtime_executable().hlo_modules()[0])["bytes accessed"]
        moved += hlo.library_bytes(hlo.program_of(text))
    bound = max(flops / target.chip.flops, moved / target.chip.bandwidth)
    return {"GFLOP": flops / 1e9, "GB": moved / 1e9, "bound ms": 1e3 * bound}


def read(text: str, step: bool) -> Row:
    """What the text of a program says of its kernels, collectives and host calls."""
    program = hlo.program_of(text)
    body = program.entry if step else max(hlo.loops(program), key=functools.partial(hlo.kernels, program))
    found = hlo.collectives(program)
    return {
        "kernels": hlo.kernels(program, body),
        "collectives": ", ".join(f"{count} {kind}" for kind, count in found.items()) or "none",
        "host calls": hlo.host_calls(program),
    }
