"""Neural style transfer after Gatys, Ecker and Bethge (2015), in JAX and Flax.

    import nst_jax
    result = nst_jax.stylize("photograph.jpg", "painting.jpg", nst_jax.Config(size=384))
    nst_jax.save("result.png", result)

The parts are pure functions: ``features``, ``gram``, ``content_loss``, ``style_loss``, ``total_variation``; and
``objective`` puts terms together: ``Content``, ``Style``, ``Smoothness``, ``Range``, or one of your own. Names are
loaded when they are first used, so that importing ``nst_jax`` is quick.
"""

from __future__ import annotations

from nst_jax.version import __version__ as __version__

#: As type checkers know it. ``typing`` takes two thirds of a command's time before it answers Ctrl-C.
TYPE_CHECKING = False

__all__ = [
    "Config",
    "Content",
    "NSTError",
    "Objective",
    "Progress",
    "Range",
    "Result",
    "Smoothness",
    "Stop",
    "Style",
    "content_loss",
    "features",
    "find_weights",
    "gram",
    "load_image",
    "load_weights",
    "minimise",
    "network",
    "objective",
    "preset",
    "report",
    "save",
    "save_image",
    "save_preset",
    "style_loss",
    "style_targets",
    "stylize",
    "total_variation",
]

if TYPE_CHECKING:  # what a type checker reads; the same table follows for Python
    from nst_jax.errors import NSTError as NSTError
    from nst_jax.losses.formulas import content_loss as content_loss
    from nst_jax.losses.formulas import gram as gram
    from nst_jax.losses.formulas import style_loss as style_loss
    from nst_jax.losses.objective import Objective as Objective
    from nst_jax.losses.objective import objective as objective
    from nst_jax.losses.pixels import Range as Range
    from nst_jax.losses.pixels import Smoothness as Smoothness
    from nst_jax.losses.pixels import total_variation as total_variation
    from nst_jax.losses.statistics import style_targets as style_targets
    from nst_jax.losses.style import Style as Style
    from nst_jax.losses.terms import Content as Content
    from nst_jax.networks.vgg import features as features
    from nst_jax.networks.vgg import network as network
    from nst_jax.networks.weights_file import find_weights as find_weights
    from nst_jax.networks.weights_file import load_weights as load_weights
    from nst_jax.optim.minimise import Stop as Stop
    from nst_jax.optim.minimise import minimise as minimise
    from nst_jax.options.config import Config as Config
    from nst_jax.options.presets import preset as preset
    from nst_jax.options.presets import save_preset as save_preset
    from nst_jax.pictures.images import load_image as load_image
    from nst_jax.pictures.images import save_image as save_image
    from nst_jax.runs.progress import Progress as Progress
    from nst_jax.runs.report import report as report
    from nst_jax.runs.report import save as save
    from nst_jax.runs.result import Result as Result
    from nst_jax.runs.stylize import stylize as stylize
else:
    import importlib

    _HOMES = {
        "Config": "options.config",
        "Content": "losses.terms",
        "NSTError": "errors",
        "Objective": "losses.objective",
        "Progress": "runs.progress",
        "Range": "losses.pixels",
        "Result": "runs.result",
        "Smoothness": "losses.pixels",
        "Stop": "optim.minimise",
        "Style": "losses.style",
        "content_loss": "losses.formulas",
        "features": "networks.vgg",
        "find_weights": "networks.weights_file",
        "gram": "losses.formulas",
        "load_image": "pictures.images",
        "load_weights": "networks.weights_file",
        "minimise": "optim.minimise",
        "network": "networks.vgg",
        "objective": "losses.objective",
        "preset": "options.presets",
        "report": "runs.report",
        "save": "runs.report",
        "save_image": "pictures.images",
        "save_preset": "options.presets",
        "style_loss": "losses.formulas",
        "style_targets": "losses.statistics",
        "stylize": "runs.stylize",
        "total_variation": "losses.pixels",
    }

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module 'nst_jax' has no attribute {name!r}")
        return getattr(importlib.import_module(f"nst_jax.{_HOMES[name]}"), name)

    def __dir__():
        return sorted({*globals(), *__all__})
