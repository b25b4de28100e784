"""The notebook runs from top to bottom, at a small size, and is kept without outputs."""

import json
import os
from pathlib import Path

import pytest
from support import random_filters

from nst_jax.networks import weights_file

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "nst_jax_colab.ipynb"


def test_outputs_are_stripped():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert len(cells) > 5
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(tmp_path, monkeypatch):
    """With random filters in the small network's place."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is absent: pip install nst_jax[test]")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is absent: pip install nst_jax[test]")
    pytest.importorskip("ipykernel", reason="ipykernel is absent: pip install nst_jax[test]")
    weights_file.save_weights(tmp_path / "slim.h5", random_filters("slim"))
    settings = {
        "NST_JAX_WEIGHTS_FILE": tmp_path / "slim.h5", "NST_JAX_NETWORK": "slim", "NST_JAX_EXAMPLES": ROOT / "examples",
        "NST_JAX_SIZE": 32, "NST_JAX_STEPS": 2, "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "stylized.png").is_file()
    assert (tmp_path / "sweep" / "index.html").is_file()
    assert (tmp_path / "sweep" / "lane-011.png").is_file()
