"""``nst-sweep``: one photograph over a grid of ratios, layers, seeds and styles, as one batch; a folder comes out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro import MISSING

from nst_jax.choices import METADATA, Metadata, check_choice, check_whole
from nst_jax.cli.cache import keep_programs
from nst_jax.cli.command import named_preset, parse, run
from nst_jax.cli.display import device_line, display
from nst_jax.cli.signals import interruptible
from nst_jax.cli.together import Hosts, leaving
from nst_jax.errors import NSTError
from nst_jax.options.config import Config
from nst_jax.options.folders import expand
from nst_jax.sweeps.grid import cumulative, grid_layout
from nst_jax.sweeps.grid import grid as make_grid

if TYPE_CHECKING:
    from nst_jax.runs.progress import Progress
    from nst_jax.sweeps.folder import Gallery
    from nst_jax.sweeps.lanes import Batches

PROGRAM = "nst-sweep"
REQUIRED: dict[str, Any] = {"content": MISSING, "style": MISSING, "output": MISSING}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(Hosts, Config):
    """Paint a photograph many times, over a grid of options, as one batch on the device."""

    content: Path
    """the photograph"""
    style: tuple[Path, ...]
    """the paintings, a run for each; a folder stands for the pictures in it"""
    output: Path
    """the folder of the results"""
    ratios: tuple[float, ...] | None = None
    """values of alpha/beta: multiples of the style weight that the content weight is to be"""
    content_layers: tuple[str, ...] = Config.content_layers
    """content layers, a run for each; comma-separated ones count together; none for textures of the photograph's
    shape"""
    style_layer_sets: tuple[str, ...] | None = None
    """sets of style layers, each NAME,NAME,...; or cumulative: the first of --style-layers, the first two, ... all"""
    seeds: tuple[int, ...] | None = None
    """seeds of the noise, a run for each"""
    strengths: tuple[float, ...] | None = None
    """values of --strength, a run for each"""
    resume: bool = False
    """continue the sweep in the output folder; what is finished there is kept"""
    lanes_at_once: int = 0
    """runs in one batch; 0 for as many as there is memory for"""
    devices: Literal["own", "all"] = "own"
    """over which devices the runs are spread: own, those of this host; all, on a TPU slice and under SLURM those of all
    hosts that run this command"""
    metadata: Metadata = "full"
    """what the pictures say of their making: full; short, which names no file; or none"""
    no_cache: bool = False
    """do not keep compiled programs for the next run"""

    def __post_init__(self) -> None:
        check_whole("lanes_at_once", self.lanes_at_once, 0)
        check_choice("metadata", self.metadata, METADATA)
        check_choice("devices", self.devices, ("own", "all"))
        self.check_hosts()
        self.config()  # checks the rest

    def content_sets(self) -> list[tuple[str, ...]]:
        """The sets of content layers, one a run."""
        return [_layers(entry) for entry in self.content_layers]

    def style_sets(self) -> list[tuple[str, ...]] | None:
        """The sets of style layers, one a run; None where only ``--style-layers`` is."""
        if self.style_layer_sets is None:
            return None
        if self.style_layer_sets == ("cumulative",):
            if not self.style_layers:
                raise NSTError("--style-layer-sets cumulative takes its layers from --style-layers: name some there")
            return cumulative(self.style_layers)
        if "cumulative" in self.style_layer_sets:
            raise NSTError("--style-layer-sets has cumulative among others: give it alone, or lists alone")
        return [_layers(entry) for entry in self.style_layer_sets]

    def config(self) -> Config:
        """What all runs have in common, with the first set of content layers."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Config)}
        return Config(**values | {"content_layers": (self.content_sets() or [()])[0]})


def _layers(entry: str) -> tuple[str, ...]:
    return tuple(name for name in entry.split(",") if name)


