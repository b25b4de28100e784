"""Standard output and error that a run outlives: without a reader, on a full disk, without a character."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Lasting:
    """A text stream of which no error comes: what the console lacks is escaped, and after a failure nothing is written.

    Attributes:
      failed: the error of the system with which it ended, or None.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.failed: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Writes ``text``, as far as that is possible."""
        if self.failed is None:
            try:
                self.stream.write(text)
            except UnicodeError:
                encoding = self.stream.encoding or "ascii"
                self.write(text.encode(encoding, "backslashreplace").decode(encoding))
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Writes what is waiting, as far as that is possible."""
        if self.failed is None:
            try:
                self.stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """What is still waiting, and what others write to the same place, goes nowhere: Python flushes at its end."""
        self.failed = error
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def lasting(program: str) -> Iterator[None]:
    """Within the block standard output and error are ``Lasting``.

    At its end one line on standard error says if standard output could not be written; that its reader has gone, as
    ``head`` does, is no failure.
    """
    before = sys.stdout, sys.stderr
    out, err = (stream if stream is None or isinstance(stream, Lasting) else Lasting(stream) for stream in before)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        for stream in (out, err):
            if stream is not None:
                stream.flush()
        failed = getattr(out, "failed", None)
        if failed is not None and not isinstance(failed, BrokenPipeError):
            print(f"{program}: note: cannot write to standard output: {failed.strerror}", file=err, flush=True)
        sys.stdout, sys.stderr = before
