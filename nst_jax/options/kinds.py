"""The kinds of an option's value, and values of other types that plainly mean the same. Plain Python."""

from __future__ import annotations

import contextlib
import numbers
import operator
import os
import types
import typing
from pathlib import Path
from typing import Any

from nst_jax.choices import flag
from nst_jax.errors import NSTError, named

#: What a value of a type is called, and how it is written.
WORDS = {
    bool: ("true or false", "truths", "true"),
    int: ("a whole number", "whole numbers", "3"),
    float: ("a number", "numbers", "0.5"),
    str: ("a string", "strings", '"conv4_2"'),
    Path: ("a string", "strings", '"some/file.h5"'),
}


def converted(option: str, value: Any, kind: Any) -> Any:
    """An option's value as its type ``kind``: one of ``WORDS``, a tuple of one, words, or one of these or None.

    NumPy's and other numbers become Python's, lists and arrays tuples, a single value a tuple of one, strings and
    path-like objects each other. Raises NSTError for what does not plainly mean a value of that type.
    """
    inner = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    if value is None and types.NoneType in inner:
        return None
    one = next(each for each in inner if each is not types.NoneType)
    words = next((typing.get_args(each) for each in inner if typing.get_origin(each) is typing.Literal), ())
    if isinstance(value, str) and value in words:
        return value
    if typing.get_origin(one) is not tuple:
        return _single(option, value, str if typing.get_origin(one) is typing.Literal else one)
    several = value.tolist() if _is_array(value) else value
    entries = several if isinstance(several, list | tuple) else [several]
    return tuple(_single(option, entry, typing.get_args(one)[0]) for entry in entries)


def _single(option: str, value: Any, kind: type) -> Any:
    """A single value of one of ``WORDS``."""
    given = value
    if _is_array(value) and getattr(value, "ndim", None) == 0:
        value = value.item()  # a number of NumPy's, JAX's or torch's
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if kind is bool and isinstance(value, bool):
            return value
        if kind is int and not isinstance(value, bool) and abs(whole := operator.index(value)) < 2**63:
            return whole
        if kind is float and not isinstance(value, bool) and isinstance(value, numbers.Real):
            return float(value)
        if kind in (str, Path) and isinstance(value, str | os.PathLike):
            return kind(os.fsdecode(value))
    word, _, example = WORDS[kind]
    raise NSTError(f"{flag(option)} is {shown(given)}: give {word}, such as {example}")


def _is_array(value: Any) -> bool:
    return hasattr(value, "item") and hasattr(value, "tolist")


def shown(value: Any) -> str:
    """A value of whatever type, in a few characters, for a message."""
    try:
        return named(value)
    except Exception:  # whatever somebody's __str__ raises, and whole numbers of thousands of digits
        return f"a {type(value).__name__}"
