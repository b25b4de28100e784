"""Shards against the whole: value and gradient on four devices of the CPU, which are a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nst_jax.losses.shards import Cut

ROOT = Path(__file__).resolve().parents[2]
QUICK, LONG = ("whole",), ("odd", "octaves", "tileable", "few", "wrapping", "tiled", "tiled tileable", "crowson")


def told_of(names):
    """What ``sharded_cases`` tells of some cases, by their names."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(ROOT)
    words = [sys.executable, str(ROOT / "tests" / "sharded_cases.py"), *names]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr
    return {told["name"]: told for told in map(json.loads, done.stdout.splitlines())}


def assert_exact(told):
    assert max(told["float64"]) < 1e-9
    assert max(told["float32"]) < 1e-4


def test_value_and_gradient_are_those_of_one_device_and_nothing_is_gathered():
    told = told_of(QUICK)
    for name in QUICK:
        assert_exact(told[name])
        assert set(told[name]["collectives"]) == {"collective-permute", "all-reduce"}


@pytest.mark.slow
def test_whatever_the_options():
    told = told_of(LONG)
    assert set(told) == set(LONG)
    assert set(told["odd"]["collectives"]) == {"collective-permute", "all-reduce"}
    for each in told.values():
        assert_exact(each)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.data())
def test_windows_hold_what_their_own_rows_see(data):
    """Each row is one device's own, and lies as far from where a window is cut as the margin is wide."""
    stride, beside = 4, 8
    height, count = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 9))
    wraps = data.draw(st.booleans()) and height % stride == 0
    own = -(-height // (count * stride)) * stride
    window = own + 2 * beside + (0 if wraps else height % stride)
    cut = Cut(height, own, min(window, height), beside, height % stride, wraps and window < height)
    for device in range(count):
        start, rows = cut.start(device), cut.rows(device)
        assert start % stride == 0 and len(set(rows.tolist())) == len(rows) == cut.window
        for row in range(device * own, min((device + 1) * own, height)):
            (place,) = np.flatnonzero(rows == row)
            assert place >= beside or (start == 0 and not cut.wraps) or cut.window == height
            assert place < cut.window - beside or (start + cut.window == height and not cut.wraps)
