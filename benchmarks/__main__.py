"""All benchmarks behind one command.

    python -m benchmarks COMMAND [options] [--output told.json]

Each prints a table; ``--output`` gets its rows as JSON, with every single time, the machine, the versions, the settings
and the options. ``python -m benchmarks COMMAND --help`` says what a command measures, and how.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness
from nst_jax.cli.outputs import check_outputs
from nst_jax.errors import NSTError
from nst_jax.runs.allocator import keep_freed_memory
from nst_jax.runs.emitters import compile_sooner

#: Each is a module beside this one, with its docstring as help, ``add_options(parser)`` and ``measure(options)``.
COMMANDS = {
    "step": "one value and gradient: our precisions and PyTorch's variants, in turns",
    "optimisers": "a step of Adam and of L-BFGS beside the value and gradient alone",
    "run": "from the command's start to the picture and to the loss of PyTorch's L-BFGS, cold and warm",
    "start": "import, --help, first compile, first preview",
    "memory": "peak memory of a run by size",
    "tiles": "a value and gradient by tiles beside that of the whole picture",
    "seams": "whether the tiles of a picture show: jumps at their borders and elsewhere",
    "specks": "pixels that stand out from those around: how many, and whether a grid holds them",
    "files": "writing and reading a large picture: peak memory and seconds",
    "compiled": "what the compiler says of a step and of a chunk for devices that need not be there",
    "growth": "time and memory per pixel against pixels",
    "choices": "what the paper leaves open, one choice a row",
    "ways": "whole runs by several ways, refined or in bfloat16: the loss at the end, and when it is reached",
    "slim": "the small network against random filters and VGG-19, judged under VGG-19",
    "quality": "the presets side by side, judged without a network and under VGG-19 over several scales",
    "blind": "sheets of quality's results without their names, and what people chose from them",
    "judge": "pictures judged without a network, beside controls: strokes, structure, colours, grain",
    "sizes": "the same settings at several sizes, side by side",
    "batch": "nst-batch against a shell loop over nst-stylize: pictures an hour",
    "sweep": "a sweep as one batch against its runs one after the other",
    "against_torch": "our L-BFGS against PyTorch's on the 2015 objective, evaluation by evaluation",
}


#: Options that name a file which a command writes.
WRITTEN = ("output", "sheet", "crop")


def main(arguments: Sequence[str]) -> None:
    """Runs the command that the first argument names with the others."""
    first = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="commands:\n" + "\n".join(f"  {name:15}{about}" for name, about in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    first.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    name = first.parse_args(arguments[:1]).command
    module = importlib.import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_options(parser)
    parser.add_argument("--output", help="file for all that was measured, as JSON")
    options = parser.parse_args(arguments[1:])
    try:
        others = [value for option, value in vars(options).items() if option not in WRITTEN]
        outputs = {f"--{option}": Path(path) for option in WRITTEN if (path := getattr(options, option, None))}
        check_outputs(outputs, {"": [Path(word) for word in _words(others) if os.path.isfile(word)]})
        _measured(name, module, options)
    except NSTError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _words(value: Any) -> list[str]:
    """All strings and paths in what the command line gave."""
    if isinstance(value, list | tuple):
        return [word for each in value for word in _words(each)]
    return [os.fspath(value)] if isinstance(value, str | os.PathLike) else []


def _measured(name: str, module: Any, options: argparse.Namespace) -> None:
    keep_freed_memory()  # as our commands do; PyTorch gains by it, too
    compile_sooner()
    harness.write(options.output, name, options, module.measure(options))


if __name__ == "__main__":
    main(sys.argv[1:])
