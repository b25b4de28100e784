"""Presets of one's own: TOML files of ``Config``'s options, read and written. Plain Python.

preset = "gatys2016"  # the base that the rest changes; "default" where it is left out
style_weight = 3
style-layers = ["conv1_1", "conv3_1:0.5"]
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import itertools
import os
import textwrap
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import tomli_w

from nst_jax.choices import check_choice, check_kind
from nst_jax.errors import LONGEST_NAME, NSTError, meant, printable
from nst_jax.files import replacing
from nst_jax.options.config import Config, kinds
from nst_jax.options.kinds import WORDS, converted, shown
from nst_jax.options.preset_table import PRESET_CHANGES, is_preset_file
from nst_jax.ordinary import ordinary_bytes

#: A preset has fifty options, of a line each.
MOST_BYTES = 64 << 10


def preset(name: str | os.PathLike[str]) -> Config:
    """The options of a preset, by its name or its TOML file. Raises NSTError for one that there is not."""
    name = str(converted("preset", name, str))
    if is_preset_file(name):
        return load_preset(name)
    return Config(preset=name)


def load_preset(path: str) -> Config:
    """The options of a preset's file. Raises NSTError, in one line that names the file, for what cannot be used."""
    try:
        found = tomllib.loads(ordinary_bytes(path, MOST_BYTES).decode("utf-8-sig"))  # Notepad writes such a mark
    except OSError as error:
        raise NSTError(f"cannot read the preset {path}: {error.strerror or error}") from None
    except NSTError as error:
        raise NSTError(f"cannot read the preset: {error}") from None
    except (ValueError, RecursionError) as error:  # no TOML, or no text at all
        raise NSTError(f"the preset {path} is no TOML: {printable(' '.join(str(error).split()), 200)}") from None
    values: dict[str, Any] = {}
    try:
        for key, value in found.items():
            name = key.replace("-", "_")
            if name not in kinds():
                would = meant(name, kinds(), "nst-stylize --help lists them, less those of files")
                raise NSTError(f"{shown(key)} is no option of a preset: {would}")
            if name in values:
                raise NSTError(f"{name} is there twice, with - and with _: give it once")
            values[name] = read_value(key, value, kinds()[name])
        base = values.pop("preset", "default")
        check_choice("preset", base, tuple(PRESET_CHANGES))
        return dataclasses.replace(preset(base), preset=path, **values)
    except NSTError as error:
        raise NSTError(f"the preset {path}: {error}") from None


def read_value(key: str, value: Any, kind: Any) -> Any:
    """A value of TOML or JSON as one of an option's type. Raises NSTError, which says what would be right."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):  # X | None, or X | a word; no file has None
        kind, other = typing.get_args(kind)
        if value in typing.get_args(other):
            return value
    if typing.get_origin(kind) is typing.Literal:  # Config checks which of its words it is
        kind = str
    several = typing.get_origin(kind) is tuple
    one = typing.get_args(kind)[0] if several else kind
    accepted = {float: (float, int), Path: (str,)}.get(one, (one,))
    entries = value if several and isinstance(value, list) else [value]
    if several == isinstance(value, list) and all(type(entry) in accepted for entry in entries):
        with contextlib.suppress(OverflowError):  # a whole number that no float is as large as
            return tuple(map(one, entries)) if several else one(value)
    word, words, example = WORDS[one]
    right = f"a list of {words}, such as [{example}]" if several else f"{word}, such as {example}"
    raise NSTError(f"{key} is {str(value)[:LONGEST_NAME]!r}: give {right}")


def save_preset(path: str | os.PathLike[str], config: Config) -> None:
    """Writes a preset's file, so that ``preset(path)`` gives the options of ``config`` again.

    It has the options in which ``config`` differs from a preset, the one that it differs from least. TOML knows no
    None, so none that has what is None in ``config``. Raises NSTError where the file cannot be written.
    """
    check_kind("path", path, str | os.PathLike, "a file's name")
    check_kind("config", config, Config, "a Config")
    base, changes = nearest(config)
    told, meaning = {"preset": base, **changes}, descriptions()
    parts = [f"{_comment(meaning[name])}\n{tomli_w.dumps({name: value})}" for name, value in told.items()]
    try:
        with replacing(path) as temporary:
            temporary.write_text("\n".join(parts), encoding="utf-8")
    except OSError as error:
        raise NSTError(f"cannot write the preset to {path}: {error.strerror or error}") from error


def nearest(config: Config) -> tuple[str, dict[str, Any]]:
    """The preset from which a config differs least, and the options in which it does, as values that TOML knows.

    None, which TOML does not know, is in none of them. Raises NSTError where each has it.
    """
    differences = {base: _changes(config, base) for base in PRESET_CHANGES}
    possible = [base for base, changes in differences.items() if None not in changes.values()]
    if not possible:
        raise NSTError("a file of options has no word for none, which --steps may be: give --steps a number")
    base = min(possible, key=lambda base: len(differences[base]))
    return base, differences[base]


def _changes(config: Config, base: str) -> dict[str, Any]:
    """The options in which a config differs from a preset, as values that TOML knows, or None."""
    there = vars(preset(base))
    found = {name: value for name, value in vars(config).items() if name != "preset" and value != there[name]}
    return {name: _for_toml(value) for name, value in found.items()}


def _for_toml(value: Any) -> Any:
    """A value of an option as TOML knows it: paths as text, with a question mark for what of a name is no UTF-8."""
    if isinstance(value, tuple):
        return [_for_toml(entry) for entry in value]
    if isinstance(value, str | os.PathLike):
        return os.fspath(value).encode("utf-8", "replace").decode("utf-8")
    return value


def descriptions() -> dict[str, str]:
    """What each option means, as ``--help`` has it: the docstrings of ``Config``'s fields."""
    (tree,) = ast.parse(inspect.getsource(Config)).body
    assert isinstance(tree, ast.ClassDef)
    return {
        ast.unparse(field.target): " ".join(ast.literal_eval(text.value).split())
        for field, text in itertools.pairwise(tree.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def _comment(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent="# ", subsequent_indent="# ")
