"""What a run leaves behind: the picture with its metadata, and the report."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata as packages
from pathlib import Path

from nst_jax.choices import METADATA, Metadata, check_choice, check_kind
from nst_jax.errors import NSTError
from nst_jax.files import replacing
from nst_jax.pictures import images
from nst_jax.pictures.encoding import MAX_EXIF_TEXT
from nst_jax.runs.result import Result
from nst_jax.version import __version__

#: Bytes that the metadata may take in a format that has no chunks of text, such as JPEG.
ROOM = MAX_EXIF_TEXT
#: The packages whose versions decide what a picture looks like.
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "pillow")
#: Lists in the metadata that are longer are told by their number and their hash where the format has no room for them.
LONGEST_LIST = 16


def report(result: Result, output: str | os.PathLike[str] | None = None) -> dict[str, object]:
    """All there is to know of a run but its pixels, as values that JSON knows; see docs/report.md for the keys."""
    check_kind("result", result, Result, "what stylize gives")
    return {
        "config": result.config.to_json(),
        "left": list(result.left),
        "way": result.way,
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
    return {"nst_jax": __version__, **{name: packages.version(name) for name in PACKAGES}}


def save(path: str | os.PathLike[str], result: Result, metadata: Metadata = "full") -> str:
    """Writes the picture, in the format of the path's extension, with its options and origins as metadata.

    ``metadata`` is "full"; "short", which names no file; or "none". What the format has no room for is shortened: then
    a note says so, and else "" is returned.

    Raises NSTError where the path cannot be written; what was there before is then untouched.
    """
    check_choice("metadata", metadata, METADATA)
    check_kind("result", result, Result, "what stylize gives")
    check_kind("path", path, str | os.PathLike, "a file's name")
    texts = [] if metadata == "none" else metadata_of(result, metadata)
    png = Path(path).suffix.lower() == ".png"
    fits = (number for number, text in enumerate(texts) if png or len(json.dumps({"nst_jax": text})) < ROOM)
    number = next(fits, None)
    kept = {} if number is None else {"nst_jax": texts[number]}
    images.save_image(path, result.image, result.alpha, kept, depth=result.config.depth)
    if not texts or number == 0:
        return ""
    return f"{path}: its format has no room for all of the metadata, which is shortened"


def metadata_of(result: Result, metadata: Metadata) -> list[str]:
    """What a picture says of its making, as JSON: as it is wanted, and then shorter and shorter."""
    told = report(result)
    keys = (
        *("config", "left", "way", "loss_weights", "versions", "device", "network", "inputs"),
        *("steps", "ended", "losses"),
    )
    full = {key: told[key] for key in keys}
    named = result.config.files
    config = {key: value for key, value in result.config.to_json().items() if key not in named}
    network = {key: result.weights[key] for key in ("name", "sha256", "precision") if key in result.weights}
    inputs = [{key: value for key, value in entry.items() if key != "path"} for entry in result.inputs]
    short = full | {"config": config, "network": network, "inputs": inputs}
    ways = [full, _counted(full), short, _counted(short)] if metadata == "full" else [short, _counted(short)]
    return [json.dumps(way) for way in ways]


def _counted(value: object) -> object:
    """A value for JSON in which long lists are their number and the SHA-256 of what is in them."""
    if isinstance(value, dict):
        return {key: _counted(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple) and len(value) > LONGEST_LIST:
        return {"count": len(value), "sha256": hashlib.sha256(json.dumps(value).encode()).hexdigest()}
    return value


def saved_somewhere(path: str | os.PathLike[str], write: Callable[[Path], object]) -> tuple[Path, str]:
    """Has a result written to ``path``; where that fails beside it, and where that fails to the temporary folder.

    ``write`` takes a path and raises NSTError where it cannot be written. Returns where it is, and why it is not at
    ``path``, or "". Raises the first NSTError where there is no place at all.
    """
    path = Path(path)
    try:
        write(path)
        return path, ""
    except NSTError as error:
        first = error
    for place in _elsewhere(path):
        try:
            write(place)
        except NSTError:
            continue
        return place, str(first)
    raise first


def _elsewhere(path: Path) -> Iterator[Path]:
    """Names for a file that cannot be written to ``path``: one that is free beside it, one in the temporary folder."""
    beside = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(1))
    with contextlib.suppress(OSError):
        yield next(one for one in beside if not os.path.lexists(one))
    with contextlib.suppress(OSError):
        yield Path(tempfile.mkdtemp(prefix="nst-")) / path.name


def save_report(path: str | os.PathLike[str], told: object) -> None:
    """Writes a report as JSON, by a temporary name. Raises NSTError where the path cannot be written."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise NSTError(f"cannot write the report to {path}: {error.strerror or error}") from error
