"""Ordinary files alone, of a limited size: no pipe that never ends, no device, no folder."""

from __future__ import annotations

import os
import stat

from nst_jax.errors import NSTError


def ordinary_size(path: str | os.PathLike[str], most: int) -> int:
    """The size in bytes of an ordinary file, which can be read.

    Raises NSTError for a pipe, a device and the like, and for more than ``most`` bytes; OSError as ``open`` does.
    """
    try:
        found = os.stat(path)
    except ValueError:  # a character of code 0
        raise NSTError(f"{os.fspath(path)} cannot be the name of a file") from None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise NSTError(f"{os.fspath(path)} is no ordinary file but a pipe, a device or the like: give a file")
    with open(path, "rb"):  # a folder, or one without permission
        pass
    if found.st_size > most:
        raise NSTError(f"{os.fspath(path)} has {found.st_size:,} bytes: give a file of up to {most:,}")
    return found.st_size


def ordinary_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """The bytes of an ordinary file. Raises what ``ordinary_size`` does."""
    size = ordinary_size(path, most)
    with open(path, "rb") as file:
        return file.read(size)  # and no more, whatever it has become since
