"""How much memory the system gives: control groups of both versions, on the whole way up; and the end of memory."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import random_filters, simple_config, smooth_picture

from nst_jax import limits
from nst_jax.errors import NSTError
from nst_jax.optim import minimise
from nst_jax.runs import emitters, pyramid, stylize

CONTENT, STYLE = smooth_picture(36, 48, 0), smooth_picture(40, 48, 1)


def process(tmp_path, cgroup, mounts):
    """A folder as /proc/self is."""
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text("".join(f"{number} 1 0:1 {mount}\n" for number, mount in enumerate(mounts)))
    return folder


def group(path, **files):
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(f"{text}\n")


def test_the_nearest_limit_on_the_way_up_counts_in_version_2(tmp_path):
    top = tmp_path / "cgroup"
    group(top / "job" / "step", memory__max="max", memory__current=10)
    group(top / "job", memory__max=1000, memory__current=300, memory__stat="anon 5\ninactive_file 100")
    group(top, memory__max=5000, memory__current=700)
    folder = process(tmp_path, "0::/job/step\n", [f"/ {top} rw,nosuid - cgroup2 cgroup2 rw"])
    assert limits._group_bytes(folder) == 1000 - 300 + 100
    group(top / "job" / "step", memory__high=500)
    assert limits._group_bytes(folder) == 490


def test_the_nearest_limit_on_the_way_up_counts_in_version_1(tmp_path):
    top = tmp_path / "memory"
    for path, limit, used in ((top / "a" / "b", 2**63 - 4096, 5), (top / "a", 900, 100), (top, 2**63 - 4096, 9)):
        group(path, memory__limit_in_bytes=limit, memory__usage_in_bytes=used)
    cgroup = "4:memory:/a/b\n3:cpu:/\n0::/\n"
    folder = process(tmp_path, cgroup, [f"/ {top} rw - cgroup cgroup rw,memory", "/ /nowhere rw - cgroup2 cgroup2 rw"])
    assert limits._group_bytes(folder) == 800


def test_a_container_sees_its_own_group_as_the_top(tmp_path):
    top = tmp_path / "cgroup"
    group(top, memory__max=1000, memory__current=1)
    folder = process(tmp_path, "0::/docker/1234\n", [f"/docker/1234 {top} rw - cgroup2 cgroup2 rw"])
    assert limits._group_bytes(folder) == 999
    assert limits._group_bytes(tmp_path / "none") is None


@pytest.fixture
def config():
    return simple_config(
        network="slim", size=48, scales=2, steps=2, coarse_steps=(2,), content_layers=("conv1_1",),
        style_layers=("conv1_1",), precision="float32",
    )  # fmt: skip


@pytest.mark.skipif(limits.resource is None or not Path("/proc/self/status").exists(), reason="no such limits")
def test_of_a_limit_of_addresses_not_all_is_memory(monkeypatch):
    """At its end C++ ends the process, and no line can be written: 1.3 GiB were tried where 1.1 were left."""
    limit, unlimited = 2**42, limits.resource.RLIM_INFINITY
    for name, part in (("RLIMIT_AS", limits.ADDRESSES), ("RLIMIT_DATA", 1)):
        number = getattr(limits.resource, name)
        monkeypatch.setattr(
            limits.resource, "getrlimit", lambda which, n=number: (limit if which == n else unlimited,) * 2
        )
        left = limits._process_bytes()
        assert part * (limit - 2**40) < left < part * limit


@pytest.mark.skipif(limits.resource is None or not Path("/proc/self/status").exists(), reason="no such limits")
def test_within_a_control_group_memory_is_refused_before_it_ends(monkeypatch):
    """What this process has and what its group has left, less some for the system's tables."""
    asked = []
    monkeypatch.setattr(limits.resource, "setrlimit", lambda which, wanted: asked.append((which, wanted[0])))
    monkeypatch.setattr(limits, "_group_bytes", lambda: None)
    limits.stay_within_group()
    assert asked == []
    monkeypatch.setattr(limits, "_group_bytes", lambda: 2**30)
    limits.stay_within_group()
    ((which, wanted),) = asked
    assert which == limits.resource.RLIMIT_DATA and 0.9 * 2**30 < wanted < 2**40


def ending_at(monkeypatch, size):
    """The memory ends at a size, as XLA says it."""
    original = minimise.minimise

    def ends(method, function, goal, x, **options):
        if max(x.shape) == size:
            raise ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 26542080 bytes.")
        return original(method, function, goal, x, **options)

    monkeypatch.setattr(pyramid.minimise, "minimise", ends)


def test_where_the_memory_ends_the_picture_of_the_scale_before_is_kept(config, monkeypatch):
    ending_at(monkeypatch, 48)
    found = stylize.stylize(CONTENT, STYLE, config, weights=random_filters("slim"))
    assert found.image.shape == (18, 24, 3)
    assert (found.ended, found.steps, found.losses) == ("out of memory", 2, {})
    assert "the memory ended; this is the picture of the scale before, 24 x 18 pixels" in found.notes[-1]


def test_where_it_ends_at_once_that_is_one_line(config, monkeypatch):
    ending_at(monkeypatch, 24)
    with pytest.raises(NSTError, match="the memory ended, though it was planned with: .* would fit"):
        stylize.stylize(CONTENT, STYLE, config, weights=random_filters("slim"))


ROOT = Path(__file__).resolve().parents[2]
#: The project's own example, by a command that is followed by its size and more, which prints its peak in KiB.
COMMAND = f"""
import re, resource, sys
if sys.argv[1] != "0":
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from nst_jax.cli.stylize import main
line = "--content {ROOT}/examples/townhouses.jpg --style {ROOT}/examples/swirls.jpg --network slim --scales 1"
status = main([*line.split(), "--no-cache", *sys.argv[2:]])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])  # getrusage has the parent's, too
sys.exit(status)
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits and peaks are as Linux has them")


def by_the_command(limit, *words):
    """The command in a process of its own, with a limit of its addresses in bytes or 0 for none."""
    return subprocess.run([sys.executable, "-c", COMMAND, str(limit), *words], capture_output=True, text=True)


@LINUX
@pytest.mark.slow
def test_the_command_takes_what_it_has_planned(tmp_path):
    """With freed memory kept, as the command does: it took half as much again, and at 2048 pixels twice as much."""
    words = ["--size", "1024", "--output", str(tmp_path / "out.png"), "--steps"]
    told = by_the_command(0, *words, "2", "--dry-run")
    planned = float(re.search(r"memory: about ([\d.]+) GiB", told.stdout)[1])
    nothing = by_the_command(0, *words, "0", "--dry-run")
    before = int(nothing.stdout.split()[-1]) / 2**20  # of the interpreter and its libraries
    done = by_the_command(0, *words, "2")
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split()[-1]) / 2**20
    assert 0.8 * planned < peak - before < 1.2 * planned


@LINUX
@pytest.mark.parametrize(
    ("limit", "flag", "told"),
    [(1050, "true", "no size would fit"), (1300, "false", r"--size \d+ would fit.*")],
    ids=["programs by the newer emitters take more", "by the older ones"],
)
def test_a_limit_of_addresses_gets_one_line_with_what_would_fit(tmp_path, monkeypatch, limit, flag, told):
    monkeypatch.setenv("XLA_FLAGS", emitters.OLDER.replace("false", flag))
    done = by_the_command(limit * 10**6, "--size", "2048", "--output", str(tmp_path / "out.png"))
    assert done.returncode == 2
    assert re.fullmatch(rf"nst-stylize: error: .* take about .* are free: {told}\n", done.stderr), done.stderr
    assert list(tmp_path.iterdir()) == []
