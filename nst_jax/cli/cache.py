"""Compiled programs are kept from run to run: JAX's persistent compilation cache, in the user's cache folder.

It is set up by environment variables before JAX is imported: the library changes nothing for those who import it, and
what the user has set stays.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path

import platformdirs

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
ENABLED_VARIABLE = "JAX_ENABLE_COMPILATION_CACHE"
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
        path = Path(folder) if folder else platformdirs.user_cache_path("nst_jax", appauthor=False) / "programs"
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK):
                raise PermissionError(13, "it is not writable")
        except OSError as error:
            os.environ[ENABLED_VARIABLE] = "false"
            print(f"{program}: note: no programs are kept in {path}: {error.strerror}", file=sys.stderr)
            return
        if not folder:
            tidy(path)
        os.environ[FOLDER_VARIABLE] = str(path)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # a run has 80 programs of 30 ms


def tidy(folder: Path, largest: int = LARGEST) -> None:
    """Removes the programs written longest ago, until those left take at most ``largest`` bytes."""
    total = 0
    with contextlib.suppress(OSError):  # another run may be at it
        entries = [(path.stat(), path) for path in folder.glob("*-cache")]
        for entry, path in sorted(entries, key=lambda pair: -pair[0].st_mtime):
            total += entry.st_size
            if total > largest:
                path.unlink()
