"""What the tests share: checked types, small networks, small pictures, and where the real ones are.

Every call of a function of the modules ``CHECKED`` is checked against its annotations, shapes of arrays included,
by jaxtyping and beartype.

XLA compiles sooner than it does for users (``quick_programs``), which is most of what the tests take. With
``XLA_FLAGS=`` before the command they take the programs that commands do. So ``.ci/run`` has it for the slow ones, and
for those that are marked exact.
"""

import dataclasses
import os
import signal
from pathlib import Path

from quick_programs import QUICK_PROGRAMS

os.environ.setdefault("XLA_FLAGS", QUICK_PROGRAMS)  # before JAX is loaded

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

CHECKED = ("losses", "networks.vgg", "optim")
install_import_hook([f"nst_jax.{module}" for module in CHECKED], "type_checks.checked")

from support import NARROW, TINY, random_filters, smooth_picture  # noqa: E402 (after the hook)

from convert_weights.convert import convert  # noqa: E402 (after the hook)
from nst_jax import layers  # noqa: E402 (after the hook)
from nst_jax.networks.weights_file import save_weights  # noqa: E402 (after the hook)
from nst_jax.pictures import images  # noqa: E402 (after the hook)
from nst_jax.runs.emitters import compile_sooner  # noqa: E402 (after the hook)

compile_sooner()


@pytest.fixture(autouse=True)
def no_kept_programs(monkeypatch, tmp_path_factory):
    """No test reads or writes the programs in the user's cache folder."""
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "programs"))


@pytest.fixture(autouse=True, scope="session")
def usual_signals():
    """Signals do what they do in a terminal, even where the tests run in the background or under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def unchecked():
    """Annotations are not checked, as they are not outside of the tests: for what functions themselves refuse."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def narrow_vgg(monkeypatch):
    """VGG-16 and VGG-19 with 4 to 7 filters a layer, under the same names; every preset works with them."""
    for name in ("vgg16", "vgg19"):
        narrow = tuple(
            dataclasses.replace(row, inputs=NARROW[row.inputs], channels=NARROW[row.channels])
            for row in layers.NETWORKS[name]
        )
        monkeypatch.setitem(layers.NETWORKS, name, narrow)


@pytest.fixture
def tiny(monkeypatch):
    """A network ``tiny`` of three convolutions and two poolings; gives its name."""
    monkeypatch.setitem(layers.NETWORKS, "tiny", TINY)
    return "tiny"


@pytest.fixture
def stand_in(monkeypatch):
    """A network ``stand-in`` whose first and last convolution stand for wider layers; gives its name."""
    rows = (
        layers.Layer("conv1_1", "conv", 3, 4, stands_for=9),
        layers.Layer("pool1", "pool", 4, 4),
        layers.Layer("conv1_2", "conv", 4, 6),
        layers.Layer("conv2_1", "conv", 6, 5, stands_for=11),
    )
    monkeypatch.setitem(layers.NETWORKS, "stand-in", rows)
    return "stand-in"


@pytest.fixture(scope="session")
def shared():
    """The folder with real weights and pictures; its tests are skipped where it is absent."""
    folder = Path(os.environ.get("NST_JAX_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not (folder / "weights" / "vgg19_notop.h5").is_file():
        pytest.skip(f"no real weights in {folder}: set NST_JAX_SHARED to the folder that has weights and images")
    return folder


@pytest.fixture(scope="module")
def vgg19(shared):
    """The real VGG-19."""
    return convert(shared / "weights" / "vgg19_notop.h5")[0]


@pytest.fixture
def pictures(tmp_path):
    """A photograph of 48 x 34 and a painting of 40 x 52 pixels as PNG files: (content, style)."""
    paths = tmp_path / "content.png", tmp_path / "style.png"
    for seed, (path, size) in enumerate(zip(paths, [(34, 48), (52, 40)], strict=True)):
        images.save_image(path, smooth_picture(*size, seed))
    return paths


@pytest.fixture
def weights_file(tmp_path, narrow_vgg):
    """Small random weights under the name of VGG-19, as a file."""
    path = tmp_path / "vgg19.h5"
    save_weights(path, random_filters("vgg19"))
    return path


@pytest.fixture(autouse=True, scope="module")
def _programs_of_one_module():
    """Lets JAX forget a module's programs: a process may map so many regions of memory, and crashes beyond."""
    yield
    jax.clear_caches()
