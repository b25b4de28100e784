"""How long a thread has spent compiling, as JAX itself reports it."""

from __future__ import annotations

import threading

import jax.monitoring

_clock = threading.local()


def count(seconds: float) -> None:
    """Adds to what this thread has spent."""
    _clock.seconds = compile_seconds() + seconds


def _listen(event: str, duration_secs: float, **_: object) -> None:
    if event.startswith("/jax/core/compile/"):  # tracing, lowering and the backend's compilation
        count(duration_secs)


jax.monitoring.register_event_duration_secs_listener(_listen)


def compile_seconds() -> float:
    """Seconds that this thread has spent tracing, lowering and compiling, or waiting for it; take differences."""
    return getattr(_clock, "seconds", 0.0)
