"""The jobs of a batch: contents times styles, or the rows of a manifest; each a picture that is to be made.

A job's name is the hash of all that decides its picture: what is in its files, its options, the network's weights, and
the version of nst_jax.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import glob
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nst_jax.choices import STARTS
from nst_jax.errors import NSTError, meant, named
from nst_jax.options.config import Config, kinds
from nst_jax.options.folders import expand, pictures_of
from nst_jax.options.preset_table import is_preset_file
from nst_jax.options.presets import preset, read_value
from nst_jax.pictures.encoding import WRITABLE, check_bits
from nst_jax.version import __version__

#: What of a manifest is no option.
COLUMNS = ("content", "style", "output")
#: The hexadecimal digits of a job's name: with 2^80 names, no two of a million jobs get the same by chance.
DIGITS = 20
#: The most bytes of a file's name.
LONGEST = 255


class Wish(NamedTuple):
    """A picture that is asked for.

    Attributes:
      content: the photograph's file, or "" for a texture.
      styles: the paintings' files.
      config: the options; the same object for all that have the same.
      output: the name that the picture is to have beside its place in the results, or "".
      suffix: ".png" or another format's.
    """

    content: str
    styles: tuple[str, ...]
    config: Config
    output: str
    suffix: str


class Job(NamedTuple):
    """A wish with its name."""

    name: str
    wish: Wish


def product(contents: Sequence[str], styles: Sequence[str], config: Config, suffix: str) -> list[Wish]:
    """A wish for each of the contents with each of the styles: files, folders and patterns. Raises NSTError."""
    check_bits(suffix, config.depth)
    paintings = list(_files("--style", styles))
    return [
        Wish(content, (style,), config, "", suffix) for content in _files("--content", contents) for style in paintings
    ]


def _files(option: str, given: Sequence[str]) -> Iterator[str]:
    """The files that are meant: one by its name, all of a folder's pictures, all that fit a pattern such as *.jpg."""
    for one in given:
        if os.path.lexists(one):
            yield from map(str, pictures_of(one))
            continue
        found = sorted(path for path in glob.glob(one, recursive=True) if os.path.isfile(path))
        if not found:
            raise NSTError(f"{option} has {one}, which is no file, no folder and no pattern that files fit")
        yield from found


def from_manifest(path: Path, config: Config, suffix: str) -> list[Wish]:
    """A wish for each row of a CSV or JSON Lines file, with the columns ``content``, ``style``, ``output`` and options.

    A column that is not there, or empty, is as ``config`` has it; a ``preset`` replaces all of ``config``. Files are
    named as from the manifest's folder. Raises NSTError, which names the line, for what cannot be used.
    """
    known: dict[str, Config] = {}
    wishes = []
    for number, row in _rows(path):
        try:
            wishes.append(_wish(row, path.parent, config, suffix, known))
        except NSTError as error:
            raise NSTError(f"{path}, line {number}: {error}") from None
    if not wishes:
        raise NSTError(f"{path} has no jobs: give a line for each, with a content and a style")
    outputs = [wish.output for wish in wishes if wish.output]
    if len(set(outputs)) < len(outputs):
        twice = next(name for number, name in enumerate(outputs) if name in outputs[:number])
        raise NSTError(f"{path} has the output {twice} twice: give each job a name of its own")
    return wishes


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a manifest with the numbers of their lines: of JSON as it is, of CSV texts."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NSTError(f"cannot read the manifest {path}: {error.strerror or error}") from None
    except UnicodeError:
        raise NSTError(f"the manifest {path} is no text of UTF-8: save it so") from None
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(text.splitlines(), strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise NSTError(f"{path}, line {reader.line_num}: it has another number of columns than the first")
                yield reader.line_num, dict(row)
        except csv.Error as error:
            raise NSTError(f"{path}, line {reader.line_num}: it is no CSV: {error}") from None
    elif path.suffix.lower() == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):  # JSON has other ends of lines within its strings
            if line.strip():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                if not isinstance(row, dict):
                    raise NSTError(f'{path}, line {number}: it is no JSON object, such as {{"content": "photo.jpg"}}')
                yield number, row
    else:
        raise NSTError(f"--manifest is {path}: give a .csv or a .jsonl file")


def _wish(row: Mapping[str, Any], folder: Path, config: Config, suffix: str, known: dict[str, Config]) -> Wish:
    """A row of a manifest as a wish; ``known`` are the options made so far."""
    given = {key.replace("-", "_"): value for key, value in row.items() if value not in (None, "")}
    content, styles, output = given.pop("content", ""), given.pop("style", []), given.pop("output", "")
    if not isinstance(content, str) or not isinstance(output, str):
        raise NSTError("content and output are names of files: give one of each")
    if isinstance(styles, str):
        styles = [part.strip() for part in styles.split(";") if part.strip()]
    if not isinstance(styles, list) or not all(isinstance(style, str) for style in styles):
        raise NSTError("style is no name of a file: give one, or several with ; between them, or a list")
    if output and (os.path.basename(output) != output or Path(output).suffix.lower() not in WRITABLE):
        raise NSTError(f"output is {named(output)}: give a name without a folder that ends in {', '.join(WRITABLE)}")
    _check_names(content, output, *styles)
    key = json.dumps(given, sort_keys=True, default=str)
    if key not in known:
        known[key] = _options(given, folder, config)
    files, options = expand([folder / style for style in styles], known[key])
    options = known.setdefault(f"{key} {options.style_blend} {options.style_scale}", options)  # one for all alike
    suffix = Path(output).suffix.lower() or suffix
    check_bits(suffix, options.depth)
    return Wish(str(folder / content) if content else "", tuple(map(str, files)), options, output, suffix)


