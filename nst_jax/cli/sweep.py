"""``nst-sweep``: one photograph over a grid of ratios, layers, seeds and styles, as one batch; a folder comes out."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro import MISSING

from nst_jax.choices import METADATA, Metadata, check_choice, check_whole
from nst_jax.cli.cache import keep_programs
from nst_jax.cli.command import named_preset, parse, run
from nst_jax.cli.display import device_line, display
from nst_jax.cli.outputs import Room, warn_of_room
from nst_jax.cli.signals import interruptible
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
#: Seconds that a process waits for process 0 to make the folder.
WAIT = 300
REQUIRED: dict[str, Any] = {"content": MISSING, "style": MISSING, "output": MISSING}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(Config):
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
    process_count: int = 1
    """how many processes share the sweep: the same command is started on each host, with one folder that all see"""
    process_id: int = 0
    """which of them this is, from 0, which makes the folder"""
    metadata: Metadata = "full"
    """what the pictures say of their making: full; short, which names no file; or none"""
    no_cache: bool = False
    """do not keep compiled programs for the next run"""

    def __post_init__(self) -> None:
        check_whole("lanes_at_once", self.lanes_at_once, 0)
        check_choice("metadata", self.metadata, METADATA)
        check_whole("process_count", self.process_count, 1)
        check_whole("process_id", self.process_id, 0, self.process_count - 1)
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


def of_preset(preset: Config) -> dict[str, Any]:
    """A preset's options as a sweep has them: its content layers are one set, of one run."""
    return vars(preset) | {"content_layers": (",".join(preset.content_layers),) if preset.content_layers else ()}


def _layers(entry: str) -> tuple[str, ...]:
    return tuple(name for name in entry.split(",") if name)


def command(arguments: Sequence[str]) -> int:
    """Runs the command line; returns its exit status, or raises NSTError for a mistake of the caller's."""
    options = parse(Sweep, arguments, PROGRAM, default=Sweep(**of_preset(named_preset(arguments)), **REQUIRED))
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
    from nst_jax.sweeps import folder as gallery  # JAX is loaded only for a command line that holds
    from nst_jax.sweeps.lanes import prepare_lanes

    if options.process_id:
        gallery.wait_for_folder(options.output, WAIT)
    resume = options.resume or options.process_id > 0
    gallery.check_folder(options.output, resume)
    prepared = prepare_lanes(options.content, paintings, grid.lanes)
    title = f"{options.content.stem}: {len(grid.lanes)} runs"
    layout = grid_layout(grid, title)
    folder = gallery.Gallery(options.output, prepared, layout, resume=resume, metadata=options.metadata)
    return run_lanes(folder, options.lanes_at_once, PROGRAM, (options.process_id, options.process_count))


def run_lanes(folder: Gallery, at_once: int, program: str, share: tuple[int, int] = (0, 1)) -> int:
    """Runs what is unfinished in a sweep's folder, and writes it; returns the exit status.

    Of several processes, of which ``share`` says the number and how many, each runs the batches that are its own. Each
    writes what is made of all lanes when it is through: the last one has all of them.
    """
    from nst_jax.limits import stay_within_group
    from nst_jax.runs.progress import Stop

    stay_within_group()
    todo = folder.unfinished()
    total = len(folder.sweep.lanes)
    device = device_line(folder.sweep.machine)
    print(f"{total} lanes, {total - len(todo)} of them finished; {device}", file=sys.stderr)
    warn_of_room(program, [Room("the pictures", folder.path, len(todo) * folder.most_bytes())])
    broken = 0
    with interruptible(f"stopping; {program} --resume continues") as interrupted:
        plan, note = folder.plan(at_once)
        batches = folder.batches(plan.batch, share)
        if note:
            print(f"{program}: note: {note}", file=sys.stderr)
        print(plan_line(plan, len(batches)), file=sys.stderr)
        with display(folder.sweep.schedule * len(batches)) as show:

            def on_progress(progress: Progress) -> None:
                show(progress)
                if interrupted():
                    raise Stop

            for results in folder.sweep.run([lane for lanes in batches for lane in lanes], plan, on_progress):
                for lane, result in results:
                    if result.ended != "stopped" and lane in todo:
                        folder.save(lane, result)
                        broken += result.ended == "not finite"
                folder.save_results()
        folder.look_for_others()
        folder.save_overview()
    left = len(folder.unfinished())
    print(f"{folder.path}: {total - left} of {total} lanes; see {folder.path / 'index.html'}")
    if folder.batches(plan.batch, share):
        return 128 + interrupted()
    if broken:
        print(f"{program}: the loss of {broken} lanes did not stay finite; see their best pictures", file=sys.stderr)
    return 1 if broken else 0


def plan_line(plan: Batches, batches: int) -> str:
    """How many lanes run at once, and what memory that is thought to take."""
    devices = len(plan.devices)
    each = plan.batch // devices * plan.lane_bytes / 2**30
    where = f" on each of {devices} devices" if devices > 1 else ""
    return f"{batches} x {plan.batch} lanes at once: about {each:.2g} GiB of {plan.free_bytes / 2**30:.2g} free{where}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of ``nst-sweep``; returns the exit status."""
    return run(command, PROGRAM, arguments)
