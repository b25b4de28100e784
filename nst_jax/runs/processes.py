"""Several processes that make one picture together: how they come together and agree, and what the end of one means.

Each runs the same command, reads the same files, and has some of the devices on which the picture's rows lie. The first
one writes. Between two chunks they agree on what only one of them may know: that a signal came, that a checkpoint is
due. Where one is lost the others end, each with one line.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from nst_jax.errors import NSTError, named

#: Seconds without a sign of life after which a process is lost.
HEARTBEAT = 60
#: Seconds that a process waits in the end for the first one, which writes.
WRITING = 3600
#: What of the environment says how many tasks were started together: by SLURM, and the hosts of a TPU slice.
SLURM_TASKS, TPU_HOSTS = "SLURM_STEP_NUM_TASKS", "TPU_WORKER_HOSTNAMES"


#: How errors of the runtime begin that say so.
GONE = "(UNKNOWN|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL): "


class Lost(NSTError):
    """Another process, or a device, has gone."""

    status = 1


def by_itself() -> bool:
    """Whether the environment says that several processes were started together, and JAX finds out which."""
    tasks = os.environ.get(SLURM_TASKS, "")
    return (tasks.isdigit() and int(tasks) > 1) or "," in os.environ.get(TPU_HOSTS, "")


def start(coordinator: str | None, number: int | None, count: int | None, seconds: int) -> None:
    """Brings the processes together, before JAX looks for devices.

    Args:
      coordinator: "HOST:PORT" of the process 0, or None for what the environment says (a TPU slice, SLURM).
      number, count: which of how many processes this is, likewise.
      seconds: how long to wait for the others.

    Raises NSTError for options that do not fit together, and where no coordinator answers. Where others are missing
    JAX's runtime aborts the process after that time: see ``cli.together``.
    """
    if coordinator is None and (number is not None or count is not None):
        raise NSTError("--process-id and --process-count come with --coordinator HOST:PORT, where process 0 is")
    if coordinator is not None:
        host, port = place_of(coordinator)
        if number is None or count is None:
            raise NSTError("--coordinator comes with --process-id, from 0, and --process-count")
        if not 0 <= number < count:
            raise NSTError(f"--process-id is {number} of {count}: give 0 to {count - 1}")
        if number:
            reach(host, port, seconds)
    jax.config.update("jax_enable_preemption_service", False)  # which would take SIGTERM from the command
    jax.config.update("jax_enable_recoverability", True)  # else the runtime ends a process as soon as another has gone
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            number,
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=WRITING,
        )
    except (RuntimeError, ValueError) as error:
        raise NSTError(f"the processes did not come together: {short(error)}") from None


def place_of(coordinator: str) -> tuple[str, int]:
    """Host and port. Raises NSTError for what names none."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise NSTError(f"--coordinator is {named(coordinator)!r}: give HOST:PORT of process 0, such as 10.0.0.1:5000")
    return host.strip("[]"), int(port)


def reach(host: str, port: int, seconds: float) -> None:
    """Waits until somebody listens at a host's port. Raises NSTError where nobody does within so many seconds."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=max(1.0, end - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() >= end:
                raise NSTError(
                    f"no coordinator answers at {host}:{port} within {seconds} s ({error.strerror or error}): start"
                    " process 0 there, or give its address"
                ) from None
            time.sleep(min(0.5, max(0.0, end - time.monotonic())))


def several() -> bool:
    """Whether this is one of several processes."""
    return bool(jax.distributed.is_initialized())


def first() -> bool:
    """Whether this process is the one that writes."""
    return not several() or jax.process_index() == 0


def any_of(flag: bool) -> bool:
    """Whether any process has the flag; all of them must ask in turn. Raises ``Lost`` where one has gone."""
    return bool(most(int(flag)))


def from_first(data: bytes) -> bytes:
    """What the first process has; all of them must ask in turn. Raises ``Lost`` where one has gone."""
    if not several():
        return data
    length = int(_together(lambda: multihost_utils.broadcast_one_to_all(np.asarray(len(data)))))
    mine = np.frombuffer(data, np.uint8) if first() else np.zeros(length, np.uint8)
    return bytes(np.asarray(_together(lambda: multihost_utils.broadcast_one_to_all(mine)), np.uint8))


def of_first(told: Any) -> Any:
    """Values for JSON of the first process; all of them must ask in turn. Raises ``Lost`` where one has gone."""
    return json.loads(from_first(json.dumps(told).encode()))


def most(number: int) -> int:
    """The largest of all processes' numbers; all of them must ask in turn. Raises ``Lost`` where one has gone."""
    if not several():
        return number
    return int(_together(lambda: multihost_utils.process_allgather(np.asarray(number))).max())


def same(run: Mapping[str, Any], differs: Callable[[Mapping[str, Any], Mapping[str, Any]], str]) -> None:
    """Raises NSTError where this process was asked for another ``run`` than the first, with how it ``differs``."""
    if several() and (words := differs(of_first(run), run)):
        raise NSTError(f"process {jax.process_index()} was asked for another run than process 0: {words}")


def is_lost(error: BaseException) -> bool:
    """Whether an error says that a process or a device has gone."""
    if isinstance(error, Lost | jax.errors.JaxRuntimeError):
        return True
    return type(error) is ValueError and re.match(GONE, str(error)) is not None  # as jit gives what a collective meets


def short(error: BaseException) -> str:
    """The first line of an error."""
    return named(next(iter(str(error).splitlines()), "") or type(error).__name__)


def _together(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        if not is_lost(error):
            raise
        raise Lost(f"another process has ended: {short(error)}") from None
