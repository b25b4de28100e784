"""Zip archives in memory, whose members are read from one place to another and no further.

A few kilobytes can unpack to gigabytes: so nothing is ever unpacked as a whole.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator

SIGNATURE = b"PK\x03\x04"
#: What ``zipfile`` raises for an archive that is damaged, wherever the damage lies, or of another kind.
DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError)
_MOST_MEMBERS = 10_000
_STEP = 1 << 20


class Archive:
    """A zip archive by the names of its members, in order."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._members = {member.filename: member for member in archive.infolist()}
        self._archive = archive

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size(self, name: str) -> int:
        """The bytes of a member, as the archive tells them."""
        return self._members[name].file_size

    def read(self, name: str, begin: int, length: int) -> bytes:
        """So many bytes of a member from one on, or as many as there are."""
        with self._archive.open(self._members[name]) as file:
            while begin and (passed := len(file.read(min(begin, _STEP)))):  # seeking would give up the checksum
                begin -= passed
            return file.read(length)


def opened(data: bytes) -> Archive:
    """An archive from its bytes. Raises one of ``DAMAGED`` for what is none."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    if len(archive.infolist()) > _MOST_MEMBERS:
        raise zipfile.BadZipFile("too many members")
    return Archive(archive)
