"""Files that are complete or not there, and what is looked up of a path without a bare error."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from nst_jax.errors import NSTError

#: The folders in which this process has cleared what dead ones left, and the temporary files that it is writing.
_cleared: set[Path] = set()
_writing: set[Path] = set()


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path``, which takes its place when the block ends well and is removed when it fails.

    What stood at ``path`` before is untouched until then. A symbolic link is followed. What processes that are dead by
    now left in the folder is removed. Errors are the caller's OSError; what is no ordinary file, such as a device, is
    one.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
    with _temporary_beside(target) as temporary:
        yield temporary
        os.replace(temporary, target)


@contextlib.contextmanager
def placing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder beside ``path``, which takes that name when the block ends well, and is removed when it fails.

    The first to come keeps the name: where there is a folder with something in it already, the new one is removed. It
    needs a file system on which a folder cannot be renamed to the name of such a folder, as POSIX demands. Errors are
    the caller's OSError.
    """
    target = Path(path)
    with _temporary_beside(target) as temporary:
        temporary.mkdir()
        try:
            yield temporary
        finally:
            _cleared.discard(temporary)
        try:
            os.rename(temporary, target)
        except OSError:
            if not target.is_dir():
                raise


def place_first(path: str | os.PathLike[str], text: str) -> bool:
    """Writes a file unless there is one at ``path`` already; whether it did. It is never there without its text.

    Where the file system has no links the file is made in its place, and is empty for a moment. Errors are the
    caller's OSError.
    """
    target = Path(path)
    with _temporary_beside(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:
            with contextlib.suppress(FileExistsError), open(target, "x", encoding="utf-8") as file:
                file.write(text)
                return True
            return False
        return True


def remove_unfinished() -> None:
    """Removes the temporary files and folders of this process: for one that ends at once."""
    for temporary in list(_writing):
        _remove(temporary)


def clear_leftovers(folder: Path) -> None:
    """Removes, once a process, the temporary files and folders that killed processes of this machine left there."""
    if folder not in _cleared:
        _cleared.add(folder)
        clear_temporary(folder)


def clear_temporary(folder: Path, oldest: float = math.inf) -> None:
    """Removes the temporary files and folders of dead processes of this machine, and of others those that nobody has
    touched for ``oldest`` seconds."""
    named = re.compile(r"\.nst-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = named.fullmatch(entry.name)
            if found and (
                not alive(int(found[2]))
                if found[1] == machine()
                else oldest < math.inf and time.time() - entry.stat().st_mtime > oldest
            ):
                _remove(Path(entry.path))


def _remove(temporary: Path) -> None:
    """Removes a temporary file or folder, as far as that is possible."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    """A path for a temporary file or folder, which is removed in the end if it is still there.

    Its name tells whose it is, so that another process knows whether anybody still writes to it.
    """
    clear_leftovers(target.parent)
    temporary = target.with_name(f".nst-{machine()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    _writing.add(temporary)
    try:
        yield temporary
    finally:
        _remove(temporary)
        _writing.discard(temporary)


def machine() -> str:
    """A few letters that stand for this machine, by its name: on another one a number means another process."""
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def alive(process: int) -> bool:
    """Whether there is such a process that can still do something; where that cannot be asked, there is."""
    if sys.platform == "win32":  # there a signal of 0 ends it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    with contextlib.suppress(OSError):  # one that was killed stays in Linux's table until its parent asks for it
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return state[:1] != ["Z"]
    return True


def is_there(path: str | os.PathLike[str], advice: str = "") -> bool:
    """Whether there is something at ``path``. NSTError where that cannot be known: no permission, a name too long.

    ``advice`` is what its line ends with.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise NSTError(f"cannot read {_short(path)}: {why}{advice and '; '}{advice}") from None
    return True


def _short(path: str | os.PathLike[str]) -> str:
    """A path as it is told, of which no more than the ends where it is very long."""
    text = os.fspath(path)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-40:]}"
