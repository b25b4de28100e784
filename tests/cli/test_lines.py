"""Random command lines, of ``command_lines.py``: how they end, in a process whose terminal is seen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_hundred_random_command_lines_end_as_they_should():
    script = Path(__file__).with_name("command_lines.py")
    done = subprocess.run([sys.executable, script, "100"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""  # what JAX, NumPy or a C library says, too
    told = json.loads(done.stdout)
    assert sum(told["endings"].values()) >= 100
    assert told["endings"]["0"] > 20
