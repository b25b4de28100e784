"""``nst-stylize``: a photograph and one or more paintings in, a painted photograph out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro import MISSING

from nst_jax.choices import STARTS, Metadata, check_whole
from nst_jax.cli.cache import keep_programs
from nst_jax.cli.command import named_preset, parse, run
from nst_jax.cli.display import device_line, display, network_line, watching
from nst_jax.cli.outputs import check_disk, check_outputs, check_previews, preview_path, to_be_written
from nst_jax.cli.pace import duration
from nst_jax.cli.signals import interruptible
from nst_jax.cli.together import agreed, join, leaving
from nst_jax.errors import NSTError
from nst_jax.files import is_there
from nst_jax.options.config import Config
from nst_jax.options.folders import pictures_of
from nst_jax.options.preset_table import is_preset_file

if TYPE_CHECKING:
    import numpy as np

    from nst_jax.cli.together import Aborts
    from nst_jax.runs.plan import Prepared
    from nst_jax.runs.progress import Progress
    from nst_jax.runs.result import Result

PROGRAM = "nst-stylize"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stylize(Config):
    """Paint a photograph in the style of a painting (Gatys, Ecker and Bethge 2015)."""

    content: Path
    """the photograph"""
    style: tuple[Path, ...]
    """the painting; several count alike; a folder stands for the pictures in it"""
    output: Path = Path("stylized.png")
    """the result: PNG, JPEG, WebP or TIFF by its extension"""
    report: Path | None = None
    """also write a JSON report of the run to this file"""
    save_every: int = 0
    """also write the picture so far every N steps, beside the result; 0 for never"""
    timelapse: Path | None = None
    """also write the run as a film to this file: MP4, GIF or WebP by its extension"""
    checkpoint: Path | None = None
    """keep checkpoints of the run in this folder, from which --resume goes on"""
    checkpoint_every: str = "60s"
    """how often: so many steps, such as 20, or seconds, such as 60s"""
    resume: Path | None = None
    """go on from the checkpoints in this folder, and keep more of them there; where there is none yet, start"""
    metadata: Metadata = "full"
    """what the picture says of its making: full; short, which names no file; or none"""
    save_preset: Path | None = None
    """also write the options in use to this TOML file, for --preset"""
    dry_run: bool = False
    """only say what the run would be: sizes, steps, network, memory; nothing is written but the preset"""
    no_cache: bool = False
    """do not keep compiled programs for the next run"""
    devices: int | Literal["all"] = 1
    """on how many devices the rows of the picture lie, or all"""
    coordinator: str | None = None
    """HOST:PORT of process 0, where several processes on one or more hosts make the picture; a TPU slice and SLURM need
    none, but --devices all"""
    process_id: int | None = None
    """which of them this is, from 0, which writes"""
    process_count: int | None = None
    """how many they are"""
    coordinator_timeout: int = 300
    """seconds to wait for all of them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("save_every", self.save_every, 0)
        if self.checkpoint and self.resume and os.path.realpath(self.checkpoint) != os.path.realpath(self.resume):
            raise NSTError(f"--resume goes on in its own folder, {self.resume}: leave --checkpoint out")
        if self.devices != "all":
            check_whole("devices", self.devices, 1)
        check_whole("coordinator_timeout", self.coordinator_timeout, 1, 86400)

    @property
    def looks(self) -> int:
        """After how many steps the host looks at the picture; a film is made of all of them."""
        return 1 if self.timelapse else self.save_every

    def config(self) -> Config:
        """The options that make the picture, without the files of the command line."""
        return Config(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Config)})


