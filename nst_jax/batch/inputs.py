"""What is known of a batch's input files: the hash of each, its picture's size, or why it cannot be read.

It is kept in the output folder, so that a file is read again only where its size or its time has changed: of a hundred
thousand photographs a second run looks at the times alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from nst_jax.errors import NSTError
from nst_jax.files import replacing
from nst_jax.pictures.decoding import displayed_size, opened

INPUTS = "inputs.jsonl"
#: Files are read by so many threads at once: of a remote disk each waits for long.
READERS = 8


class Known(NamedTuple):
    """What is known of a file.

    Attributes:
      sha256: of its bytes; of one that cannot be read, of its path.
      size: (height, width) of its picture as it is displayed; (0, 0) where it has none.
      error: why it cannot be used, in one line, or "".
    """

    sha256: str
    size: tuple[int, int]
    error: str


class Inputs:
    """What is known of files, by their paths; ``look`` comes first."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the batch's."""
        self._file = folder / INPUTS
        self._known: dict[str, Known] = {}
        self._stamps: dict[str, tuple[int, int]] = {}

    def look(self, paths: Iterable[str]) -> None:
        """Gets to know the files at ``paths``, and keeps it for the next run. Raises NSTError where that fails."""
        before = self._read()
        fresh = []
        for path in dict.fromkeys(paths):
            with contextlib.suppress(OSError, ValueError):
                found = os.stat(path)
                self._stamps[path] = found.st_size, found.st_mtime_ns
            known = before.get(path)
            if known is not None and known[0] == self._stamps.get(path):
                self._known[path] = known[1]
            else:
                fresh.append(path)
        with ThreadPoolExecutor(READERS) as readers:
            self._known.update(zip(fresh, readers.map(looked_at, fresh), strict=True))
        if fresh:
            self._write()

    def __getitem__(self, path: str) -> Known:
        return self._known[path]

    def hash_of(self, path: str) -> str:
        """The hash of a file's bytes."""
        return self._known[path].sha256

    def _read(self) -> dict[str, tuple[tuple[int, int], Known]]:
        """What an earlier run has kept; nothing of a line that is damaged."""
        found = {}
        with contextlib.suppress(OSError), open(self._file, encoding="utf-8") as lines:
            for line in lines:
                with contextlib.suppress(ValueError, TypeError):
                    path, size, time, sha256, height, width, error = json.loads(line)
                    found[path] = (size, time), Known(sha256, (height, width), error)
        return found

    def _write(self) -> None:
        """Keeps what is known of the files that can be looked at."""
        try:
            with replacing(self._file) as temporary, open(temporary, "w", encoding="utf-8") as file:
                for path, stamp in self._stamps.items():
                    known = self._known[path]
                    file.write(json.dumps([path, *stamp, known.sha256, *known.size, known.error]) + "\n")
        except OSError as error:
            raise NSTError(f"cannot write {self._file}: {error.strerror or error}") from None


def looked_at(path: str) -> Known:
    """What a file's bytes and its header tell."""
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()
    try:
        with opened(Path(path)) as (origin, digest):
            return Known(digest, displayed_size(origin), "")
    except NSTError as error:
        return Known(digest, (0, 0), str(error))
