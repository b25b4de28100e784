"""What a picture says of its making, taken as a recipe: its options, and where its inputs are now.

Metadata comes from anywhere. It is held to the types and ranges of the options, and an input counts by its hash alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax.choices import PRECISIONS, STARTS
from nst_jax.errors import NSTError, named
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import find_weights, load_weights
from nst_jax.options.config import LARGEST_SIZE, Config, kinds
from nst_jax.options.preset_table import PRESET_CHANGES, is_preset_file
from nst_jax.ordinary import ordinary_size
from nst_jax.pictures import images

#: The metadata that a recipe needs, with their types.
NEEDED: dict[str, type] = {"config": dict, "network": dict, "inputs": list, "versions": dict, "steps": int}
#: Of the roles that inputs have, the option that names such a file.
OPTIONS = {
    "init": "init",
    "palette": "palette",
    "content mask": "content_mask",
    "style mask": "style_mask",
    "freeze": "freeze",
}
#: No input is larger.
MOST_BYTES = 2 << 40


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a picture was made, with its inputs where they are now.

    Attributes:
      told: the metadata.
      config: the options as they were given: what was left to the network still is.
      content: the photograph's file, or None.
      styles: the paintings' files.
      weights: the network's.
      picture: the file that tells it.
    """

    told: Mapping[str, Any]
    config: Config
    content: Path | None
    styles: list[Path]
    weights: Weights
    picture: Path

    @property
    def way(self) -> Mapping[str, Any]:
        """What else decided the last bits, see ``Prepared.way``; nothing in what older versions wrote."""
        found: Mapping[str, Any] = self.told.get("way", {})
        return found

    @property
    def inputs(self) -> list[Path]:
        """All files that go in, but for the weights."""
        named = [getattr(self.config, option) for option in ("palette", "freeze")]
        masks = [*self.config.content_mask, *self.config.style_mask]
        start = [] if self.config.init in STARTS else [Path(self.config.init)]
        return [path for path in (self.content, *self.styles, *named, *masks, *start) if path is not None]


def read_recipe(picture: Path, search: Sequence[Path] = ()) -> Recipe:
    """The recipe of a picture's file, whose inputs are found by their paths, or by their hashes in folders.

    Raises NSTError for a picture without metadata, for what no run of this version can be made of, and for an input
    that is not there any more or has changed.
    """
    told = metadata_of(picture)
    where = Finder(picture, search)
    found: dict[str, list[Path]] = {}
    for entry in told["inputs"]:
        path = where.find(entry.get("path"), entry["sha256"], f"the {entry['role']} picture")
        found.setdefault(entry["role"], []).append(path)
    values = dict(told["config"])
    if unknown := [name for name in values if name not in kinds()]:
        version = named(told["versions"].get("nst_jax"))
        raise NSTError(f"{picture} was made by nst_jax {version} with {named(unknown[0])}, which this version lacks")
    for role, option in OPTIONS.items():
        if role in found:
            values[option] = found[role] if option.endswith("mask") else str(found[role][0])
    name = str(values.get("preset", ""))
    if name not in PRESET_CHANGES and not (is_preset_file(name) and set(kinds()) <= values.keys()):
        values.pop("preset", None)  # a file that may be gone: what it said is told
    weights, file = where.weights(told["network"], values.pop("weights", None))
    values |= {"weights": file, "network": weights.network}
    try:
        config = Config(**values)
        left: dict[str, Any] = {name: None for name in told.get("left", []) if name in kinds()}
        config = dataclasses.replace(config, **left)
    except (NSTError, TypeError) as error:
        raise NSTError(f"{picture} tells options that cannot be used: {error}") from None
    content = found.get("content", [None])[0]
    return Recipe(told, config, content, found.get("style", []), weights, picture)


