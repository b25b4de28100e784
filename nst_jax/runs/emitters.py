"""Which part of XLA makes a CPU's loops: the older one, whose loops LLVM compiles in less time.

Of README's first command that is a quarter of all seconds (docs/performance.md).
"""

from __future__ import annotations

import os
from importlib import metadata

OLDER = "--xla_cpu_use_fusion_emitters=false"
#: The last jaxlib that is known to know the flag. XLA ends the process for a flag that it does not know.
KNOWN_TO = (0, 10)


def takes_older_emitters() -> bool:
    """Whether this process compiles by the older one."""
    return OLDER in os.environ.get("XLA_FLAGS", "")


def compile_sooner() -> None:
    """Has XLA compile a CPU's programs in less time, in this process and in those that it starts.

    That is for a command, before JAX looks for devices; a library does not do it to the process of its user. What the
    user's ``XLA_FLAGS`` say of it holds.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    version = tuple(int(part) for part in metadata.version("jaxlib").split(".")[:2])
    if version <= KNOWN_TO and OLDER.partition("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {OLDER}".strip()
