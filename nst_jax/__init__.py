"""Neural style transfer after Gatys, Ecker and Bethge (2015), in JAX and Flax.

    import nst_jax
    result = nst_jax.stylize("photograph.jpg", "painting.jpg", nst_jax.Config(size=384))
    nst_jax.save("result.png", result)

The parts are pure functions: ``features``, ``gram``, ``content_loss``, ``style_loss``, ``total_variation``, and
``Objective`` puts them together. Names are loaded when they are first used, so that importing ``nst_jax`` is quick.
"""

from __future__ import annotations

import importlib
from typing import Any

from nst_jax.version import __version__ as __version__

_HOMES = {
    "Config": "options.config",
    "preset": "options.presets",
    "NSTError": "errors",
    "load_image": "pictures.images",
    "save_image": "pictures.images",
    "load_weights": "networks.weights_file",
    "find_weights": "networks.weights_file",
    "network": "networks.vgg",
    "features": "networks.vgg",
    "gram": "losses.formulas",
    "content_loss": "losses.formulas",
    "style_loss": "losses.formulas",
    "total_variation": "losses.pixels",
    "Objective": "losses.objective",
    "minimise": "optim.minimise",
    "stylize": "runs.stylize",
    "Result": "runs.result",
    "Progress": "runs.progress",
    "Stop": "optim.minimise",
    "save": "runs.report",
    "report": "runs.report",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nst_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nst_jax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
