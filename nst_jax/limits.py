"""How much memory the system gives this process: what is free, what there is, the limits of its control groups and its
own."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path, PurePosixPath

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

#: What version 1 calls no limit is a number beyond this one.
NO_LIMIT = 2**60
#: The part of a limit of addresses (``ulimit -v``) that memory can take: the rest is threads' stacks, what is reserved
#: and never touched, and gaps. There is no second chance: where addresses end, C++ ends the process at once.
ADDRESSES = 0.8
#: Of a control group by the type of its file system: the limits, what is taken, and what of that can go.
GROUP_FILES = {
    "cgroup2": (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    "cgroup": (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def free_bytes() -> int:
    """Bytes that this process can still get: the least that anything tells, or 4 GiB where nothing does."""
    found = [_system_bytes(), _group_bytes(), _process_bytes()]
    return max(0, min([number for number in found if number is not None], default=4 * 2**30))


def whole_bytes() -> int:
    """Bytes that there are for this process and all that it shares them with, whatever of it is free."""
    found = [limit for group, kind in _groups() for limit, _ in _limits(group, kind)]
    own = [share * limit for limit, share, _ in _own_limits()]
    return min([int(number) for number in (_system_bytes("MemTotal"), *found, *own) if number], default=4 * 2**30)


def _system_bytes(what: str = "MemAvailable") -> int | None:
    """What the whole system has left, or has in all ("MemTotal")."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _group_bytes(proc: Path = Path("/proc/self")) -> int | None:
    """What is left of the limits of the control groups that this process is in; None where there is none.

    A group lies in others, each with a limit of its own: SLURM, systemd and containers nest them. All on the way up
    count, of version 1 and of version 2. ``proc`` is the folder of the process.
    """
    found = [limit - used for group, kind in _groups(proc) for limit, used in _limits(group, kind)]
    return min(found, default=None)


def _groups(proc: Path = Path("/proc/self")) -> list[tuple[Path, str]]:
    """The folders of a process's memory control groups, from its own on upwards, each with its file system's type."""
    try:
        lines = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:
        return []
    ways = {}
    for line in lines:
        number, controllers, way = line.split(":", 2)
        if "memory" in controllers.split(","):
            ways["cgroup"] = way
        elif number == "0" and not controllers:
            ways["cgroup2"] = way
    found = []
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        kind, _, options = (after.split(" ", 2) + ["", ""])[:3]
        if kind not in ways or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        root, place = (re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), word) for word in before.split()[3:5])
        top, below = Path(place), PurePosixPath(ways[kind])
        inside = below.relative_to(root) if below.is_relative_to(root) and ".." not in below.parts else PurePosixPath()
        group = top / inside
        found += [(each, kind) for each in (group, *group.parents) if each == top or top in each.parents]
    return found


def _limits(group: Path, kind: str) -> list[tuple[int, int]]:
    """A group's limits, each with what is taken of it and cannot go."""
    limits, current, reclaimable = GROUP_FILES[kind]
    found = []
    for name in limits:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            limit, used = int((group / name).read_text()), int((group / current).read_text())
            with contextlib.suppress(OSError, ValueError, StopIteration):
                told = (line.split() for line in (group / "memory.stat").read_text().splitlines())
                used -= next(int(words[1]) for words in told if words[0] == reclaimable)
            if limit < NO_LIMIT:
                found.append((limit, max(0, used)))
    return found


def _process_bytes() -> int | None:
    """What is left of this process's own limits (``ulimit -v`` and ``-d``); None where it has none."""
    found = []
    for limit, share, key in _own_limits():
        with contextlib.suppress(OSError, ValueError, TypeError):
            told = re.search(rf"^{key}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
            found.append(int(share * (limit - 1024 * int(told[1]))))  # type: ignore[index]
    return min(found, default=None)


def _own_limits() -> list[tuple[int, float, str]]:
    """This process's own limits, each with the part of it that memory can take, and the system's name of its use."""
    if resource is None:
        return []
    found = []
    for name, share, key in (("RLIMIT_AS", ADDRESSES, "VmSize"), ("RLIMIT_DATA", 1.0, "VmData")):
        limit = resource.getrlimit(getattr(resource, name))[0] if hasattr(resource, name) else resource.RLIM_INFINITY
        if limit != resource.RLIM_INFINITY:
            found.append((limit, share, key))
    return found


def stay_within_group() -> None:
    """Has memory that this process's control group has no room for refused, instead of the process being killed for it.

    What is refused comes as an error, which a run answers. That is for a command, after its plan; a library does not do
    it to the process of its user.
    """
    left = _group_bytes()
    if left is None or resource is None or not hasattr(resource, "RLIMIT_DATA"):
        return
    with contextlib.suppress(OSError, ValueError, TypeError):
        told = re.search(r"^VmData:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        wanted = 1024 * int(told[1]) + int(0.97 * left)  # type: ignore[index] # the rest is for page tables
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if soft == resource.RLIM_INFINITY or wanted < soft:
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
