"""What the tests of runs share: the keys of a report, what a call compiles, and the objective of pictures."""

import dataclasses
from pathlib import Path

import jax.monitoring

from nst_jax.pictures.images import Picture
from nst_jax.runs.goals import Goals

#: What every report tells.
KEYS = {
    "config", "loss_weights", "device", "versions", "network", "inputs", "output", "seconds", "steps", "evaluations",
    "losses", "trace",
}  # fmt: skip


def compiled_by(function):
    """How many programs a call compiles."""
    seen = []

    def listen(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            seen.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(seen)


def from_memory(pixels, alpha=None):
    """A picture that was never in a file."""
    return Picture(pixels, alpha, Path("array"), "", (pixels.shape[1], pixels.shape[0]))


def goal_of(net, run):
    """The objective of a prepared run at its full size, seen by ``net``."""
    pictures, config = run.pictures, run.config
    return Goals(
        net, pictures.photograph, pictures.paintings, run.sizes[-1], config, [pictures.masks], run.more
    ).objective(config)


def objective_of(net, photograph, paintings, config, given=None):
    """The objective of pictures [H, W, 3] as they are, with masks; its size is the first one's."""
    pictures = [None if pixels is None else from_memory(pixels) for pixels in (photograph, *paintings)]
    size = next(one for one in pictures if one is not None).pixels.shape[:2]
    config = dataclasses.replace(config.for_network(net.name), size=max(size))
    return Goals(net, pictures[0], pictures[1:], size, config, [given]).objective(config)
