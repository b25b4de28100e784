"""``nst-replay``: a result in, the same picture out, made again by what its own metadata says."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from nst_jax.choices import METADATA, Metadata, check_choice, flag
from nst_jax.cli.cache import keep_programs
from nst_jax.cli.command import parse, run
from nst_jax.cli.display import device_line, display, network_line, watching
from nst_jax.cli.outputs import check_disk, check_outputs, room_of
from nst_jax.cli.signals import interruptible
from nst_jax.errors import NSTError, named
from nst_jax.options.config import Config, kinds
from nst_jax.options.presets import nearest, save_preset

if TYPE_CHECKING:
    from nst_jax.cli.pace import Schedule
    from nst_jax.runs.progress import Progress
    from nst_jax.runs.recipe import Recipe
    from nst_jax.runs.result import Result

PROGRAM = "nst-replay"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replay:
    """Make a picture again from what its own metadata says, and say whether it is the same bit for bit."""

    picture: Positional[Path]
    """a result of nst-stylize, nst-sweep, nst-batch or nst-reproduce"""
    output: Path | None = None
    """also write the picture made again: PNG, JPEG, WebP or TIFF by its extension"""
    search: tuple[Path, ...] = ()
    """folders in which inputs are looked for by their hashes, where they are not where they were"""
    set: tuple[str, ...] = ()
    """make another picture of it: options that are to be others, each OPTION=VALUE; needs --output, --print or --to"""
    print: bool = False
    """only print the command line of nst-stylize that makes it"""
    to: Path | None = None
    """only write its options to this TOML file, for --preset"""
    metadata: Metadata = "full"
    """what --output says of its making: full; short, which names no file; or none"""
    no_cache: bool = False
    """do not keep compiled programs for the next run"""

    def __post_init__(self) -> None:
        check_choice("metadata", self.metadata, METADATA)
        if self.set and not (self.output or self.print or self.to):
            raise NSTError("--set makes another picture: give --output for it, or --print, or --to")
        if self.to and self.to.suffix != ".toml":
            raise NSTError(f"--to is {self.to}: give a name that ends in .toml")


def command(arguments: Sequence[str]) -> int:
    """Runs the command line; returns its exit status, or raises NSTError for a mistake of the caller's."""
    options = parse(Replay, arguments, PROGRAM)
    keep_programs(not options.no_cache, PROGRAM)
    from nst_jax.pictures.encoding import check_output  # JAX is loaded only for a command line that holds
    from nst_jax.runs.recipe import read_recipe

    recipe = read_recipe(options.picture, options.search)
    config = changed(recipe.config, options.set)
    if options.output:
        check_output(options.output, (config.size, config.size), config.depth)
    outputs = {"--output": options.output, "--to": options.to}
    check_outputs(outputs, {"picture": [options.picture], "inputs": recipe.inputs})
    if options.output:
        check_disk([room_of(options.output, (config.size, config.size), True, config.depth)])
    if options.to:
        save_preset(options.to, config)
    if options.print:
        print(command_line(recipe, config, options.output))
    if (options.print or options.to) and not options.output:
        return 0
    return fork(options, recipe, config) if options.set else replay(options, recipe)


def changed(config: Config, entries: Sequence[str]) -> Config:
    """The options with those of entries OPTION=VALUE, whose values are as on the command line of nst-stylize.

    Raises NSTError for what is none, and for a value that cannot be used.
    """
    words: list[str] = []
    for entry in entries:
        name, equals, text = entry.partition("=")
        name, text = name.strip().lstrip("-").replace("-", "_"), text.strip()
        if not equals:
            raise NSTError(f"--set has {named(entry)!r}: write OPTION=VALUE, such as strength=0.7")
        if name == "preset":
            raise NSTError("--set has preset, which is no option by itself: set the options that it changes")
        if kinds().get(name) is bool:
            check_choice(f"value of {name}", text, ("true", "false"))
            off: dict[str, Any] = {name: False}  # a switch is given or not
            config = dataclasses.replace(config, **off)
            words += [flag(name)] if text == "true" else []
        else:
            try:
                words += [flag(name), *("None" if word == "none" else word for word in shlex.split(text))]
            except ValueError:
                raise NSTError(f"--set has {named(entry)!r}, in which a quotation mark is missing") from None
    return parse(Config, words, PROGRAM, default=config)