def _check_names(*names: str) -> None:
    """Raises NSTError for a name that no file can have."""
    for name in names:
        try:
            encoded = os.fsencode(name)
        except UnicodeEncodeError:
            raise NSTError(f"{named(name)} is no name of a file: half of a character is missing") from None
        if b"\0" in encoded or len(os.path.basename(encoded)) > LONGEST:
            raise NSTError(
                f"{named(name)} is no name of a file: give one of up to {LONGEST} bytes, without a zero byte"
            )


def check_targets(wishes: Sequence[Wish], folder: Path, inputs: Iterable[str | Path]) -> None:
    """Raises NSTError where the name that a picture is to have in the folder is that of an input."""
    if not any(wish.output for wish in wishes):
        return
    taken: dict[tuple[int, int], str | Path] = {}
    for path in inputs:
        with contextlib.suppress(OSError, ValueError):
            taken.setdefault(_place(path), path)
    for output in dict.fromkeys(wish.output for wish in wishes if wish.output):
        with contextlib.suppress(OSError):
            if over := taken.get(_place(folder / output)):
                raise NSTError(f"output {named(output)} would write over {over}: give another name or another --output")


def _place(path: str | Path) -> tuple[int, int]:
    """What tells a file from every other, whatever it is called."""
    there = os.stat(path)
    return there.st_dev, there.st_ino


def _options(given: Mapping[str, Any], folder: Path, config: Config) -> Config:
    """The options of a row: those of its preset or of ``config``, with what its columns change."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in kinds():
            would = meant(name, [*COLUMNS, *kinds()], "nst-batch --help lists the options")
            raise NSTError(f"{named(name)} is no column of a manifest: {would}")
        values[name] = read_value(name, _typed(value, kinds()[name]), kinds()[name])
    base = config
    if "preset" in values:
        name = values.pop("preset")
        base = preset(folder / name if is_preset_file(name) else name)
    for name, value in values.items():
        if isinstance(value, Path):
            values[name] = folder / value
        elif isinstance(value, tuple) and any(isinstance(each, Path) for each in value):
            values[name] = tuple(folder / each for each in value)
    if values.get("init", "content") not in STARTS:
        values["init"] = str(folder / values["init"])
    return dataclasses.replace(base, **values)


def _typed(value: Any, kind: Any) -> Any:
    """A text of CSV as what it says where the option is no text; several of them have spaces between them."""
    if not isinstance(value, str):
        return value
    told = str(kind)
    if "tuple" in told:
        inner = float if "float" in told else int if "int" in told else str
        return [_number(word, inner) for word in value.split()]
    if kind is bool and value.lower() in ("true", "false"):
        return value.lower() == "true"
    for number in (int, float):
        if number.__name__ in told:
            value = _number(value, number)
    return value


def _number(word: Any, kind: Callable[[str], Any]) -> Any:
    """A word as a number, or as it is."""
    try:
        return kind(word)
    except (TypeError, ValueError):
        return word


def files_of(config: Config) -> list[str]:
    """The files that the options name, but for the weights."""
    start = [] if config.init in STARTS else [config.init]
    several = (*config.content_mask, *config.style_mask)
    return [*start, *(str(path) for path in (config.palette, config.freeze, *several) if path)]


#: The options that say where something is, or where the others come from: not what the picture is.
_PLACES = ("preset", "weights", "palette", "content_mask", "style_mask", "freeze")


def name_all(
    wishes: Iterable[Wish], hash_of: Callable[[str], str], complete: Callable[[Config], tuple[Config, str]]
) -> list[Job]:
    """The jobs, in the order of the wishes, without those that are there twice.

    ``hash_of`` gives the hash of what is in a file, and ``complete`` the options complete and the hash of the weights.
    Of jobs of the same inputs in several files, the second has "-2" behind its name, and so on.
    """
    jobs: list[Job] = []
    told: dict[tuple[int, str], str] = {}
    kept: list[Config] = []  # no other object gets the number of one that is still there
    seen: dict[str, list[tuple[str, tuple[str, ...], str]]] = {}
    for wish in wishes:
        key = id(wish.config), wish.suffix
        if key not in told:
            kept.append(wish.config)
            told[key] = _told_of_options(wish.config, wish.suffix, hash_of, complete)
        parts = [told[key], wish.content and hash_of(wish.content), *map(hash_of, wish.styles)]
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]
        others = seen.setdefault(name, [])
        me = wish.content, wish.styles, wish.output
        if me in others:
            continue
        others.append(me)
        jobs.append(Job(name if len(others) == 1 else f"{name}-{len(others)}", wish))
    return jobs


def _told_of_options(
    config: Config, suffix: str, hash_of: Callable[[str], str], complete: Callable[[Config], tuple[Config, str]]
) -> str:
    """All of the options that decides a picture, as text."""
    whole, weights = complete(config)
    values = {key: value for key, value in whole.to_json().items() if key not in _PLACES}
    if config.init not in STARTS:
        values["init"] = "a file"
    roles = {"palette": [config.palette], "freeze": [config.freeze]}
    roles |= {"content_mask": list(config.content_mask), "style_mask": list(config.style_mask)}
    files = {role: [hash_of(str(path)) for path in paths if path] for role, paths in roles.items()}
    files["init"] = [] if config.init in STARTS else [hash_of(config.init)]
    told = {"version": __version__, "options": values, "files": files, "weights": weights, "format": suffix}
    return json.dumps(told, sort_keys=True)
