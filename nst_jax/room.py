"""How much memory the system has free."""

from __future__ import annotations

import os
from pathlib import Path


def free_bytes() -> int:
    """Bytes that the system can give to this process; a control group's limit counts.

    Where nothing can be learnt, it is taken to be 4 GiB.
    """
    found = [_system_bytes(), _group_bytes()]
    return max(0, min([number for number in found if number is not None], default=4 * 2**30))


def _system_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _group_bytes() -> int | None:
    """What is left of the control group's limit, as containers have it; None where there is none."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):
            continue
    return None
