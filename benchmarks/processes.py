"""Fresh processes: the command as a user starts it, a benchmark's own part in a process of its own, and peak memory."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

PROJECT = Path(__file__).resolve().parents[1]
STYLIZE = ("scripts/stylize.py",)


@dataclasses.dataclass(frozen=True)
class Finished:
    """A process that has come to its end.

    Attributes:
      started: the wall clock when it was started.
      seconds: until it ended.
      told: what it wrote to standard output.
    """

    started: float
    seconds: float
    told: str

    def since_start(self, path: Path) -> float:
        """Seconds from the process's start until the file at ``path`` was written."""
        return path.stat().st_mtime - self.started


def finish(arguments: Sequence[str], variables: Mapping[str, str] | None = None, status: int = 0) -> Finished:
    """Runs ``python arguments`` in the project's folder to its end, with further environment variables.

    Raises SystemExit with the process's last lines where it ends with another exit status than ``status``.
    """
    started, clock = time.time(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT, env=with_variables(variables), capture_output=True, text=True
    )
    seconds = time.perf_counter() - clock
    if done.returncode != status:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Finished(started, seconds, done.stdout)


def with_variables(variables: Mapping[str, str] | None) -> dict[str, str]:
    """This process's environment and ``variables``."""
    return {**os.environ, **(variables or {})}


def cache_at(folder: Path) -> dict[str, str]:
    """The environment variable that puts JAX's persistent compilation cache into ``folder``."""
    return {"JAX_COMPILATION_CACHE_DIR": str(folder)}


def in_child(command: str, arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """``python -m benchmarks command arguments`` in a process of its own, whose last line of output is JSON."""
    return json.loads(finish(["-m", "benchmarks", command, *arguments], variables).told.splitlines()[-1])


def peak_bytes() -> int:
    """The most memory that this process has had so far, in bytes.

    From /proc where there is one: what ``getrusage`` tells starts at the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def device_peak_bytes() -> int | None:
    """The most memory that was in use on the first device, where it tells; None on a CPU."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
