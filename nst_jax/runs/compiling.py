"""How long a run takes, and how much of that it spends compiling, as JAX itself reports it."""

from __future__ import annotations

import contextvars
import time

import jax.monitoring

#: Seconds of compiling, a list of one number: a thread's own, and that of the threads that it starts in its context.
_compiled: contextvars.ContextVar[list[float]] = contextvars.ContextVar("_compiled")


def _seconds() -> list[float]:
    if (found := _compiled.get(None)) is None:
        _compiled.set(found := [0.0])
    return found


def _listen(event: str, duration_secs: float, **_: object) -> None:
    if event.startswith("/jax/core/compile/"):  # tracing, lowering and the backend's compilation
        _seconds()[0] += duration_secs


jax.monitoring.register_event_duration_secs_listener(_listen)


def compile_seconds() -> float:
    """Seconds that this thread has spent tracing, lowering and compiling; take differences.

    Those of threads in its ``contextvars`` context count too, once this has been asked.
    """
    return _seconds()[0]


class Clock:
    """A run's seconds: made at its start, ``loaded`` when its pictures are there."""

    def __init__(self) -> None:
        self.started, self.compiled = time.perf_counter(), compile_seconds()
        self.ready = self.started

    def loaded(self) -> None:
        """From now on it is not loading any more."""
        self.ready = time.perf_counter()

    def seconds(self) -> dict[str, float]:
        """Seconds of loading, compiling, running and in all, until now."""
        ended, compiling = time.perf_counter(), compile_seconds() - self.compiled
        return {
            "load": self.ready - self.started,
            "compile": compiling,
            "run": max(0.0, ended - self.ready - compiling),
            "total": ended - self.started,
        }
