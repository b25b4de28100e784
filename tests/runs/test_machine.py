"""The machine: what is decided by a device once, and handed to all that need it; also one that is not there."""

import dataclasses
import subprocess
import sys

import jax
import numpy as np
import pytest
from support import random_filters, simple_config, smooth_picture

from nst_jax import limits
from nst_jax.runs import machine, plan
from nst_jax.runs.machine import Machine, free_bytes, here
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps.grid import Lane
from nst_jax.sweeps.lanes import prepare_lanes

CONTENT, STYLE = smooth_picture(20, 24, 0), smooth_picture(24, 18, 1)


@pytest.fixture
def config(tiny):
    return simple_config(
        network=tiny, size=24, steps=7, scales=1, history=4, style_weight=5.0, tv_weight=0.5, precision="float32",
        content_layers=("conv2_1",), style_layers=("conv1_1", "pool2"),
    )  # fmt: skip


def test_here_is_the_default_device():
    found = here()
    assert (found.platform, found.devices) == (jax.default_backend(), tuple(jax.local_devices()))
    assert found.words() == {
        "platform": jax.default_backend(), "kind": jax.devices()[0].device_kind, "count": jax.local_device_count(),
    }  # fmt: skip
    assert found.free > 2**20
    assert found.gains_by_bfloat16 is machine.processor_gains_by_bfloat16()
    assert Machine("tpu").words() == {"platform": "tpu", "kind": "tpu", "count": 0}  # one that is not there


CHOSEN = """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax
from nst_jax.runs.machine import here

assert here().devices == tuple(jax.devices()) and len(here().devices) == 4
with jax.default_device(jax.devices()[2]):
    print(here().devices == (jax.devices()[2],), here().words()["count"])
"""


def test_a_default_device_that_is_chosen_is_honoured():
    done = subprocess.run([sys.executable, "-c", CHOSEN], capture_output=True, text=True)
    assert done.stdout == "True 1\n", done.stdout + done.stderr


def test_free_memory_of_an_accelerator_is_its_allocator_s():
    class Accelerator:
        platform = "gpu"

        def memory_stats(self):
            return self.told

    device = Accelerator()
    device.told = {"bytes_limit": 1000, "bytes_in_use": 300}
    assert (free_bytes(device), free_bytes(device, of_all=True)) == (700, 1000)
    device.told = None  # as some tell nothing: then it is the system's
    assert free_bytes(device) > 2**20


def test_free_memory_of_a_cpu_is_the_least_that_is_told(monkeypatch):
    device = jax.devices("cpu")[0]
    for system, group, expected in ((5, 3, 3), (5, None, 5), (None, 7, 7), (None, None, 4 * 2**30), (5, -1, 0)):
        monkeypatch.setattr(limits, "_system_bytes", lambda system=system: system)
        monkeypatch.setattr(limits, "_group_bytes", lambda group=group: group)
        assert free_bytes(device) == expected


def test_all_memory_does_not_depend_on_what_is_free(monkeypatch):
    """It is the system's, or a group's where that may have less."""
    told = {"MemAvailable": 5, "MemTotal": 5000}
    monkeypatch.setattr(limits, "_system_bytes", lambda what="MemAvailable": told[what])
    monkeypatch.setattr(limits, "_groups", lambda: [])
    assert here(of_all=True).free == 5000
    monkeypatch.setattr(limits, "_groups", lambda: [(None, "cgroup2"), (None, "cgroup2")])
    monkeypatch.setattr(limits, "_limits", lambda group, kind: [(1000, 900), (2**70, 5)])
    assert here(of_all=True).free == 1000


@pytest.mark.slow
def test_a_run_on_a_machine_that_is_handed_in(config, monkeypatch):
    """As an accelerator computes it, of chunks and by XLA's convolutions; here it gives the picture of a CPU."""
    monkeypatch.setattr(machine, "CHUNK", 3)
    handed = Machine("gpu", free=2**40, devices=tuple(jax.devices()[:1]))
    steps, weights = [], random_filters(config.network)
    found = stylize(
        CONTENT,
        STYLE,
        config,
        weights=weights,
        machine=handed,
        on_progress=lambda progress: steps.append(progress.step),
    )
    assert steps == [3, 6, 7]  # chunks of the whole length, and the rest one by one
    assert found.device == {"platform": "gpu", "kind": jax.devices()[0].device_kind, "count": 1}
    alone = stylize(CONTENT, STYLE, config, weights=weights)
    assert alone.device == here().words()
    assert (found.steps, found.evaluations) == (alone.steps, alone.evaluations)
    np.testing.assert_allclose(found.image, alone.image, atol=2e-3)
    for ours, theirs in zip(found.trace, alone.trace, strict=True):
        assert ours["total"] == pytest.approx(theirs["total"], rel=0.01)


def test_the_machine_decides_the_precision_and_the_memory_of_runs_and_lanes(config):
    config, weights = dataclasses.replace(config, precision="auto"), random_filters(config.network)
    for platform, precision in (("cpu", "float32"), ("gpu", "bfloat16")):
        handed = Machine(platform, free=2**33, devices=here().devices)
        run = plan.prepare(CONTENT, STYLE, config, weights=weights, machine=handed)
        lanes = prepare_lanes(CONTENT, [STYLE], [Lane(config)], weights=weights, machine=handed)
        assert run.machine is lanes.machine is handed
        assert run.plan.precision == lanes.precision == precision
        assert run.plan.free == lanes.plan(1).free_bytes == 2**33
        assert lanes.plan(1).devices == handed.devices
