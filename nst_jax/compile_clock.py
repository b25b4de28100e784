"""How long this process has spent compiling, as JAX itself reports it."""

from __future__ import annotations

import jax.monitoring

_seconds = 0.0


def _add(event: str, duration_secs: float, **_: object) -> None:
    global _seconds
    if event.startswith("/jax/core/compile/"):  # tracing, lowering and the backend's compilation
        _seconds += duration_secs


jax.monitoring.register_event_duration_secs_listener(_add)


def compile_seconds() -> float:
    """Seconds of tracing, lowering and compiling since the process started; take differences."""
    return _seconds