def metadata_of(picture: Path) -> dict[str, Any]:
    """What a picture's file says of its making. Raises NSTError where it says nothing, or not enough."""
    text = images.read_metadata(picture).get("nst_jax")
    if text is None:
        raise NSTError(
            f"{picture} does not say how it was made: give a result of nst_jax that was not made with --metadata none"
            " and not saved anew by another program"
        )
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or any(not isinstance(told.get(key), kind) for key, kind in NEEDED.items()):
        raise NSTError(f"{picture} says how it was made in words that cannot be read: its metadata was changed")
    shortened = [key for key, value in (*told.items(), *told["config"].items()) if _is_counted(value)]
    if shortened:
        raise NSTError(
            f"{picture} had no room for all of its metadata, and tells {shortened[0]} by a hash alone: a PNG has room"
        )
    entries = all(
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), str) for key in ("role", "sha256"))
        and isinstance(entry.get("path", ""), str)
        for entry in told["inputs"]
    )
    way, left = told.get("way", {}), told.get("left", [])
    known = isinstance(way, dict) and way.get("precision", "float32") in PRECISIONS
    known = known and all(_is_count(way.get(name, 0)) for name in ("tile", "pairs", "whole", "shards"))
    if not (entries and known and isinstance(way.get("remat", False), bool) and isinstance(left, list)):
        raise NSTError(f"{picture} says how it was made in words that cannot be read: its metadata was changed")
    return told


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SIZE


def _is_counted(value: object) -> bool:
    """Whether a value stands for a long list, see ``report.save``."""
    return isinstance(value, dict) and value.keys() == {"count", "sha256"}


class Finder:
    """Finds files by path, as it is and beside the picture, and by hash in folders and the folders in them."""

    def __init__(self, picture: Path, search: Sequence[Path]) -> None:
        """Raises NSTError for a folder that is none."""
        self.picture, self.search = picture, search
        for folder in search:
            if not folder.is_dir():
                raise NSTError(f"--search is {folder}, which is no folder: give one with the inputs in it")
        self._files: list[Path] | None = None
        self._hashes: dict[Path, str] = {}

    def find(self, path: str | None, sha256: str, what: str) -> Path:
        """Where a file with this hash is. Raises NSTError where there is none, which says if it has changed."""
        places = [] if path is None else [Path(path), self.picture.parent / path, self.picture.parent / Path(path).name]
        for place in places:
            if self.sha256(place) == sha256:
                return place
        files = self.files()
        alike = [] if path is None else [one for one in files if one.name == Path(path).name]
        for place in (*alike, *files):
            if self.sha256(place) == sha256:
                return place
        changed = next((place for place in places if self.sha256(place)), None)
        name = "" if path is None else f" {named(path)}"
        where = "in --search neither" if self.search else "give --search DIR with the one that it was made with"
        if changed:
            raise NSTError(f"{what} {changed} has changed since {self.picture} was made, by its hash: {where}")
        raise NSTError(f"{what}{name} of {self.picture} is not there (SHA-256 {named(sha256)}): {where}")

    def weights(self, network: Mapping[str, Any], path: object) -> tuple[Weights, Path | None]:
        """The network's weights that a picture tells, and their file if it is not the usual one. Raises NSTError."""
        name, sha256 = str(network.get("name")), str(network.get("sha256"))
        try:
            usual = find_weights(name)
            if usual.sha256 == sha256:
                return usual, None
        except NSTError:
            pass
        file = self.find(path if isinstance(path, str) else None, sha256, f"the weights of {named(name)}")
        return load_weights(file, name), file

    def files(self) -> Iterable[Path]:
        """All files in the folders, listed once."""
        if self._files is None:
            walks = (os.walk(folder) for folder in self.search)
            self._files = [Path(place, name) for walk in walks for place, _, names in walk for name in sorted(names)]
        return self._files

    def sha256(self, path: Path) -> str:
        """Of an ordinary file, read once; "" for what is none or cannot be read."""
        if path not in self._hashes:
            self._hashes[path] = ""
            try:
                if path.is_file() and ordinary_size(path, MOST_BYTES):
                    with open(path, "rb") as file:
                        self._hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
            except (OSError, ValueError):  # NSTError is one
                pass
        return self._hashes[path]