def command(arguments: Sequence[str]) -> int:
    """Runs the command line; returns its exit status, or raises NSTError for a mistake of the caller's."""
    options = parse(Sweep, arguments, PROGRAM, default=Sweep(**vars(named_preset(arguments)), **REQUIRED))
    paintings, config = expand(options.style, options.config(), mixed=False)
    doubled = next((path for i, path in enumerate(paintings) if path in paintings[:i]), None)
    if doubled:
        raise NSTError(f"--style names {doubled} twice: give each once")
    grid = make_grid(
        config,
        [path.stem for path in paintings],
        content_layers=options.content_sets() or None,
        style_layer_sets=options.style_sets(),
        seeds=options.seeds,
        strengths=options.strengths,
        ratios=options.ratios,
    )
    keep_programs(not options.no_cache, PROGRAM)
    from nst_jax.runs import processes
    from nst_jax.sweeps import folder as gallery  # JAX is loaded only for a command line that holds
    from nst_jax.sweeps.lanes import prepare_lanes

    aborts = options.join(PROGRAM, options.devices == "all")  # kept to the end, as the runtime may call it
    if processes.first():
        gallery.check_folder(options.output, options.resume)
    prepared = prepare_lanes(options.content, paintings, grid.lanes)
    if aborts:
        processes.same(gallery.identity(prepared), gallery.difference)
    layout = grid_layout(grid, f"{options.content.stem}: {len(grid.lanes)} runs")
    opened = functools.partial(gallery.Gallery, options.output, prepared, layout, metadata=options.metadata)
    if not processes.several():
        return run_lanes(opened(resume=options.resume), options.lanes_at_once, PROGRAM)
    folder = opened(resume=options.resume) if processes.first() else None
    at_once = processes.of_first(folder.plan(options.lanes_at_once)[0].batch if folder else None)
    return run_lanes(folder or opened(resume=True), at_once, PROGRAM)  # the first has made it by now


def run_lanes(folder: Gallery, at_once: int, program: str) -> int:
    """Runs what is unfinished in a sweep's folder, and writes it; returns the exit status.

    Of several processes each runs its share of the batches and writes their lanes. The first one tells of its own, and
    writes what is made of all lanes when the others are through.
    """
    from nst_jax.limits import stay_within_group
    from nst_jax.runs import processes
    from nst_jax.runs.progress import Stop

    def tell(line: str) -> None:
        if processes.first():
            print(line, file=sys.stderr)

    stay_within_group()
    todo = folder.unfinished()
    total = len(folder.sweep.lanes)
    tell(f"{total} lanes, {total - len(todo)} of them finished; {device_line(folder.sweep.machine)}")
    with interruptible(f"stopping; {program} --resume continues") as interrupted:
        plan, note = folder.plan(at_once)
        batches = processes.of_first(folder.batches(plan.batch))
        if note:
            tell(f"{program}: note: {note}")
        tell(plan_line(plan, len(batches)))
        batches = processes.share(batches)
        shown = display(folder.sweep.schedule * len(batches))
        with shown if processes.first() else contextlib.nullcontext(lambda progress: None) as show:

            def on_progress(progress: Progress) -> None:
                show(progress)
                if interrupted():
                    raise Stop

            for results in folder.sweep.run([lane for lanes in batches for lane in lanes], plan, on_progress):
                for lane, result in results:
                    if result.ended != "stopped" and lane in todo:
                        folder.save(lane, result)
                if processes.first():
                    folder.save_results()
        signal = processes.most(interrupted())
        folder.look_for_others()
        if processes.first():
            folder.save_overview()
    left = len(folder.unfinished())
    broken = sum(folder.reports[lane]["ended"] == "not finite" for lane in todo if lane in folder.reports)
    if processes.first():
        print(f"{folder.path}: {total - left} of {total} lanes; see {folder.path / 'index.html'}")
    if left:
        return 128 + signal
    if broken:
        tell(f"{program}: the loss of {broken} lanes did not stay finite; see their best pictures")
    return 1 if broken else 0


def plan_line(plan: Batches, batches: int) -> str:
    """How many lanes run at once, and what memory that is thought to take."""
    devices = len(plan.devices)
    each = plan.batch // devices * plan.lane_bytes / 2**30
    where = f" on each of {devices} devices" if devices > 1 else ""
    return f"{batches} x {plan.batch} lanes at once: about {each:.2g} GiB of {plan.free_bytes / 2**30:.2g} free{where}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of ``nst-sweep``; returns the exit status."""
    return leaving(functools.partial(run, command, PROGRAM, arguments))
