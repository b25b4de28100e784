"""The command line of ``scripts/train_slim.py``."""

from __future__ import annotations

from collections.abc import Sequence

from nst_jax.cli.command import parse, run
from slim_training.options import Options

PROGRAM = "train_slim.py"


def command(arguments: Sequence[str]) -> int:
    """Runs the command line; returns its exit status, or raises NSTError for a mistake of the caller's."""
    options = parse(Options, arguments, PROGRAM)
    from slim_training.run import train  # JAX is loaded only for a command line that holds

    train(options)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    return run(command, PROGRAM, arguments)