def command(arguments: Sequence[str]) -> int:
    """Runs the command line; returns its exit status, or raises NSTError for a mistake of the caller's."""
    options = parse(Stylize, arguments, PROGRAM, default=defaults(arguments))
    check_files(options)
    keep_programs(not (options.no_cache or options.dry_run), PROGRAM)
    from nst_jax.limits import stay_within_group
    from nst_jax.pictures.encoding import check_output
    from nst_jax.pictures.film import check_film
    from nst_jax.runs import processes
    from nst_jax.runs.checkpoints import Checkpoints, check_folder, interval
    from nst_jax.runs.machine import here
    from nst_jax.runs.plan import prepare  # JAX is loaded only for a command line that holds
    from nst_jax.runs.stylize import paint
    from nst_jax.runs.timelapse import Timelapse

    interval(options.checkpoint_every)
    if options.timelapse:
        check_film(options.timelapse, options.size)
    folder = options.resume or options.checkpoint
    if folder:
        check_folder(folder, bool(options.resume))
    alone = options.coordinator is None and options.process_id is None and options.process_count is None
    aborts = None
    if not alone or (options.devices == "all" and processes.by_itself()):
        given = options.coordinator, options.process_id, options.process_count
        aborts = join(PROGRAM, *given, options.coordinator_timeout)
    writes = processes.first()
    prepared = prepare(options.content, options.style, options.config(), machine=here(options.devices))
    if aborts:
        asked: dict[str, object] = {"--checkpoint": bool(options.checkpoint), "--resume": bool(options.resume)}
        asked |= {"--save-every": options.looks, "--dry-run": options.dry_run}
        prepared = agreed(prepared, options.looks, asked)
    check_output(options.output, prepared.sizes[-1], options.depth)
    if writes:
        check_disk(to_be_written(prepared, options.output, options.save_every, folder))
    kept = None
    if folder and not options.dry_run:
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax's: what goes wrong comes as an exception
        kept = Checkpoints(
            folder,
            prepared,
            every=options.checkpoint_every,
            resume=bool(options.resume),
            looks=options.looks,
            tell=note,
        )
        prepared = kept.run
        resumed = f"going on after step {len(kept.position.trace)}" if kept.position else "starting at the beginning"
        notes = [*kept.notes, *([f"{folder}: {resumed}"] if options.resume else [])]
        for line in notes if writes else ():
            note(line)
    stay_within_group()
    if options.dry_run:
        if writes:
            print(plan_lines(prepared))
            save_preset(options)
        return 0

    filmed = Timelapse(options.timelapse, prepared, note) if options.timelapse and writes else None
    stopping = "stopping after this step, and writing the picture so far"
    lines = device_line(prepared.machine), network_line(prepared.config.network)
    with interruptible(stopping) as interrupted:
        with display(prepared.schedule) if writes else contextlib.nullcontext(lambda progress: None) as show:
            watch = watching(show, interrupted, *(lines if writes else ()))

            def on_progress(progress: Progress) -> None:
                if writes and options.save_every and progress.step % options.save_every == 0:
                    save_preview(options, prepared, progress)
                if filmed:
                    filmed.show(progress)
                watch(progress)

            with kept or contextlib.nullcontext(), filmed or contextlib.nullcontext():
                result = paint(
                    prepared,
                    on_progress,
                    looks=options.looks,
                    position=kept.position if kept else None,
                    keep=kept.keep if kept else None,
                    on_scale=functools.partial(at_hand, aborts, options, prepared) if aborts else None,
                )
                if aborts:
                    aborts.last = None
                if filmed:
                    filmed.end(result)
        signal = processes.most(interrupted()) if result.ended == "stopped" else 0
        if not writes and result.ended != "lost":
            return 128 + signal if signal else 0
        for line in result.notes:
            note(line)
        complete = save_all(options, result)
    if result.ended == "not finite":
        print(f"{PROGRAM}: the loss did not stay finite; this is the best picture seen", file=sys.stderr)
    if not complete or result.ended in ("not finite", "out of memory", "lost"):
        return 1
    return 128 + signal if signal else 0


def at_hand(aborts: Aborts, options: Stylize, prepared: Prepared, image: np.ndarray) -> None:
    """Has the picture of a scale written where another process is lost and this one cannot notice."""
    from nst_jax.pictures import images

    alpha = alpha_at(prepared, image)
    aborts.last = functools.partial(images.save_image, options.output, image, alpha, depth=options.depth)


def alpha_at(prepared: Prepared, image: np.ndarray) -> np.ndarray | None:
    """The photograph's alpha at an image's size, or None where it has none."""
    from nst_jax.pictures import images

    photograph = prepared.pictures.photograph
    if photograph is None or photograph.alpha is None:
        return None
    return images.resize(photograph.alpha, *image.shape[:2])


def note(line: str) -> None:
    """Tells what the user may want to know, and what ends nothing."""
    print(f"{PROGRAM}: note: {line}", file=sys.stderr)


def save_preview(options: Stylize, prepared: Prepared, progress: Progress) -> None:
    """Writes the picture so far, as the result would be; where that fails the run goes on, with a note."""
    from nst_jax.pictures import images

    image = progress.image()
    alpha = alpha_at(prepared, image)
    try:
        images.save_image(preview_path(options.output, progress.step), image, alpha, depth=options.depth)
    except NSTError as error:
        print(f"{PROGRAM}: note: {error}; the run goes on", file=sys.stderr)


