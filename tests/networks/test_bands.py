"""Pictures in bands of rows, as a TPU takes them, against the picture in one piece; and what else a TPU does apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import random_filters

from nst_jax.losses import formulas, parts
from nst_jax.networks import bands, pooling, vgg
from nst_jax.networks.bands import BEYOND
from nst_jax.networks.convolution import convolve
from nst_jax.optim import lbfgs

PADDINGS = ("zeros", *BEYOND)


def numbers(*shape, kind="float32"):
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), kind)


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_picture_in_bands_is_convolved_as_in_one_piece(padding):
    number = 4
    x, kernel, weights = numbers(1, 16, 7, 3), numbers(3, 3, 3, 5), numbers(1, 16, 7, 5)

    def whole(x, kernel):
        return jnp.sum(weights * convolve(x, kernel, padding))

    def parted(x, kernel):
        found = convolve(bands.apart(x, number), kernel, padding, "bands")
        assert found.shape == (number, 16 // number, 7, 5)
        return jnp.sum(weights * bands.together(found, number))

    for found, expected in zip(
        jax.value_and_grad(parted, (0, 1))(x, kernel)[1], jax.value_and_grad(whole, (0, 1))(x, kernel)[1], strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(parted(x, kernel), whole(x, kernel), rtol=1e-4)


def test_bands_are_as_many_as_a_tpu_takes_at_once_and_no_pooling_parts_a_pair_of_rows():
    assert [bands.number_of(1, height) for height in (384, 192, 196, 198, 385)] == [8, 8, 4, 2, 1]
    assert bands.number_of(2, 384) == 1  # several pictures fill the batch themselves
    x = numbers(1, 24, 6, 3)
    np.testing.assert_array_equal(bands.together(bands.apart(x, 4), 4), x)
    found, number = bands.pooled(bands.apart(x, 8), 8, lambda x: pooling.pool(x, "max"))
    assert number == 4
    np.testing.assert_array_equal(bands.together(found, number), pooling.pool(x, "max"))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("height", [8, 16, 32])
def test_a_band_never_has_a_single_row(height, padding):
    """Of which "reflect" would find no second one; down to the last row of a picture of such a height."""
    kernel, x = numbers(3, 3, 3, 3), numbers(1, height, 8, 3)
    number = bands.number_of(1, height)
    parted = bands.apart(x, number)
    while x.shape[1] > 2:
        x = pooling.pool(convolve(x, kernel, padding), "avg")
        parted, number = bands.pooled(
            convolve(parted, kernel, padding, "bands"), number, lambda each: pooling.pool(each, "avg")
        )
        assert parted.shape[1] > 1
        np.testing.assert_allclose(bands.together(parted, number), x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("pool", "remat"), [("avg", False), ("max", True)])
def test_a_networks_responses_in_bands_are_those_in_one_piece(tiny, pool, remat):
    image, taps = numbers(24, 11, 3), ("conv1_1", "pool2")

    def squares(net):
        return lambda image: sum(jnp.sum(each**2) for each in vgg.responses(net, image, taps).values())

    found, expected = (
        jax.value_and_grad(squares(vgg.network(random_filters(tiny), pool, lowering=way, remat=remat)))(image)
        for way in ("tpu", "xla")
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-4 * float(jnp.abs(expected[1]).max()))


def test_means_of_windows_and_their_gradients_are_those_of_blocks():
    image, slope = numbers(6, 8, 3), numbers(3, 4, 3)
    np.testing.assert_allclose(pooling.windows(image, step=2) / 4, parts.halved(image), rtol=1e-5, atol=1e-6)
    (expected,) = jax.vjp(parts.halved, image)[1](slope)
    np.testing.assert_allclose(pooling.windows(slope / 4, apart=2), expected, rtol=1e-6)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_only_a_cpu_makes_a_copy_of_responses_in_float32(platform):
    """XLA's text of the Gram matrix and its gradient, for devices that are not there."""
    responses = jax.ShapeDtypeStruct((4, 6, 8), jnp.bfloat16)
    both = jax.jit(jax.value_and_grad(lambda rows: jnp.sum(formulas.correlations(rows) ** 2)))
    text = both.trace(responses).lower(lowering_platforms=(platform,)).as_text()
    assert ("tensor<24x8xf32>" in text) == (platform == "cpu")


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_a_tpu_flattens_an_image_without_a_row_of_three_values(platform):
    flat = jax.jit(lbfgs.flat).trace(jax.ShapeDtypeStruct((4, 6, 3), jnp.float32))
    text = flat.lower(lowering_platforms=(platform,)).as_text()
    assert ("tensor<4x3x6xf32>" in text) == (platform == "tpu")
    image = numbers(4, 6, 3)
    np.testing.assert_array_equal(lbfgs.shaped(lbfgs.flat(image), image.shape), image)
    np.testing.assert_array_equal(lbfgs.by_channels_back(lbfgs.by_channels(image), image.shape), image)
