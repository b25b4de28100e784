"""What a run leaves behind: the picture with its metadata, and the report."""

from __future__ import annotations

import json
import math
import os
from importlib import metadata

from nst_jax.errors import NSTError
from nst_jax.files import replacing
from nst_jax.pictures import images
from nst_jax.runs.result import Result
from nst_jax.version import __version__

#: The packages whose versions decide what a picture looks like.
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "pillow")


def report(result: Result, output: str | os.PathLike[str] | None = None) -> dict[str, object]:
    """All there is to know of a run but its pixels, as values that JSON knows; see docs/report.md for the keys."""
    return {
        "config": result.config.to_json(),
        "device": result.device,
        "versions": versions(),
        "loss_weights": result.config.loss_weights,
        "network": result.weights,
        "inputs": result.inputs,
        "output": None if output is None else str(output),
        "size": [result.image.shape[1], result.image.shape[0]],
        "seconds": result.seconds,
        "steps": result.steps,
        "evaluations": result.evaluations,
        "ended": result.ended,
        "losses": _for_json(result.losses),
        "trace": [_for_json(row) for row in result.trace],
    }


def _for_json(terms: dict[str, float]) -> dict[str, float | None]:
    """Losses with null for what is not finite, which JSON does not know."""
    return {name: value if math.isfinite(value) else None for name, value in terms.items()}


def versions() -> dict[str, str]:
    """The version of nst_jax and of each package that decides what a picture looks like."""
    return {"nst_jax": __version__, **{name: metadata.version(name) for name in PACKAGES}}


def save(path: str | os.PathLike[str], result: Result) -> None:
    """Writes the picture, in the format of the path's extension, with its options and origins as metadata.

    Raises NSTError where the path cannot be written; what was there before is then untouched.
    """
    told = report(result, path)
    kept = {key: told[key] for key in ("config", "loss_weights", "versions", "network", "inputs", "steps", "losses")}
    images.save_image(path, result.image, result.alpha, {"nst_jax": json.dumps(kept)})


def save_report(path: str | os.PathLike[str], told: object) -> None:
    """Writes a report as JSON, by a temporary name. Raises NSTError where the path cannot be written."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(told, indent=1) + "\n")
    except OSError as error:
        raise NSTError(f"cannot write the report to {path}: {error.strerror or error}") from error
