"""Files that are complete or not there, and what is looked up of a path without a bare error."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import sys
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
    clear_leftovers(target.parent)
    temporary = target.with_name(f".nst-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    _writing.add(temporary)
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _writing.discard(temporary)


def remove_unfinished() -> None:
    """Removes the temporary files of this process: for one that ends at once."""
    for temporary in list(_writing):
        with contextlib.suppress(OSError):
            temporary.unlink()


def clear_leftovers(folder: Path) -> None:
    """Removes, once a process, the temporary files that killed processes of this machine left in a folder."""
    if folder in _cleared:
        return
    _cleared.add(folder)
    ours = re.compile(rf"\.nst-{_machine()}-(\d+)-[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            found = ours.fullmatch(entry.name)
            if found and not _alive(int(found[1])):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _machine() -> str:
    """A few letters that stand for this machine, by its name: on another one a number means another process."""
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _alive(process: int) -> bool:
    """Whether there is such a process; where that cannot be asked, there is."""
    if sys.platform == "win32":  # there a signal of 0 ends it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
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
