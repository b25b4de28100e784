"""Random command lines, of ``command_lines.py``: how they end, in a process whose terminal is seen."""

import dataclasses
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from nst_jax.choices import flag
from nst_jax.cli.stylize import Stylize

SCRIPT = Path(__file__).with_name("command_lines.py")
#: Of several processes, which have tests of their own: one that becomes such a process is one to its end.
TOGETHER = {flag(name) for name in ("coordinator", "process_id", "process_count")}


def test_every_option_is_drawn():
    told = runpy.run_path(str(SCRIPT))
    drawn = {"content", "style", *told["OPTIONS"], *told["SWITCHES"]} - {"unknown"}
    assert {flag(name) for name in drawn} | TOGETHER == {flag(field.name) for field in dataclasses.fields(Stylize)}


@pytest.mark.slow
def test_a_hundred_random_command_lines_end_as_they_should():
    done = subprocess.run([sys.executable, SCRIPT, "100"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""  # what JAX, NumPy or a C library says, too
    told = json.loads(done.stdout)
    assert sum(told["endings"].values()) >= 100
    assert told["endings"]["0"] > 20
