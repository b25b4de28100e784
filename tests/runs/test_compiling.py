"""The clock of a run, and that what a scale compiles is compiled before its targets are there, and once."""

import subprocess
import sys
import threading
import types

import jax
import jax.numpy as jnp
import pytest

from nst_jax.runs import compiling
from nst_jax.runs.compiling import Clock, compile_seconds


def compile_something(size):
    """Compiles what no other test has compiled; no test twice with one size."""
    jax.jit(lambda x: jnp.sin(x) + size)(jnp.zeros(size)).block_until_ready()


def test_the_clock_sees_a_compilation():
    before = compile_seconds()
    compile_something(17)
    assert compile_seconds() > before


def test_what_another_thread_compiles_does_not_count():
    """A thread's run is not charged for a run beside it."""
    before, theirs = compile_seconds(), []

    def compile_there():
        compile_something(19)
        theirs.append(compile_seconds())

    thread = threading.Thread(target=compile_there)
    thread.start()
    thread.join()
    assert compile_seconds() == before
    assert theirs[0] > 0


def test_the_seconds_of_a_run(monkeypatch):
    now = types.SimpleNamespace(perf_counter=lambda: now.seconds)
    monkeypatch.setattr(compiling, "time", now)
    monkeypatch.setattr(compiling, "compile_seconds", lambda: now.compiled)
    now.seconds, now.compiled = 100.0, 7.0
    clock = Clock()
    now.seconds = 103.0
    clock.loaded()
    now.seconds, now.compiled = 113.0, 11.0
    assert clock.seconds() == {"load": 3.0, "compile": 4.0, "run": 6.0, "total": 13.0}
    assert clock.started == 100.0
    now.compiled = 40.0  # compiled while loading: no second is told below none
    assert clock.seconds()["run"] == 0.0


def test_a_clock_counts_from_its_start():
    compile_something(23)
    clock = Clock()
    assert clock.seconds()["compile"] == 0
    compile_something(29)
    seconds = clock.seconds()
    assert 0 < seconds["compile"] <= seconds["total"]
    assert seconds["load"] == 0


RUN = """
import dataclasses, sys, threading
import jax, jax.monitoring, numpy as np
from nst_jax.networks import vgg
from nst_jax.runs import machine, pyramid, stylize
from nst_jax.options.config import Config

compiled, calls, compile_stage = [], [], pyramid.compile_stage
machine.CHUNK = 3

def listen(event, duration, fun_name="", **_):
    if event.endswith("backend_compile_duration") and "run_chunk" in fun_name:
        compiled.append(len(calls) and calls[-1])

def counted(function, method, stage, *rest):
    calls.append(stage.size)
    compile_stage(function, method, stage, *rest)
    calls.append("")

pyramid.compile_stage = counted
jax.monitoring.register_event_duration_secs_listener(listen)
content, style = (np.random.default_rng(seed).uniform(size=(64, 80, 3)).astype("f4") for seed in range(2))
config = Config("nst_jax-0.1", network="slim", size=80, scales=2, coarse_steps=(5,), steps=4, history=2,
                optimizer=sys.argv[2], precision="float32", content_layers=("conv2_1",), style_layers=("conv1_1",))
here = dataclasses.replace(machine.here(), platform=sys.argv[1])
stylize.stylize(content, style, config, weights=vgg.random_weights("slim"), machine=here)
print(*compiled, *calls, threading.active_count())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "programs", "optimizer"), [("cpu", 1, "lbfgs"), ("gpu", 2, "adam")])
def test_every_scale_compiles_its_programs_once_and_before_its_goal_is_there(platform, programs, optimizer):
    """Of chunks, as an accelerator has them, those of the whole length and of one step; ``minimise`` compiles none.

    In a process of its own, where types are not checked: there shapes stand for arrays.
    """
    done = subprocess.run([sys.executable, "-c", RUN, platform, optimizer], capture_output=True, text=True)
    sizes = ["(32, 40)", "(64, 80)"]
    compiled = [size for size in sizes for _ in range(programs)]
    calls = [f"{size} " for size in sizes]
    assert done.stdout == " ".join([*compiled, *calls, "1"]) + "\n", done.stdout + done.stderr
