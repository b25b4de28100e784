"""What all commands share: options from a dataclass, one line for a mistake, Ctrl-C, exit statuses."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import tyro
from tyro.conf import FlagCreatePairsOff

from nst_jax.errors import NSTError
from nst_jax.options.config import Config
from nst_jax.options.presets import preset
from nst_jax.runs.allocator import keep_freed_memory

Options = TypeVar("Options")

INTERRUPTED = 130


def parse(kind: type[Options], arguments: Sequence[str], program: str, default: Options | None = None) -> Options:
    """The options of ``kind`` (a dataclass) from a command line. ``--help`` prints and exits with 0.

    A ``bool`` is a switch, given or not: there is no ``--no-`` form of it.

    Raises NSTError, in one line, for an unknown, missing or misspelt option.
    """
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            given: dict[str, Any] = {} if default is None else {"default": default}
            options: Options = tyro.cli(kind, prog=program, args=list(arguments), config=(FlagCreatePairsOff,), **given)
            return options
    except SystemExit as end:
        if not end.code:
            raise
        raise NSTError(_one_line(told.getvalue(), program)) from None


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


@contextlib.contextmanager
def interruptible(told: str) -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether there was a Ctrl-C, the first of which prints ``told`` and does no more.

    A second one does not wait for the step to end: it raises KeyboardInterrupt.
    """
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        print(told, file=sys.stderr)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def run(main: Callable[[Sequence[str]], int], program: str, arguments: Sequence[str] | None = None) -> int:
    """Runs a command and turns what ends it into an exit status: 2 with one line for a mistake, 130 for Ctrl-C."""
    keep_freed_memory()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd files, whose pictures are what counts
    try:
        return main(sys.argv[1:] if arguments is None else arguments)
    except NSTError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
