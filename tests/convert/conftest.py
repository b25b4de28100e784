"""What the tests of ``convert_weights`` share: networks a few channels wide, and the file of the real weights."""

import pytest

from nst_jax import layers

BLOCKS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}


@pytest.fixture(autouse=True)
def narrow(request, monkeypatch):
    """Narrow networks, but in tests of real files; all widths differ, so that no transposition goes unnoticed."""
    if "real" not in request.fixturenames:
        tables = {name: layers._vgg(counts, (20, 7, 6, 5, 4)) for name, counts in BLOCKS.items()}
        monkeypatch.setattr(layers, "NETWORKS", tables)


@pytest.fixture
def real(shared):
    """The real weights, in Keras's format."""
    return shared / "weights" / "vgg19_notop.h5"
