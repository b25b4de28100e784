"""The trials of ``kill_trials`` in small: by processes of this machine, and by Ray."""

import argparse
import importlib.util
from pathlib import Path

import pytest
from batch_support import QUICK

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("kill_trials.py")


@pytest.fixture
def trials():
    """The module, which is no package's."""
    specification = importlib.util.spec_from_file_location("kill_trials", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("cluster", "kills"), [(False, 3), (True, 1)], ids=["processes", "ray"])
def test_a_batch_that_is_killed_ends_as_one_that_is_not(trials, tmp_path, monkeypatch, capsys, cluster, kills):
    if cluster:
        pytest.importorskip("ray")
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "programs"))
    quick = " ".join(word for word in QUICK if word not in ("--network", "slim", "--size", "32"))
    options = argparse.Namespace(
        jobs=8, broken=2, kills=kills, workers=2, cluster=cluster, size=32, longest=0, options=f"{quick} --lanes 2"
    )
    trials.trial(tmp_path, options)
    assert "6 pictures byte-equal, 2 errors, nothing left over" in capsys.readouterr().out