def replay(options: Replay, recipe: Recipe) -> int:
    """Makes the picture again and compares it; returns 0 where it is the same, 1 where it differs."""
    from nst_jax.runs import replay as runs
    from nst_jax.sweeps import again

    if again.program_of(recipe) == "batch":
        from nst_jax.batch.work import paint_lane_again

        run, (count, position) = runs.prepare_again(recipe), again.place_of(recipe)
        lines = device_line(run.machine), network_line(run.config.network)
        result, signal = made(run.schedule, lines, lambda watch: paint_lane_again(run, count, position, watch))
    elif "lanes" in recipe.way:
        sweep = again.prepare_lane_again(recipe)
        lines = device_line(sweep.machine), network_line(sweep.union.network)
        result, signal = made(sweep.schedule, lines, lambda watch: again.paint_lane_again(sweep, recipe, watch))
    else:
        run = runs.prepare_again(recipe)
        lines = device_line(run.machine), network_line(run.config.network)
        result, signal = made(run.schedule, lines, lambda watch: runs.paint_again(run, recipe, watch))
    status = write(options, result)
    if signal:
        return 128 + signal
    told, found = runs.changes(recipe.told, result), runs.compare(options.picture, result)
    why = "; ".join(told) or "versions, device and cores are those of then"
    if found is None:
        height, width = result.image.shape[:2]
        print(f"{options.picture}: made again it has {width} x {height} pixels: the file has been changed since")
        return 1
    if found.differing:
        much = f"{found.differing:,} of {found.pixels:,} pixels, by up to {found.most} of {found.white}"
        print(f"{options.picture}: made again it differs in {much}: {why}")
        return 1
    print(f"{options.picture}: made again, the same bit for bit" + (f", although {why}" if told else ""))
    return status


def fork(options: Replay, recipe: Recipe, config: Config) -> int:
    """Makes another picture of the same inputs, with options of its own, as a run alone; returns the exit status."""
    from nst_jax.runs.plan import prepare
    from nst_jax.runs.stylize import paint

    same = config.network == recipe.config.network and config.weights == recipe.config.weights
    run = prepare(recipe.content, recipe.styles, config, weights=recipe.weights if same else None)
    lines = device_line(run.machine), network_line(run.config.network)
    result, signal = made(run.schedule, lines, lambda watch: paint(run, watch))
    status = write(options, result)
    return 128 + signal if signal else status


def made(
    schedule: Schedule, lines: Sequence[str], paint: Callable[[Callable[[Progress], None]], Result]
) -> tuple[Result, int]:
    """What ``paint`` makes, with its progress shown, and the signal that asked it to stop, or 0."""
    with interruptible("stopping after this step") as interrupted:
        with display(schedule) as show:
            result = paint(watching(show, interrupted, *lines))
        return result, interrupted()


def write(options: Replay, result: Result) -> int:
    """Writes the result where that is asked for; returns 0, or 1 where it had to go elsewhere or is not finite."""
    from nst_jax.runs import report

    status = 1 if result.ended in ("not finite", "out of memory") else 0
    notes = list(result.notes)
    if options.output:
        place, wrong = report.saved_somewhere(
            options.output, lambda path: notes.append(report.save(path, result, options.metadata))
        )
        if wrong:
            print(f"{PROGRAM}: error: {wrong}; it is {place} instead", file=sys.stderr)
            status = 1
        print(f"{place}: {result.steps} steps in {result.seconds['total']:.1f} s")
    for note in filter(None, notes):
        print(f"{PROGRAM}: note: {note}", file=sys.stderr)
    return status


def command_line(recipe: Recipe, config: Config, output: Path | None) -> str:
    """The command line of nst-stylize that makes a picture. Raises NSTError where there is none."""
    if recipe.content is None:
        raise NSTError("nst-stylize takes a photograph, and this picture was made without one: no command makes it")
    base, changes = nearest(config)
    output = output or recipe.picture.with_name(f"{recipe.picture.stem}-again{recipe.picture.suffix}")
    words = ["nst-stylize", "--content", recipe.content, "--style", *recipe.styles, "--output", output]
    words += ["--preset", base]
    for name, value in changes.items():
        entries = value if isinstance(value, list) else [value]
        words += [flag(name), *([] if isinstance(value, bool) else entries)]
    if "lanes" in recipe.way:
        print(f"{PROGRAM}: note: it was made among others at once; alone its last bits differ", file=sys.stderr)
    return shlex.join(map(str, words))


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of ``nst-replay``; returns the exit status."""
    return run(command, PROGRAM, arguments)
