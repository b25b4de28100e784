import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nst_jax.errors import NSTError
from nst_jax.networks.pooling import pool

SIZES = [(2, 4, 6, 3), (1, 7, 5, 2), (6, 9, 1), (2, 2, 3, 4, 5)]


def numbers(shape, kind):
    generator = np.random.default_rng(0)
    if kind == "ties":  # few values, so that many windows have their maximum more than once
        return jnp.asarray(generator.integers(0, 2, shape), jnp.float32)
    return jnp.asarray(generator.normal(size=shape), kind)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "ties"])
@pytest.mark.parametrize("shape", SIZES)
def test_the_maximum_and_its_gradient_are_flaxs(shape, kind):
    x = numbers(shape, kind)
    factors = numbers((*shape[:-3], shape[-3] // 2, shape[-2] // 2, shape[-1]), "float32")

    def weighed(pooled):
        return lambda x: (factors * pooled(x)).sum()

    def flax(x):
        return nn.max_pool(x, (2, 2), (2, 2))

    np.testing.assert_array_equal(pool(x, "max"), flax(x))
    found, expected = (jax.grad(weighed(pooled))(x) for pooled in (lambda x: pool(x, "max"), flax))
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SIZES)
def test_the_mean_and_its_gradient_are_flaxs(shape, kind):
    x = numbers(shape, kind)
    factors = numbers((*shape[:-3], shape[-3] // 2, shape[-2] // 2, shape[-1]), "float32")
    step = 2.0**-7 if kind == "bfloat16" else 2.0**-22

    def weighed(pooled):
        return lambda x: (factors * pooled(x)).sum()

    def flax(x):
        return nn.avg_pool(x, (2, 2), (2, 2))

    assert pool(x, "avg").dtype == x.dtype
    np.testing.assert_allclose(pool(x, "avg").astype("f4"), flax(x).astype("f4"), rtol=step, atol=4 * step)
    found, expected = (jax.grad(weighed(pooled))(x) for pooled in (lambda x: pool(x, "avg"), flax))
    assert found.dtype == x.dtype
    np.testing.assert_allclose(found.astype("f4"), expected.astype("f4"), rtol=step, atol=1e-9)


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_the_gradient_of_a_batch_of_networks_is_that_of_each(pooling):
    x = numbers((3, 2, 4, 6, 2), "float32")
    gradient = jax.grad(lambda x: (pool(x, pooling) ** 2).sum())
    np.testing.assert_array_equal(jax.vmap(gradient)(x), jnp.stack([gradient(each) for each in x]))


@pytest.mark.parametrize("pooling", ["median", "mean", ""])
def test_an_unknown_pooling_is_refused(pooling):
    with pytest.raises(NSTError, match=f"unknown pooling '{pooling}': choose one of avg, max"):
        pool(numbers((4, 4, 2), "float32"), pooling)
