"""Compiled programs are kept from run to run: JAX's persistent compilation cache, in the user's cache folder.

It is set up by environment variables before JAX is imported: the library changes nothing for those who import it, and
what the user has set stays.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
import zlib
from pathlib import Path

import platformdirs

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
ENABLED_VARIABLE = "JAX_ENABLE_COMPILATION_CACHE"
#: The file whose time says up to when the programs have been checked.
CHECKED = "nst_jax-checked"
#: Programs beyond so many bytes, counted from the newest, are removed; a run's are some 1 to 5 MB.
LARGEST = 2**30


def keep_programs(wanted: bool, program: str) -> None:
    """Has JAX, which must not be loaded yet, keep its programs in ``$JAX_COMPILATION_CACHE_DIR`` or the user's folder.

    Not where ``wanted`` is false; nor, with a line on standard error, where the folder cannot be written.
    """
    # Some of XLA's releases take LLVM's tuning preferences for features that the processor lacks (jax #38445), and say
    # so for every program they load. What matters comes as an exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")  # then it is compiled
    folder = os.environ.get(FOLDER_VARIABLE)
    if not wanted:
        os.environ[ENABLED_VARIABLE] = "false"
    elif not folder or "://" not in folder:  # JAX knows storage elsewhere, too
        try:
            path = Path(folder) if folder else platformdirs.user_cache_path("nst_jax", appauthor=False) / "programs"
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK):
                raise PermissionError(13, "it is not writable", str(path))
        except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home folder
            os.environ[ENABLED_VARIABLE] = "false"
            where = f" in {error.filename}" if isinstance(error, OSError) else ""
            reason = error.strerror if isinstance(error, OSError) else "there is no home folder"
            print(f"{program}: note: no programs are kept{where}: {reason}", file=sys.stderr)
            return
        remove_damaged(path)
        if not folder:
            tidy(path)
        os.environ[FOLDER_VARIABLE] = str(path)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # a run has 80 programs of 30 ms


def remove_damaged(folder: Path) -> None:
    """Removes programs that are cut off or damaged, which JAX would neither use nor replace.

    Each is looked at once after it was written: what is older than the file ``CHECKED``, which says when that was last
    done, is left alone.
    """
    mark = folder / CHECKED
    with contextlib.suppress(OSError):  # another run may be at it
        before = mark.stat().st_mtime_ns if mark.exists() else 0
        now = time.time_ns()
        for path in folder.glob("*-cache"):
            if path.stat().st_mtime_ns >= before and not _is_whole(path.read_bytes()):
                path.unlink()
        mark.touch()
        os.utime(mark, ns=(now, now))


def _is_whole(entry: bytes) -> bool:
    """Whether an entry of the cache can be decompressed; one by a compression that is not here is taken for whole."""
    if entry.startswith(b"\x28\xb5\x2f\xfd"):  # Zstandard
        try:
            import zstandard
        except ImportError:
            return True
        try:
            return bool(zstandard.ZstdDecompressor().decompress(entry))
        except zstandard.ZstdError:
            return False
    try:
        return bool(zlib.decompress(entry))
    except zlib.error:
        return False


def tidy(folder: Path, largest: int = LARGEST) -> None:
    """Removes the programs written longest ago, until those left take at most ``largest`` bytes."""
    total = 0
    with contextlib.suppress(OSError):  # another run may be at it
        entries = [(path.stat(), path) for path in folder.glob("*-cache")]
        for entry, path in sorted(entries, key=lambda pair: -pair[0].st_mtime):
            total += entry.st_size
            if total > largest:
                path.unlink()