def save_all(options: Stylize, result: Result) -> bool:
    """Writes the picture, and the report and preset that are asked for; says where. Whether all is where it should be.

    What cannot be written to its place is written elsewhere, with a line that says where. Raises NSTError where there
    is no place for the picture at all.
    """
    from nst_jax.runs import report as written

    notes: list[str] = []
    complete = True

    def save(target: Path, write: Callable[[Path], object]) -> Path:
        nonlocal complete
        place, wrong = written.saved_somewhere(target, write)
        if wrong:
            print(f"{PROGRAM}: error: {wrong}; it is {place} instead", file=sys.stderr)
            complete = False
        return place

    output = save(options.output, lambda path: notes.append(written.save(path, result, options.metadata)))
    for note in filter(None, notes):
        print(f"{PROGRAM}: note: {note}; {options.report or '--report FILE'} has all of it", file=sys.stderr)
    if options.report:
        save(options.report, lambda path: written.save_report(path, written.report(result, output)))
    save_preset(options)
    losses = ", ".join(f"{name} {value:.4g}" for name, value in result.losses.items())
    losses = losses or "not known"
    print(f"{output}: {result.steps} steps in {result.seconds['total']:.1f} s; losses: {losses}")
    return complete


def defaults(arguments: Sequence[str]) -> Stylize:
    """The command's defaults: those of the preset that ``arguments`` name."""
    required = {"content": MISSING, "style": MISSING}
    return Stylize(**vars(named_preset(arguments)), **required)


def check_files(options: Stylize) -> None:
    """Raises NSTError, before any work, for an output that cannot be written or that would overwrite an input."""
    from nst_jax.pictures.encoding import check_output

    check_output(options.output, (options.size, options.size), options.depth)
    start = None if options.init in STARTS else Path(options.init)
    if start and not (is_there(start) and start.is_file()):
        raise NSTError(f"no start image {options.init!r}: give {', '.join(STARTS)} or a picture's file")
    preset = Path(options.preset) if is_preset_file(options.preset) else None
    sources: dict[str, Sequence[Path | None]] = {
        "--content": [options.content],
        "--style": [picture for style in options.style for picture in pictures_of(style)],
        "--weights": [options.weights],
        "--init": [start],
        "--preset": [preset],
        "--palette": [options.palette],
        "--content-mask": options.content_mask,
        "--style-mask": options.style_mask,
        "--freeze": [options.freeze],
    }
    outputs = {
        "--output": options.output,
        "--report": options.report,
        "--save-preset": options.save_preset,
        "--timelapse": options.timelapse,
    }
    check_outputs(outputs, sources, changed=["--save-preset --preset"])
    check_previews(options.output, options.save_every, sources | {option: [path] for option, path in outputs.items()})
    if options.save_preset and options.save_preset.suffix != ".toml":
        raise NSTError(f"--save-preset is {options.save_preset}: give a name that ends in .toml")


def save_preset(options: Stylize) -> None:
    """Writes the options of the command line as a preset, where that is asked for."""
    if options.save_preset:
        from nst_jax.options import presets

        presets.save_preset(options.save_preset, options.config())


def plan_lines(prepared: Prepared) -> str:
    """What a run would be, as ``--dry-run`` prints it."""
    from nst_jax.runs import memory
    from nst_jax.runs.duration import seconds_of
    from nst_jax.runs.result import notes_of

    config, plan, seconds = prepared.config, prepared.plan, seconds_of(prepared)
    scales = [
        f"{width} x {height}: {count}{'' if each.config.network == config.network else ' with slim'}"
        for each in prepared.passes
        for (height, width), count in zip(each.sizes, each.counts, strict=True)
    ]
    how = "".join(f"; {each}" for each in memory.words(prepared.footprint, plan))
    smaller = ", to fit" if plan.precision != prepared.machine.precisions(config.precision, config.network)[0] else ""
    lines = (
        f"steps: {', '.join(scales)}; by {config.optimizer}",
        f"precision: {plan.precision}{smaller}",
        device_line(prepared.machine),
        network_line(config.network),
        f"memory: about {plan.needed / 2**30:.2g} GiB of {plan.free / 2**30:.2g} GiB free{how}",
        *([f"time: about {duration(seconds)} for the steps; compiling and files come on top"] if seconds else []),
        *(f"note: {note}" for note in notes_of(prepared.pictures)),
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of ``nst-stylize``; returns the exit status."""
    return leaving(functools.partial(run, command, PROGRAM, arguments))
