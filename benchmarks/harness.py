"""What all benchmarks share: taking turns, the table, the JSON, and what is noted of the machine and its settings."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import jax

from nst_jax.pictures.threads import usable_cores
from nst_jax.runs.report import versions

Row = dict[str, Any]
#: A contender's name.
Name = TypeVar("Name")
#: Does its work so many times, waits for the end of it, and gives the loss.
Call = Callable[[int], float]

#: Variables of the environment that change what is measured.
SETTINGS = ("XLA_", "JAX_", "OMP_", "MKL_", "KMP_", "TORCH", "CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE")


class Skipped(Exception):
    """Raised where a contender cannot take part; says why."""


def interleaved(contenders: Mapping[Name, Callable[[], Call]], rounds: int, calls: int = 1) -> dict[Name, Row]:
    """Times contenders in turns, A B A B …, so that a machine whose speed drifts treats all alike.

    Args:
      contenders: each makes itself ready and gives what is timed.
      rounds: turns that count, after a first one that compiles and does not.
      calls: how often the work is done in a turn, waiting only at the end; more than 1 where a step is very short.

    Returns for each contender ``seconds`` (median of one call), ``first`` (seconds of getting ready and of the first
    call), ``loss`` and ``times``; or, where that failed, ``skipped``, the reason.
    """
    told: dict[Name, Row] = {}
    ready: dict[Name, Call] = {}
    for name, make in contenders.items():
        started = time.perf_counter()
        try:
            ready[name] = make()
            loss = ready[name](1)
        except Exception as error:  # one variant that a machine cannot do does not end the comparison
            ready.pop(name, None)
            lines = str(error).strip().splitlines() or [""]
            reason = lines[0] if isinstance(error, Skipped) else f"{type(error).__name__}: {lines[0]}"
            told[name] = {"skipped": reason[:300]}
        else:
            told[name] = {"first": time.perf_counter() - started, "loss": loss}
    times: dict[Name, list[float]] = {name: [] for name in ready}
    for _ in range(rounds):
        for name, call in ready.items():
            started = time.perf_counter()
            call(calls)
            times[name].append((time.perf_counter() - started) / calls)
    for name, each in times.items():
        told[name] |= {"seconds": statistics.median(each), "times": each}
    return told


def share_device() -> None:
    """Lets JAX take memory as it needs it, so that PyTorch in this process has some; to be called before JAX runs."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def check_same(ours: float, torchs: float) -> None:
    """Raises SystemExit unless two objectives give the same loss at the start, up to rounding."""
    if abs(torchs / ours - 1) > 1e-3:
        raise SystemExit(f"the two objectives differ at the start, {ours:.6g} and {torchs:.6g}: nothing is compared")


def mean_of(rows: Iterable[Row], key: str) -> float | None:
    """The mean of a column, without the rows that have no number there; None where none has."""
    values = [value for row in rows if isinstance(value := row.get(key), int | float)]
    return statistics.fmean(values) if values else None


def median_of(rows: Iterable[Row], key: str) -> float | None:
    """The median of a column, without the rows that have no number there; None where none has."""
    values = [value for row in rows if isinstance(value := row.get(key), int | float)]
    return statistics.median(values) if values else None


def last_steps(trace: list[Row], steps: int | None) -> list[Row]:
    """The rows of a run's last ``steps``: under ``--refine``, the small network's at the same size come before."""
    return trace[len(trace) - (steps or 0) :]


def means_of(rows: Sequence[Row], key: str, names: Sequence[str], measures: Sequence[str]) -> list[Row]:
    """A row for each of ``names``: the means of ``measures`` over the rows that have it at ``key``."""
    return [
        {key: name, **{each: mean_of([row for row in rows if row[key] == name], each) for each in measures}}
        for name in names
    ]


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as aligned text: numbers to four digits, a dash for what is missing; a skipped row tells its reason."""
    cells = [list(columns)] + [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    reasons = ["", *(f"  skipped: {row['skipped']}" if "skipped" in row else "" for row in rows)]
    return "\n".join(line + reason for line, reason in zip(lines, reasons, strict=True))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(path: str | None, command: str, options: argparse.Namespace, told: Mapping[str, object]) -> None:
    """Writes what a command measured as JSON, with its options and the machine, where a path is given."""
    if path:
        whole = {"command": command, "options": vars(options), "machine": machine(), **told}
        Path(path).write_text(json.dumps(whole, indent=1, default=str) + "\n")


def machine() -> dict[str, object]:
    """The processor, its cores, the devices, the versions, and the settings that decide how fast all of it is."""
    device = jax.devices()[0]
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores allowed": usable_cores(),
        "load": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "versions": versions(),
        "commit": _commit(),
        "settings": {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)},
        "torch": _torch(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return named[0] if named else platform.processor() or platform.machine()


def _commit() -> str | None:
    """The project's commit, "-dirty" where files differ from it; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _torch() -> dict[str, object] | None:
    """PyTorch's version, threads, device and whether it rounds to TF32; None where it is not installed."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None
    import torch

    return {
        "version": version,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
    }
