"""What all commands share: options from a dataclass, one line for a mistake, exit statuses."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro
from tyro.conf import FlagCreatePairsOff

from nst_jax.choices import flag
from nst_jax.cli.streams import lasting
from nst_jax.errors import NSTError, meant
from nst_jax.options.config import Config
from nst_jax.options.presets import preset
from nst_jax.runs.allocator import keep_freed_memory
from nst_jax.runs.emitters import compile_sooner

Options = TypeVar("Options")

INTERRUPTED = 130
#: How alike, from 0 to 1, an option must be to be what a misspelt one was meant for.
NEAR = 0.8


def parse(kind: type[Options], arguments: Sequence[str], program: str, default: Options | None = None) -> Options:
    """The options of ``kind`` (a dataclass) from a command line. ``--help`` prints and exits with 0.

    A ``bool`` is a switch, given or not: there is no ``--no-`` form of it.

    Raises NSTError, in one line, for an option that is unknown, missing, misspelt or there twice.
    """
    given_flags = [flag(word.partition("=")[0].lstrip("-")) for word in arguments if re.match("--[a-zA-Z]", word)]
    twice = next((name for number, name in enumerate(given_flags) if name in given_flags[:number]), None)
    if twice:
        raise NSTError(f"{twice} is given twice: give it once, with all that it is to have")
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            given: dict[str, Any] = {} if default is None else {"default": default}
            options: Options = tyro.cli(kind, prog=program, args=list(arguments), config=(FlagCreatePairsOff,), **given)
            return options
    except SystemExit as end:
        if not end.code:
            raise
        text = _one_line(told.getvalue(), program)
        known = [flag(field.name) for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        unknown = [name for name in given_flags if name not in known]
        would = meant(unknown[0], known, "", NEAR) if unknown else ""
        if unknown and (would or unknown[0] not in text):  # what is missing may be what it was meant for
            raise NSTError(
                f"there is no option {unknown[0]}: {would or f'{program} --help lists the options'}"
            ) from None
        raise NSTError(text) from None


def named_preset(arguments: Sequence[str]) -> Config:
    """The options of the preset that a command line names, which are its defaults."""
    name = Config.preset
    for index, argument in enumerate(arguments):
        if argument == "--preset" and index + 1 < len(arguments):
            name = arguments[index + 1]
        elif argument.startswith("--preset="):
            name = argument.partition("=")[2]
    return preset(name)


def _one_line(box: str, program: str) -> str:
    """tyro's message, without its frame, drawn with lines or in ASCII, and the help that follows it."""
    lines = [re.sub(r"[│╭╮╰╯]", " ", line).strip() for line in box.splitlines()]
    kept: list[str] = []
    for line in lines[1:]:
        if line and not line.strip("─-"):  # a rule: ASCII has one below the title too
            if any(kept):
                break
        else:
            kept.append(line)
    text = re.sub(r"\s+", " ", " ".join(kept)).strip() or "the options cannot be read"
    text = re.sub(r"^Error parsing [A-Z]\w*: ", "", text)  # a check of the dataclass's own
    return f"{text.rstrip('.')}; {program} --help lists the options"


def run(main: Callable[[Sequence[str]], int], program: str, arguments: Sequence[str] | None = None) -> int:
    """Runs a command and turns what ends it into an exit status: 2 with one line for a mistake, 130 for Ctrl-C.

    Some errors have a status of their own, see ``NSTError``.

    What the system refuses, and memory that has ended, get one line, too.
    """
    keep_freed_memory()
    compile_sooner()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd files, whose pictures are what counts
    with lasting(program):
        try:
            return main(sys.argv[1:] if arguments is None else arguments)
        except NSTError as error:
            print(f"{program}: error: {error}", file=sys.stderr)
            return error.status
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            print(f"{program}: error: {where}{error.strerror or error}", file=sys.stderr)
            return 2
        except MemoryError:
            print(f"{program}: error: the memory has ended: give a smaller --size", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"{program}: interrupted", file=sys.stderr)
            return INTERRUPTED
