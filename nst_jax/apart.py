"""A function in a process of its own, with limits: for files that nobody has to trust, read by libraries in C.

Whatever such a library does with a damaged file (it hangs, crashes, asks for all memory) ends that process and is one
line here. The process loads no JAX, writes no file, and hands back names and arrays, which are checked again.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from nst_jax.errors import NSTError

try:
    import resource
except ImportError:  # there is none on Windows; then the time alone is limited
    resource = None  # type: ignore[assignment]

#: What a function gives: values that JSON knows, and float32 arrays by name.
Told = tuple[Mapping[str, Any], Mapping[str, np.ndarray]]

#: Memory in bytes and time in seconds: so much, and so much more for each byte of the file.
_MEMORY, _MEMORY_EACH = 1 << 30, 4
_SECONDS, _SECONDS_EACH = 5, 1 / 20e6
#: The time of the clock is so many times that of the processor, which others may use, too.
_PATIENCE = 10
_LONGEST_HEAD = 1 << 20
_START = (
    "import sys; sys.path[:] = sys.argv[2:]; from nst_jax.apart import serve; serve(*map(int, sys.argv[1].split(',')))"
)
#: One thread is enough, and HDF5 loads no filters from folders.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}


def call(function: Callable[..., Told], *arguments: Any, path: Path, size: int) -> Told:
    """``function(*arguments)`` in a process of its own.

    Args:
      function: one of a module's, and ``arguments`` that can be pickled.
      path: the file that it reads, for messages.
      size: of that file, in bytes, after which the limits go.

    Raises NSTError with the function's own message if it raises one, and in one line for everything else that ends it.
    """
    memory, seconds = _MEMORY + _MEMORY_EACH * size, int(_SECONDS + _SECONDS_EACH * size)
    here = [*sys.path, str(Path(__file__).parents[1])]  # as installed, by whatever hook
    command = [sys.executable, "-P", "-c", _START, f"{memory},{seconds}", *here]
    environment = {**os.environ, **_ENVIRONMENT}
    late = threading.Event()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(_PATIENCE * seconds, end)
        timer.start()
        try:
            assert process.stdin and process.stdout
            with contextlib.suppress(BrokenPipeError), process.stdin as sent:
                pickle.dump((function, arguments), sent)
            told = _received(process.stdout, memory)
        except Exception:  # such a process may say anything, or nothing
            told = None
        finally:
            timer.cancel()
            process.kill()  # it has ended, or has nothing more to say
            status = process.wait()
    if told is not None and "mistake" in told[0]:
        raise NSTError(told[0]["mistake"])
    if told is not None and "fault" not in told[0]:
        return told
    if late.is_set() or status == -_TIME_IS_UP:
        what = f"takes more than {seconds} seconds"
    elif told is None:
        what = "ends the process that does it"
    else:
        what = f"fails by {told[0]['fault']}, in up to {memory / 2**30:.1f} GiB of memory"
    raise NSTError(f"{path} is damaged: reading it {what}; fetch or convert it again")


#: The signal for a process that has had its time (SIGXCPU, everywhere where there is ``resource``).
_TIME_IS_UP = 24


def _received(stream: IO[bytes], most: int) -> Told:
    """What the process sent. Raises ValueError and others for what no such process sends."""
    head = json.loads(stream.readline(_LONGEST_HEAD))
    arrays: dict[str, np.ndarray] = {}
    for name, shape in head["arrays"]:
        if not 0 <= 4 * int(np.prod(shape, dtype=np.float64)) <= most:
            raise ValueError("too large")
        data = bytearray(4 * int(np.prod(shape)))
        view = memoryview(data)
        while len(view):
            if not (count := stream.readinto(view)):  # type: ignore[attr-defined]
                raise EOFError
            view = view[count:]
        arrays[name] = np.frombuffer(data, np.float32).reshape(shape)
    return head["told"], arrays


def serve(memory: int, seconds: int) -> None:
    """The process's side: limits itself, takes a function from its standard input, and writes what it gives."""
    limit(memory, seconds)
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    function, arguments = pickle.load(sys.stdin.buffer)
    try:
        told, arrays = function(*arguments)
    except NSTError as error:
        told, arrays = {"mistake": str(error)}, {}
    except Exception as error:  # what nobody has foreseen, and MemoryError
        told, arrays = {"fault": type(error).__name__}, {}
    shapes = [(name, list(array.shape)) for name, array in arrays.items()]
    answer.write(json.dumps({"told": dict(told), "arrays": shapes}).encode() + b"\n")
    for array in arrays.values():
        answer.write(np.ascontiguousarray(array, np.float32).data.cast("B"))
    answer.close()


def limit(memory: int, seconds: int) -> None:
    """Limits this process, where the system can: its memory, its time, and that it writes no file and no core."""
    if resource is None:
        return
    wanted = {"AS": memory, "CPU": seconds, "FSIZE": 0, "CORE": 0}
    for name, most in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of addresses
            resource.setrlimit(kind, (most, hard))
