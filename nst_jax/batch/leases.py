"""Leases: who makes which unit. Files in the batch's folder, so that whoever sees the folder can take part.

A lease is a file that only one can make. Its holder touches it again and again; one that nobody has touched for
``LONGEST`` seconds, or whose holder is a process of this machine that has ended, is nobody's. A lease spares double
work and no more: that two hold one is possible, and then the first result counts (``files.placing_folder``).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

from nst_jax.files import alive, machine, place_first

#: Seconds between two touches of a lease, and after how many without one it is nobody's.
BEAT, LONGEST = 5.0, 60.0


class Leases:
    """The leases of one worker, in a folder. To be closed; then they are given back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: set[Path] = set()
        self._seen: dict[Path, tuple[int, float]] = {}
        self._closed = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def take(self, name: str) -> bool:
        """Takes the lease of a unit; whether nobody else has it. Raises OSError where the folder cannot be written."""
        path = self.folder / name
        if not place_first(path, f"{machine()} {os.getpid()}") and not (self._is_stale(path) and self._seize(path)):
            return False
        self._held.add(path)
        return True

    def give_back(self, name: str) -> None:
        """Gives a lease back."""
        path = self.folder / name
        self._held.discard(path)
        with contextlib.suppress(OSError):
            path.unlink()

    def close(self) -> None:
        """Gives all leases back."""
        self._closed.set()
        self._beats.join()
        for path in list(self._held):
            self.give_back(path.name)

    def _is_stale(self, path: Path) -> bool:
        """Whether the holder of a lease is dead, or has not touched it for long by this process's own clock."""
        try:
            touched = path.stat().st_mtime_ns
            if _is_orphan(path):
                return True
        except OSError:  # it has just been given back
            return False
        now = time.monotonic()
        before, since = self._seen.get(path, (touched, now))
        self._seen[path] = (touched, since if before == touched else now)
        return before == touched and now - since > LONGEST

    def _seize(self, path: Path) -> bool:
        """Takes the place of a holder that is gone; of several who try, one does."""
        self._seen.pop(path, None)
        with contextlib.suppress(OSError):
            path.unlink()
        return place_first(path, f"{machine()} {os.getpid()}")

    def _beat(self) -> None:
        while not self._closed.wait(BEAT):
            for path in list(self._held):
                with contextlib.suppress(OSError):
                    os.utime(path)


def _is_orphan(path: Path) -> bool:
    """Whether the holder of a lease is a process of this machine that has ended. Raises OSError where there is none."""
    host, _, process = path.read_text().partition(" ")
    return host == machine() and process.isdecimal() and not alive(int(process))


def units_of(folder: Path, process: int) -> list[str]:
    """The units whose leases a process of this machine holds."""
    found = []
    for path in _all(folder):
        with contextlib.suppress(OSError):
            if path.read_text() == f"{machine()} {process}":
                found.append(path.name)
    return found


def clear(folder: Path) -> None:
    """Removes the leases of dead processes of this machine, and those that nobody has touched for long."""
    for path in _all(folder):
        with contextlib.suppress(OSError):
            if _is_orphan(path) or time.time() - path.stat().st_mtime > LONGEST:
                path.unlink()


def _all(folder: Path) -> list[Path]:
    """The leases in a folder."""
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if not entry.name.startswith(".")]
