"""Every way of the 3×3 convolution against XLA's own with its own gradient; paddings; the choice between them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nst_jax.errors import NSTError
from nst_jax.networks import winograd
from nst_jax.networks.convolution import WAYS, convolve, fastest_on_cpu, way_of

#: The ways in which a batch is several pictures; ``test_bands`` has the other.
OF_SEVERAL = [way for way in WAYS if way != "bands"]


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def plain(x, kernel, padding="VALID"):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def value_and_gradients(function, slope, *arguments):
    """The value and what ``slope`` is at the arguments, as one program: op by op each one would be compiled."""

    def both(slope, *arguments):
        value, back = jax.vjp(function, *arguments)
        return value, back(slope)

    return jax.jit(both)(slope, *arguments)


def off(found, wanted):
    """The largest error over the largest value."""
    return float(jnp.abs(found - wanted).max() / jnp.abs(wanted).max())


@pytest.mark.parametrize("way", OF_SEVERAL)
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 13, 22), (1, 4, 4), (1, 3, 9), (3, 1, 1), (1, 40, 7)])
def test_value_and_gradients_are_those_of_the_plain_convolution(way, shape):
    x, kernel, slope = arrays((*shape, 5), (3, 3, 5, 7), (*shape, 7))
    wanted, slopes = value_and_gradients(lambda x, kernel: plain(x, kernel, "SAME"), slope, x, kernel)
    found, our_slopes = value_and_gradients(functools.partial(convolve, way=way), slope, x, kernel)
    assert off(found, wanted) < winograd.ERROR["float32"]
    for ours, theirs in zip(our_slopes, slopes, strict=True):
        assert ours.shape == theirs.shape
        assert off(ours, theirs) < winograd.ERROR["float32"]


@pytest.mark.parametrize("array", [*winograd.bases(), *winograd.turned_bases()])
def test_what_is_cached_cannot_be_changed(array):
    assert not array.flags.writeable


@pytest.mark.slow
def test_winograd_in_strips(monkeypatch):
    x, kernel, slope = arrays((2, 37, 18, 6), (3, 3, 6, 4), (2, 37, 18, 4))
    whole, whole_slopes = value_and_gradients(functools.partial(convolve, way="winograd"), slope, x, kernel)
    monkeypatch.setattr(winograd, "STRIP_BYTES", 1)
    parts, parts_slopes = value_and_gradients(functools.partial(convolve, way="winograd"), slope, x, kernel)
    assert off(parts, whole) < 1e-6
    for ours, theirs in zip(parts_slopes, whole_slopes, strict=True):
        assert off(ours, theirs) < 1e-5


def test_the_error_bound_holds_for_the_widest_layer():
    x, kernel, slope = arrays((1, 16, 24, 512), (3, 3, 512, 512), (1, 16, 24, 512))
    x, kernel = jnp.maximum(x, 0), kernel / np.sqrt(9 * 512)
    wanted, (their_slope,) = value_and_gradients(lambda x: plain(x, kernel, "SAME"), slope, x)
    found, (our_slope,) = value_and_gradients(lambda x: convolve(x, kernel, way="winograd"), slope, x)
    assert off(found, wanted) < winograd.ERROR["float32"]
    assert off(our_slope, their_slope) < winograd.ERROR["float32"]


@pytest.mark.slow
def test_products_in_bfloat16():
    """Sums and transforms are float32: with numbers that bfloat16 holds, the products are the only error."""
    x, kernel, slope = arrays((1, 16, 24, 256), (3, 3, 256, 256), (1, 16, 24, 256))
    x, slope = jnp.maximum(x, 0).astype(jnp.bfloat16), slope.astype(jnp.bfloat16)
    wanted, back = jax.vjp(lambda x: plain(x, kernel, "SAME"), x.astype(jnp.float32))
    found, our_back = jax.vjp(lambda x: convolve(x, kernel, way="winograd"), x)
    (their_slope,), (our_slope,) = back(slope.astype(jnp.float32)), our_back(slope)
    assert found.dtype == our_slope.dtype == jnp.bfloat16
    for ours, theirs in ((found, wanted), (our_slope, their_slope)):
        error = jnp.linalg.norm(ours.astype(jnp.float32) - theirs) / jnp.linalg.norm(theirs)
        assert 1e-3 < error < 0.02
        assert off(ours.astype(jnp.float32), theirs) < winograd.ERROR["bfloat16"]


def test_the_bases_give_the_correlation():
    after, evaluate, before = winograd.bases()
    line, kernel = np.arange(6.0) ** 2 - 3, np.array([2.0, -1.0, 0.5])
    found = after @ ((evaluate @ kernel) * (before @ line))
    np.testing.assert_allclose(found, np.correlate(line, kernel, "valid"), rtol=1e-12)


def test_the_turned_bases_give_the_correlation_with_the_kernel_turned_around():
    (after, before), (_, evaluate, _) = winograd.turned_bases(), winograd.bases()
    line, kernel = np.arange(6.0) ** 2 - 3, np.array([2.0, -1.0, 0.5])
    found = after @ ((evaluate @ kernel) * (before @ line))
    np.testing.assert_allclose(found, np.correlate(line, kernel[::-1], "valid"), rtol=1e-12)


@pytest.mark.parametrize("way", OF_SEVERAL)
def test_lanes(way):
    x, kernels = arrays((3, 1, 9, 10, 4), (3, 3, 3, 4, 2))
    shared = jax.jit(jax.vmap(lambda x: convolve(x, kernels[0], way=way)))(x)
    own = jax.jit(jax.vmap(lambda x, kernel: convolve(x, kernel, way=way)))(x, kernels)
    for lane in range(3):
        assert off(shared[lane], plain(x[lane], kernels[0], "SAME")) < winograd.ERROR["float32"]
        assert off(own[lane], plain(x[lane], kernels[lane], "SAME")) < winograd.ERROR["float32"]


@pytest.mark.parametrize("way", OF_SEVERAL)
@pytest.mark.parametrize(
    ("padding", "numpy_mode"), [("zeros", "constant"), ("replicate", "edge"), ("reflect", "reflect"), ("wrap", "wrap")]
)
def test_what_lies_beyond_the_border(way, padding, numpy_mode):
    x, kernel = arrays((2, 6, 9, 3), (3, 3, 3, 4))
    padded = jnp.asarray(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), numpy_mode))
    found = jax.jit(functools.partial(convolve, padding=padding, way=way))(x, kernel)
    assert off(found, plain(padded, kernel)) < winograd.ERROR["float32"]


def test_one_pixel_cannot_be_reflected_but_can_be_padded_otherwise():
    x, kernel = arrays((1, 1, 1, 3), (3, 3, 3, 2))
    for padding in ("zeros", "replicate", "wrap"):
        assert np.isfinite(convolve(x, kernel, padding)).all()


def test_the_choice():
    assert fastest_on_cpu(384, 512, 128, 128, "float32") == "winograd"
    assert fastest_on_cpu(384, 512, 3, 64, "float32") == "xla"
    assert fastest_on_cpu(384, 512, 3, 16, "float32") == "strides"
    assert fastest_on_cpu(12, 16, 128, 128, "float32") == "xla"
    assert fastest_on_cpu(384, 512, 128, 128, "bfloat16") == "winograd"
    assert fastest_on_cpu(384, 512, 64, 64, "bfloat16") == "winograd"
    assert fastest_on_cpu(384, 512, 64, 64, "float32") == fastest_on_cpu(384, 512, 3, 16, "bfloat16") == "xla"
    assert fastest_on_cpu(384, 512, 128, 128, "float64") == "xla"
    for layer in ((128, 128, "float32"), (3, 16, "float32"), (64, 64, "bfloat16"), (3, 64, "float32")):
        assert way_of("cpu", (384, 512), *layer) == fastest_on_cpu(384, 512, *layer)
        assert way_of("xla", (384, 512), *layer) == "xla"
        assert way_of("tpu", (384, 512), *layer) == "bands"


def test_unknown_ways_paddings_and_lowerings_are_refused():
    x, kernel = arrays((1, 4, 4, 3), (3, 3, 3, 2))
    with pytest.raises(NSTError, match="unknown way of a convolution 'fft': choose one of xla, winograd, strides"):
        convolve(x, kernel, way="fft")
    for padding in ("mirror", "replicate-first"):  # which is for a network, and not for one convolution
        with pytest.raises(NSTError, match=f"unknown padding '{padding}': choose one of zeros, replicate, reflect, w"):
            convolve(x, kernel, padding)
    with pytest.raises(NSTError, match="unknown lowering 'gpu': choose one of xla, cpu, tpu"):
        way_of("gpu", (384, 512), 128, 128, "float32")
