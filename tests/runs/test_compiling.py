"""Programs compiled beside a run: done in turn, waited for, and no harm where they fail."""

import subprocess
import sys
import threading

import pytest

from nst_jax.runs.ahead import ahead
from nst_jax.runs.compiling import compile_seconds


def test_tasks_are_done_in_turn_and_waited_for():
    done = []
    with ahead([lambda: done.append(0), lambda: done.append(1)]) as wait:
        wait(1)
        assert done == [0, 1]
    assert threading.active_count() == 1


def test_a_task_that_fails_is_done():
    with ahead([lambda: 1 / 0]) as wait:
        wait(0)


def test_an_error_drops_the_tasks_that_are_left():
    begun, may_end, done = threading.Event(), threading.Event(), []

    def first():
        begun.set()
        may_end.wait(10)

    with pytest.raises(KeyboardInterrupt), ahead([first, lambda: done.append(1)]):
        begun.wait(10)
        threading.Timer(0.2, may_end.set).start()
        raise KeyboardInterrupt
    assert done == []


def test_waiting_counts_as_compiling():
    may_end = threading.Event()
    before = compile_seconds()
    with ahead([lambda: may_end.wait(10)]) as wait:
        threading.Timer(0.1, may_end.set).start()
        wait(0)
    assert compile_seconds() - before > 0.05


RUN = """
import threading
import jax.monitoring, numpy as np
from nst_jax.networks import vgg
from nst_jax.runs import stylize
from nst_jax.options.config import Config

compiled = []

def listen(event, duration, fun_name="", **_):
    if event.endswith("backend_compile_duration") and "run_chunk" in fun_name:
        compiled.append(threading.current_thread() is threading.main_thread())

jax.monitoring.register_event_duration_secs_listener(listen)
content, style = (np.random.default_rng(seed).uniform(size=(64, 80, 3)).astype("f4") for seed in range(2))
config = Config(network="slim", size=80, scales=2, coarse_steps=(1,), steps=1, history=2)
stylize.stylize(content, style, config, weights=vgg.random_weights("slim"))
print(compiled, threading.active_count())
"""


def test_every_scale_compiles_its_step_once_and_beside_the_run():
    """In a process of its own, where types are not checked: there shapes stand for arrays."""
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True)
    assert done.stdout == "[False, False] 1\n", done.stdout + done.stderr
