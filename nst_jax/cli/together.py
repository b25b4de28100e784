"""The command as one of several processes: what the runtime beneath says is not shown, and its abort gets one line.

JAX's runtime aborts a process that has lost another one, from a thread of its own and with a stack trace. Here what it
writes goes nowhere, and the abort is caught: the main thread, which mostly sees the loss first, has some time to write
what there is; where it waits for a device in vain, the picture of the last scale is written instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nst_jax.cli import signals
from nst_jax.cli.streams import Lasting

if TYPE_CHECKING:
    from nst_jax.runs.plan import Prepared

#: Seconds that the main thread has to notice that a process has gone, and to write the picture.
GRACE = 60
#: Seconds more that it has where it writes the result.
WRITING = 600


class Aborts:
    """What is done where the runtime aborts this process.

    Attributes:
      program: its name.
      early: what is told while the processes come together; "" once they have.
      last: writes what there is, where the main thread does not; None where that has the picture.
    """

    def __init__(self, program: str, early: str) -> None:
        self.program, self.early = program, early
        self.last: Callable[[], object] | None = lambda: None
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._aborted)  # kept: C holds no reference
        handlers: Any = ctypes.CDLL(None).signal
        handlers.argtypes, handlers.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        handlers(signals.ABORT, ctypes.cast(self._handler, ctypes.c_void_p))

    def _aborted(self, _: int) -> None:
        """Does not come back: then the process would end."""
        if self.early:
            self._end(f"error: {self.early}", 2)
        time.sleep(GRACE)
        if self.last is None:
            time.sleep(WRITING)
        try:
            if self.last is not None:
                self.last()
        finally:
            self._end("error: another process has ended", 1)

    def _end(self, line: str, status: int) -> None:
        with contextlib.suppress(OSError):  # nobody may listen any more
            os.write(signals.console, f"{self.program}: {line}\n".encode())
        os._exit(status)


def hush() -> None:
    """From now on what libraries write to standard output and error goes nowhere; what Python prints still comes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            continue
        stream.flush()
        own = os.dup(number)
        encoding, errors = stream.encoding or "utf-8", stream.errors or "strict"
        setattr(sys, name, Lasting(os.fdopen(own, "w", 1, encoding=encoding, errors=errors)))
        os.dup2(nowhere, number)
        if number == 2:
            signals.console = os.dup(own)  # which lasts, whatever becomes of the stream
    os.close(nowhere)


def join(program: str, coordinator: str | None, number: int | None, count: int | None, seconds: int) -> Aborts:
    """Makes this process one of several: see ``runs.processes.start``, which takes the same and raises the same."""
    from nst_jax.runs import processes

    where = "" if coordinator is None else f" at {coordinator}"
    hush()
    aborts = Aborts(program, f"the processes did not come together{where} within {seconds} s: start all of them")
    processes.start(coordinator, number, count, seconds)
    aborts.early = ""
    return aborts


def agreed(prepared: Prepared, looks: int, asked: Mapping[str, Any]) -> Prepared:
    """A run as all processes make it, by the memory plan of the first.

    ``asked`` is what else decides what they do together, by the names of options. Raises NSTError where this process
    was asked for another run than the first.
    """
    from nst_jax.runs import processes
    from nst_jax.runs.identity import difference, identity

    def other(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
        return next((f"{name} is {there[name]}, not {here[name]}" for name in here if there[name] != here[name]), "")

    processes.same(asked, other)
    processes.same(identity(prepared, looks), difference)
    return prepared.in_way(processes.of_first(prepared.plan.way()))


def leaving(command: Callable[[], int]) -> int:
    """The exit status of a command. One of several processes ends here, past JAX's own way, in which it may hang.

    Where all is well they wait for each other, so that the first one has written; where one failed it waits for none.
    """
    try:
        status = command()
    except BaseException as error:
        if not _several() or isinstance(error, SystemExit):
            raise
        with contextlib.suppress(OSError):
            os.write(signals.console, traceback.format_exc().encode(errors="backslashreplace"))
        os._exit(1)
    if not _several():
        return status
    from nst_jax.runs import processes

    if status in (0, *(128 + number for number in signals.SIGNALS)):
        with contextlib.suppress(processes.Lost):
            processes.any_of(False)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(status)


def _several() -> bool:
    processes = sys.modules.get("nst_jax.runs.processes")
    return processes is not None and bool(processes.several())
