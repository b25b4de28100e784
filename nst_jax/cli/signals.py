"""What Ctrl-C, SIGTERM and SIGHUP do. It loads nothing slow, so that it is settled before anything else.

From its first line on a command answers Ctrl-C, SIGTERM and SIGHUP with one line and 128 + the signal's number. It ends
at once, and not by an exception: that would come up wherever the program happens to be, in the middle of an import or
within one of XLA's callbacks, which loses it. Once a run has steps, ``interruptible`` takes over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

#: What asks a process to end, where the system has it.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
#: What the runtime beneath Python gives itself where it gives up.
ABORT = signal.SIGABRT
#: Where standard error is: ``together.hush`` moves it.
console = 2


def ends_at_once(program: str) -> None:
    """From now on a signal of ``SIGNALS`` ends this process with one line. One that it is to ignore, as nohup asks of
    SIGHUP, stays ignored."""

    def end(number: int, _: object) -> None:
        files = sys.modules.get("nst_jax.files")
        if files is not None and hasattr(files, "remove_unfinished"):
            files.remove_unfinished()
        cursor = "\x1b[?25h" if os.isatty(console) else ""  # a progress bar hides it
        told = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        with contextlib.suppress(OSError):  # nobody may listen any more
            os.write(console, f"{cursor}{program}: {told}\n".encode())
        os._exit(128 + number)

    for number in SIGNALS:
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Within the block Ctrl-C does nothing, and it does nothing to the processes that are started there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def interruptible(told: str) -> Iterator[Callable[[], int]]:
    """Gives a function that says which signal asked the run to end: Ctrl-C's, SIGTERM or SIGHUP; 0 while none has.

    The first of them prints ``told`` and does no more. A second one does not wait for the step to end: it does what it
    did before the block. One that is ignored stays so, but for Ctrl-C.
    """
    asked = 0

    def ask(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            signal.signal(number, before[number])
            signal.raise_signal(number)
            return
        asked = number
        with contextlib.suppress(RuntimeError):  # it came while a line was being written
            print(told, file=sys.stderr, flush=True)

    if threading.current_thread() is not threading.main_thread():  # only that one is told of signals
        yield lambda: asked
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if number == signal.SIGINT or handler is not signal.SIG_IGN:
            signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
