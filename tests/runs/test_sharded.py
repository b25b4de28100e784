"""A picture by several processes: as by one, to its checkpoints; and what is said where they do not come together."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import jax
import pytest
from jax.experimental import multihost_utils

from nst_jax.cli import stylize
from nst_jax.errors import NSTError
from nst_jax.pictures import images
from nst_jax.runs import processes
from nst_jax.runs.machine import here

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ["--content-layers", "conv3_1", "--style-layers", "conv1_1", "conv2_1"]
RUN = [
    "--content", str(ROOT / "examples" / "townhouses.jpg"), "--style", str(ROOT / "examples" / "swirls.jpg"),
    "--network", "slim", "--preset", "gatys2015", *LAYERS, "--size", "96", "--scales", "2", "--coarse-steps", "3",
]  # fmt: skip


#: Of two processes to their end; how fast they get where on a busy machine is not in our hands.
TRIAL = pytest.mark.skipif("NST_JAX_TRIALS" not in os.environ, reason="a trial by hand: set NST_JAX_TRIALS")


def free_port():
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def process(number, port, *more):
    """One of two processes of the command."""
    where = ["--coordinator", f"127.0.0.1:{port}", "--process-id", str(number), "--process-count", "2"]
    words = [sys.executable, str(ROOT / "scripts" / "stylize.py"), *RUN, *where, *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@contextlib.contextmanager
def pair(*more):
    """Two processes of the command, none of which is left."""
    port = free_port()
    both = [process(number, port, *more) for number in (0, 1)]
    try:
        yield both
    finally:
        for each in both:
            each.kill()
            each.communicate()


def ended(each):
    """Status, standard output and error of a process: of the error what ``until_step`` has left of it."""
    late = threading.Timer(600, each.kill)
    late.start()
    err = each.stderr.read()  # not by communicate, which loses what ``until_step`` has read ahead
    late.cancel()
    out, _ = each.communicate(timeout=600)
    return each.returncode, out, err


def until_step(each, size):
    """Reads what a process says until it is at a size."""
    told = []
    for line in iter(each.stderr.readline, ""):
        told.append(line)
        if f" {size}x" in line:
            return
    raise AssertionError(f"it has ended: {told}")


def total(said):
    """The loss that a command tells in the end."""
    return float(re.search(r"total ([\d.e+-]+)", said)[1])


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("nowhere", 0, 2), "--coordinator is 'nowhere': give HOST:PORT of process 0"),
        (("here:99999", 0, 2), "--coordinator is 'here:99999': give HOST:PORT"),
        (("here:5000", None, None), "--coordinator comes with --process-id, from 0, and --process-count"),
        ((None, 1, 2), "come with --coordinator HOST:PORT"),
        (("here:5000", 2, 2), "--process-id is 2 of 2: give 0 to 1"),
    ],
)
def test_what_does_not_fit_together_is_told(given, told):
    with pytest.raises(NSTError, match=re.escape(told)):
        processes.start(*given, 1)


def test_a_coordinator_that_does_not_answer_gets_one_line_within_its_time(tmp_path):
    with contextlib.ExitStack() as stack:
        away = stack.enter_context(
            process(1, free_port(), "--coordinator-timeout", "1", "--output", str(tmp_path / "a.png"))
        )
        alone = stack.enter_context(
            process(0, free_port(), "--coordinator-timeout", "2", "--output", str(tmp_path / "a.png"))
        )
        for each, told in (
            (away, "no coordinator answers at 127.0.0.1:"),
            (alone, "the processes did not come together"),
        ):
            status, out, err = ended(each)
            assert (status, out, len(err.splitlines())) == (2, "", 1), err
            assert told in err


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(NSTError, match="--devices is 1000 and there"):
        here(1000)
    assert here(1).shards == here().shards == ()
    with pytest.raises(NSTError, match="--devices is 0"):
        stylize.Stylize(content=Path("a"), style=(Path("b"),), devices=0)


def test_tasks_that_were_started_together_are_known(monkeypatch):
    for name in (processes.SLURM_TASKS, processes.TPU_HOSTS):
        monkeypatch.delenv(name, raising=False)
    assert not processes.by_itself()
    for name, text, several in [
        (processes.SLURM_TASKS, "1", False), (processes.SLURM_TASKS, "4", True),
        (processes.TPU_HOSTS, "localhost", False), (processes.TPU_HOSTS, "a,b", True),
    ]:  # fmt: skip
        with monkeypatch.context() as one:
            one.setenv(name, text)
            assert processes.by_itself() is several


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("UNKNOWN: Gloo AllGather failed: Connection reset by peer"), processes.Lost),
        (jax.errors.JaxRuntimeError("UNAVAILABLE: another task died"), processes.Lost),
        (ValueError("a shape is wrong"), ValueError),
    ],
)
def test_the_runtime_s_errors_mean_that_a_process_is_lost_whatever_their_type(monkeypatch, error, kind):
    def ask(_):
        raise error

    monkeypatch.setattr(processes, "several", lambda: True)
    monkeypatch.setattr(multihost_utils, "process_allgather", ask)
    with pytest.raises(kind) as raised:
        processes.any_of(False)
    assert isinstance(raised.value, processes.Lost) == (kind is processes.Lost)


# ---------------------------------------------------------------- two processes


@TRIAL
@pytest.mark.slow
def test_two_processes_have_the_value_and_gradient_of_one():
    """With two devices each, whole and by tiles; each process has all of it."""
    names, port = ("whole", "odd", "tiled", "tileable", "few"), free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    words = [sys.executable, str(ROOT / "tests" / "sharded_cases.py"), f"127.0.0.1:{port}"]
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(
                subprocess.Popen([*words, str(number), *names], stdout=subprocess.PIPE, text=True, env=environment)
            )
            for number in (0, 1)
        ]
        for out, _ in [each.communicate(timeout=900) for each in both]:
            told = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
            assert [one["name"] for one in told] == list(names)
            for one in told:
                assert max(one["float64"]) < 1e-9 and max(one["float32"]) < 1e-4


@TRIAL
@pytest.mark.slow
@pytest.mark.parametrize("more", [["--optimizer", "lbfgs"], ["--optimizer", "adam", "--tile", "32"]])
def test_two_processes_make_the_picture_of_one(tmp_path, capsys, more):
    assert stylize.main([*RUN, "--steps", "4", *more, "--output", str(tmp_path / "one.png")]) == 0
    wanted = total(capsys.readouterr().out)
    with pair("--steps", "4", *more, "--output", str(tmp_path / "two.png")) as both:
        (status, out, _), (other, nothing, silent) = map(ended, both)
    assert (status, other, nothing, silent) == (0, 0, "", "")
    assert total(out) == pytest.approx(wanted, rel=0.01)
    one, two = (images.load_image(tmp_path / name).pixels for name in ("one.png", "two.png"))
    assert abs(one - two).mean() < 0.005


@TRIAL
@pytest.mark.slow
def test_stopped_by_a_signal_to_either_and_resumed_it_is_the_same_picture(tmp_path):
    run = ["--steps", "300", "--optimizer", "lbfgs", "--output"]
    with pair(*run, str(tmp_path / "whole.png")) as both:
        assert [ended(each)[0] for each in both] == [0, 0]
    kept = ["--resume", str(tmp_path / "kept"), "--checkpoint-every", "5"]
    with pair(*run, str(tmp_path / "again.png"), *kept) as both:
        until_step(both[0], 96)
        both[1].send_signal(signal.SIGTERM)
        assert [ended(each)[0] for each in both] == [143, 143]
    with pair(*run, str(tmp_path / "again.png"), *kept) as both:
        (status, _, err), (other, _, _) = map(ended, both)
    assert (status, other) == (0, 0) and "going on after step" in err
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


@TRIAL
@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_where_one_is_killed_the_other_writes_the_picture_of_the_scale_before(tmp_path, killed):
    with pair("--steps", "1000000", "--output", str(tmp_path / "out.png")) as both:
        until_step(both[0], 96)
        both[killed].kill()
        status, out, err = ended(both[1 - killed])
    assert status == 1
    (line,) = [line for line in err.splitlines() if not line.startswith("step ")]
    assert "a process or a device was lost" in line and "this is the picture of the scale before, 48 x 36" in line
    assert out.startswith(f"{tmp_path / 'out.png'}: ")
    assert images.load_image(tmp_path / "out.png").size == (48, 36)
