"""The network against plain NumPy in float64, on small random filters; the real ones are in test_real.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import network, random_filters, smooth_picture

from nst_jax import layers
from nst_jax.choices import LOWERINGS
from nst_jax.errors import NSTError
from nst_jax.losses import statistics
from nst_jax.losses.formulas import gram
from nst_jax.networks import convolution, vgg
from nst_jax.networks.weights import CAFFE, TORCHVISION, Preprocessing
from nst_jax.options.config import Config

TAPS = ("conv1_1", "conv1_2", "pool1", "conv2_1", "pool2")
TAPS_19 = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("size", [(8, 8), (13, 10), (7, 15), (4, 4)])
def test_responses_equal_numpy(tiny, pooling, size, lowering):
    weights = random_filters(tiny)
    image = jnp.asarray(smooth_picture(*size, seed=3))
    found = vgg.features(vgg.network(weights, pooling, lowering=lowering), image, TAPS)
    expected = reference.responses(weights, image, "pool2", pooling)
    assert list(found) == list(TAPS)
    for tap in TAPS:
        assert found[tap].shape == expected[tap].shape
        assert expected[tap].max() > 0.1  # the comparison means something
        np.testing.assert_allclose(found[tap], expected[tap], rtol=1e-4, atol=1e-5 * expected[tap].max())


def test_responses_that_stand_for_wider_layers(stand_in):
    weights = random_filters(stand_in)
    net = network(weights)
    image = jnp.asarray(smooth_picture(9, 8, seed=1))
    expected = reference.responses(weights, image, "conv2_1")
    mapped = vgg.features(net, image, ["conv1_1", "conv2_1"])
    for tap, channels in (("conv1_1", 9), ("conv2_1", 11)):
        assert mapped[tap].shape[-1] == channels
        np.testing.assert_allclose(mapped[tap], expected[tap], rtol=1e-4, atol=1e-4)
        own = vgg.responses(net, image, [tap])[tap]
        np.testing.assert_allclose(own @ vgg.linear_map(net, tap), expected[tap], rtol=1e-4, atol=1e-4)
    with pytest.raises(NSTError, match="unknown layer 'conv1_2': the layers of stand-in are conv1_1 conv2_1"):
        vgg.features(net, image, ["conv1_2"])


@pytest.mark.slow
def test_whole_vgg_equals_numpy(narrow_vgg):
    weights = random_filters("vgg19")
    image = jnp.asarray(smooth_picture(37, 50, seed=3))
    taps = ("conv1_1", "conv2_2", "pool3", "conv4_2", "conv5_4", "pool5")
    found = vgg.features(network(weights), image, taps)
    expected = reference.responses(weights, image, "pool5")
    for tap in taps:
        np.testing.assert_allclose(found[tap], expected[tap], rtol=1e-4, atol=1e-4 * expected[tap].max())


@pytest.mark.parametrize(
    "preprocessing", [CAFFE, TORCHVISION, Preprocessing("BGR", 1.0, (0.1, 0.2, 0.3), (0.5, 2.0, 4.0))]
)
def test_preprocessing(tiny, preprocessing):
    image = jnp.asarray(smooth_picture(5, 6, seed=0))
    net = network(random_filters(tiny, preprocessing=preprocessing))
    expected = reference.preprocess(random_filters(tiny, preprocessing=preprocessing), image)
    found = vgg.preprocess(net, image)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_preprocessing_of_one_red_pixel(tiny):
    """By hand: red is the last channel of the original filters, 255 minus the mean of red."""
    net = network(random_filters(tiny, preprocessing=CAFFE))
    red = vgg.preprocess(net, jnp.array([[[1.0, 0, 0]]]))
    np.testing.assert_allclose(red[0, 0], [-103.939, -116.779, 255 - 123.68], rtol=1e-6)


def test_batched_equals_single_and_vmap(tiny):
    net = network(random_filters(tiny))
    batch = jnp.stack([jnp.asarray(smooth_picture(9, 12, seed)) for seed in range(3)])
    together = vgg.features(net, batch, ["conv2_1"])["conv2_1"]
    mapped = jax.vmap(lambda image: vgg.features(net, image, ["conv2_1"]))(batch)["conv2_1"]
    single = np.stack([vgg.features(net, image, ["conv2_1"])["conv2_1"] for image in batch])
    assert together.shape == (3, 4, 6, 5)
    np.testing.assert_allclose(together, single, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mapped, single, rtol=1e-5, atol=1e-5)


def test_nothing_runs_beyond_the_deepest_tap(tiny):
    net = network(random_filters(tiny))
    shallow = net.replace(params={"conv1_1": net.params["conv1_1"]})
    image = jnp.asarray(smooth_picture(8, 8, seed=0))
    assert vgg.features(shallow, image, ["conv1_1"])["conv1_1"].shape == (8, 8, 4)

    def convolutions(tap):
        return str(jax.make_jaxpr(lambda x: vgg.features(net, x, [tap]))(image)).count("conv_general_dilated[")

    assert [convolutions(tap) for tap in TAPS] == [1, 2, 2, 3, 3]


def test_taps_keep_network_order_and_may_be_any_iterable(tiny):
    net = network(random_filters(tiny))
    found = vgg.features(net, jnp.asarray(smooth_picture(8, 8, seed=0)), iter(["pool2", "conv1_1"]))
    assert list(found) == ["conv1_1", "pool2"]


def test_responses_are_rectified(tiny):
    net = network(random_filters(tiny))
    found = vgg.features(net, jnp.asarray(smooth_picture(8, 8, seed=0)), TAPS)
    assert all(float(response.min()) >= 0 for response in found.values())
    assert any((np.asarray(response) == 0).any() for response in found.values())


def test_network_is_a_pytree_that_recompiles_nothing(tiny):
    traces = []

    @jax.jit
    def total(net, image):
        traces.append(1)
        return vgg.features(net, image, ["pool2"])["pool2"].sum()

    image = jnp.asarray(smooth_picture(8, 8, seed=0))
    values = {float(total(network(random_filters(tiny, seed)), image)) for seed in range(3)}
    assert len(values) == 3
    assert len(traces) == 1
    total(network(random_filters(tiny), "max"), image)
    assert len(traces) == 2  # what is static


@pytest.mark.slow
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_gradients_equal_finite_differences(tiny, lowering):
    """Of a weighted sum of responses, along random directions; the differences are those of float64 NumPy."""
    weights = random_filters(tiny)
    image = jnp.asarray(smooth_picture(7, 9, seed=2))
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(1, 2, 5))
    for pooling in ("avg", "max"):
        net = vgg.network(weights, pooling, lowering=lowering)
        gradient = jax.grad(lambda x, net=net: (factors * vgg.features(net, x, ["pool2"])["pool2"]).sum())(image)
        for _ in range(3):
            direction = generator.normal(size=image.shape)
            expected = reference.slope(
                lambda x, p=pooling: (factors * reference.responses(weights, x, "pool2", p)["pool2"]).sum(),
                np.asarray(image, np.float64),
                direction,
            )
            np.testing.assert_allclose(np.vdot(gradient, direction), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_gradients_on_flat_images_are_finite(tiny, pooling, level):
    net = network(random_filters(tiny), pooling)
    flat = jnp.full((8, 8, 3), level)
    gradient = jax.grad(lambda x: sum(r.sum() for r in vgg.features(net, x, TAPS).values()))(flat)
    assert np.isfinite(gradient).all()


def test_unknown_layer(tiny):
    net = network(random_filters(tiny))
    with pytest.raises(NSTError, match="unknown layer 'conv9_1': the layers of tiny are conv1_1 conv1_2 pool1"):
        vgg.features(net, jnp.asarray(smooth_picture(8, 8, seed=0)), ["conv9_1"])


def test_random_weights_are_reproducible_and_keep_the_signal(narrow_vgg):
    first, again, other = (vgg.random_weights("vgg16", seed) for seed in (1, 1, 2))
    for name, parts in first.arrays.items():
        assert parts["kernel"].dtype == np.float32
        np.testing.assert_array_equal(parts["kernel"], again.arrays[name]["kernel"])
        assert (parts["kernel"] != other.arrays[name]["kernel"]).all()


def test_bfloat16_gives_float32_responses_close_to_its_own(tiny):
    weights = random_filters(tiny)
    image = jnp.asarray(smooth_picture(16, 20, seed=3))
    exact = vgg.features(network(weights), image, TAPS)
    found = vgg.features(network(weights, precision="bfloat16"), image, TAPS)
    for tap in TAPS:
        assert found[tap].dtype == jnp.float32
        error = jnp.linalg.norm(found[tap] - exact[tap]) / jnp.linalg.norm(exact[tap])
        assert 1e-5 < error < 0.02  # rounded to 8 bits, a few times over


def test_padding_reaches_every_layer(tiny):
    weights, image = random_filters(tiny), jnp.full((12, 12, 3), 0.6)
    flat = vgg.features(network(weights, padding="replicate"), image, TAPS)
    assert all(jnp.ptp(response, axis=(0, 1)).max() < 1e-5 for response in flat.values())
    bordered = vgg.features(network(weights), image, TAPS)
    assert all(jnp.ptp(response, axis=(0, 1)).max() > 0.1 for response in bordered.values())


def test_wrapped_responses_move_with_the_picture(tiny):
    net = network(random_filters(tiny), padding="wrap")
    image = jnp.asarray(smooth_picture(16, 20, seed=3))
    still, moved = (vgg.features(net, x, TAPS)["pool2"] for x in (image, jnp.roll(image, (4, 8), (0, 1))))
    np.testing.assert_allclose(moved, jnp.roll(still, (1, 2), (0, 1)), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_prepared_filters_give_what_the_kernels_give(precision):
    """The same responses and gradient, but for where the rounding of a filter falls."""
    net = network(vgg.random_weights("vgg19"), precision=precision)
    ready = vgg.prepared(net, TAPS_19, 64, 96)
    wide = {"conv2_2", "conv3_2", "conv3_3", "conv3_4"}
    assert set(ready.filters) == (wide | {"conv1_2"} if precision == "bfloat16" else wide)
    assert ready.filters["conv2_2"]["kernel"].shape == (36, 128, 128)
    assert ready.filters["conv2_2"]["kernel"].dtype == precision
    image = jnp.asarray(smooth_picture(64, 96, seed=5))

    @jax.jit
    def loss(net, image):
        seen = vgg.responses(net, image, TAPS_19)
        return sum(jnp.sum(response**2) for response in seen.values()), seen

    taken = jax.value_and_grad(loss, argnums=1, has_aux=True)
    ((_, plain), slope), ((_, found), our_slope) = taken(net, image), taken(ready, image)
    for tap in TAPS_19:
        assert found[tap].dtype == precision
        np.testing.assert_allclose(
            *(seen[tap].astype(jnp.float32) for seen in (found, plain)), rtol=1e-5, atol=1e-5 * float(plain[tap].max())
        )
    np.testing.assert_allclose(our_slope, slope, rtol=1e-5, atol=1e-5 * float(jnp.abs(slope).max()))


def test_what_is_computed_once_takes_xlas_convolutions(monkeypatch):
    """The same responses as by tiles, to their error; its filters are not transformed."""
    net = network(vgg.random_weights("vgg19"))
    image = jnp.asarray(smooth_picture(64, 96, seed=5))
    tiles = vgg.features(vgg.prepared(net, TAPS_19, 64, 96), image, TAPS_19)
    monkeypatch.setattr(convolution, "winograd", None)
    only = vgg.prepared(vgg.once(net), TAPS_19, 64, 96)
    assert only.filters == {}
    for tap, response in vgg.features(only, image, TAPS_19).items():
        np.testing.assert_allclose(response, tiles[tap], rtol=0, atol=1e-4 * float(response.max()))
    with pytest.raises(TypeError):
        vgg.features(net, image, TAPS_19)


def test_targets_are_computed_once(monkeypatch):
    monkeypatch.setattr(convolution, "winograd", None)
    net = network(vgg.random_weights("vgg19"))
    image = jnp.asarray(smooth_picture(60, 96, seed=6))
    assert set(statistics.content_targets(net, image, ("conv2_2",))) == {"conv2_2"}
    (found,) = statistics.style_targets(net, image, ("conv2_2",))
    assert found["conv2_2"].gram.shape == (128, 128)


def test_any_device_but_a_cpu_takes_xlas_convolutions():
    """So does a network of which nothing is told; nothing asks which device there is."""
    weights = vgg.random_weights("vgg19")
    for net in (vgg.network(weights), vgg.network(weights, lowering="xla")):
        ready = vgg.prepared(dataclasses.replace(net, precision="bfloat16"), TAPS_19, 64, 96)
        assert ready.filters == {}
        assert {leaf.dtype for leaf in jax.tree.leaves(ready.params)} == {jnp.dtype("bfloat16")}  # not at every step
        program = str(jax.make_jaxpr(lambda x, net=net: vgg.responses(net, x, TAPS_19))(jnp.zeros((64, 96, 3))))
        assert program.count("conv_general_dilated[") == 9
        assert "dot_general" not in program
    told = network(weights)
    program = str(jax.make_jaxpr(lambda x: vgg.responses(told, x, TAPS_19))(jnp.zeros((64, 96, 3))))
    assert program.count("dot_general") >= 4


def test_walk_tells_the_sizes_of_the_responses(tiny):
    image = jnp.asarray(smooth_picture(13, 10, seed=3))
    found = vgg.features(network(random_filters(tiny)), image, TAPS)
    walked = layers.walk(layers.until(tiny, TAPS), 13, 10)
    assert {row.name: (*size, row.channels) for row, size in walked} == {tap: each.shape for tap, each in found.items()}


REFUSED = {
    "pooling": ("median", "unknown pooling 'median': choose one of avg, max"),
    "padding": ("mirror", "unknown padding 'mirror': choose one of zeros, replicate, reflect, wrap, replicate-first"),
    "precision": ("half", "unknown precision 'half': choose one of float32, bfloat16"),
    "lowering": ("gpu", "unknown lowering 'gpu': choose one of xla, cpu, tpu"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("option", REFUSED)
def test_an_unknown_choice_is_refused(tiny, option):
    value, message = REFUSED[option]
    with pytest.raises(NSTError) as caught:
        vgg.network(random_filters(tiny), **{option: value})
    assert str(caught.value) == message


def test_auto_is_no_precision_of_a_network(tiny, unchecked):
    """What it stands for is decided before."""
    with pytest.raises(NSTError, match="unknown precision 'auto': choose one of float32, bfloat16"):
        vgg.network(random_filters(tiny), precision="auto")


# ---------------------------------------------------------------- responses computed again


def gradient(net, image, lanes=False):
    """Of a loss on all taps, for one image or for lanes."""

    def loss(net, image):
        return sum(jnp.sum(response**2) for response in vgg.responses(net, image, TAPS[:-1]).values())

    taken = jax.value_and_grad(loss, argnums=1)
    return jax.jit(jax.vmap(taken, in_axes=(None, 0)) if lanes else taken)(net, image)


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_responses_computed_again_give_the_same_numbers(tiny, precision, lanes):
    net = network(random_filters(tiny), precision=precision)
    image = jnp.stack([smooth_picture(12, 14, seed) for seed in range(3)] if lanes else smooth_picture(12, 14, 0))
    kept, again = (gradient(dataclasses.replace(net, remat=remat), image, lanes) for remat in (False, True))
    rounding = {"float32": 1e-5, "bfloat16": 1e-2}[precision]
    for one, other in zip(kept, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=rounding * float(jnp.abs(one).max()))


def test_responses_computed_again_take_less_memory():
    """By XLA's own account; ``jax.checkpoint`` saves nothing on a CPU."""
    net = network(vgg.random_weights("slim"))

    def needed(remat):
        def loss(image):
            seen = vgg.responses(dataclasses.replace(net, remat=remat), image, Config.style_layers)
            return sum(jnp.sum(gram(response) ** 2) for response in seen.values())

        step = jax.jit(jax.grad(loss)).lower(jnp.zeros((96, 128, 3)))
        return step.compile().memory_analysis().temp_size_in_bytes

    assert needed(True) < 0.8 * needed(False)
