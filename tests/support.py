"""What tests make: small networks' filters, small pictures and numbers, the usual objective; and what they count."""

import functools
import subprocess

import jax.monitoring
import jax.numpy as jnp
import numpy as np

from nst_jax import layers
from nst_jax.losses.objective import objective
from nst_jax.losses.pixels import Smoothness
from nst_jax.losses.statistics import blended, style_targets
from nst_jax.losses.style import Style
from nst_jax.losses.terms import Content
from nst_jax.networks import vgg
from nst_jax.networks.vgg import random_weights
from nst_jax.networks.weights import CAFFE, Weights
from nst_jax.options.config import Config
from nst_jax.pictures.images import resize

#: The real networks' widths, and those of the small ones that take their place.
NARROW = {3: 3, 64: 4, 128: 5, 256: 6, 512: 7}
#: The rows of the network ``tiny``: three convolutions and two poolings.
TINY = (
    layers.Layer("conv1_1", "conv", 3, 4),
    layers.Layer("conv1_2", "conv", 4, 6),
    layers.Layer("pool1", "pool", 6, 6),
    layers.Layer("conv2_1", "conv", 6, 5),
    layers.Layer("pool2", "pool", 5, 5),
)

#: Options whose defaults are the former ones, of Gram matrices: quick, and each at its plainest.
simple_config = functools.partial(Config, "nst_jax-0.1")

#: ``vgg.network`` as a run on a CPU has it: the few channels of small networks go by strides, wide ones by tiles.
network = functools.partial(vgg.network, lowering="cpu")


def random_filters(network, seed=0, preprocessing=CAFFE):
    """Random filters with biases that matter and, if not told otherwise, the original preprocessing."""
    arrays = random_weights(network, seed).arrays
    generator = np.random.default_rng(seed + 1)
    for parts in arrays.values():
        parts["bias"] = generator.normal(0.1, 0.3, parts["bias"].shape).astype("f4")
    arrays["conv1_1"]["kernel"] /= np.float32(preprocessing.range)
    return Weights(network, arrays, preprocessing, {"source": "random"})


def smooth_picture(height, width, seed):
    """[height, width, 3] float32 in [0, 1], NumPy, with large shapes and some grain."""
    generator = np.random.default_rng(seed)
    coarse = resize(generator.uniform(size=(4, 5, 3)), height, width)
    grain = generator.uniform(-0.1, 0.1, size=(height, width, 3))
    return np.clip(coarse + grain, 0, 1).astype("f4")


def draw(*shape, seed=0):
    """Random numbers in float64, for loops."""
    return np.random.default_rng(seed).normal(size=shape)


def f4(x):
    """The same on the device, for the functions."""
    return jnp.asarray(x, jnp.float32)


def usual_objective(
    net,
    photograph,
    paintings,
    *,
    content_layers,
    style_layers,
    content_weight=1.0,
    style_weight=1.0,
    tv_weight=0.0,
    tv_chroma=1.0,
    convention="gatys2015",
    moments=0.0,
    octaves=1,
    blend=None,
):
    """Content, style and smoothness, from pictures [H, W, 3] as they are; ``blend`` weighs the paintings."""
    content = Content.of(net, photograph, content_layers, convention)
    means = moments > 0 or convention == "wasserstein"
    each = [style_targets(net, one, tuple(style_layers), means, octaves=octaves) for one in paintings]
    style = Style.of(net, blended(each, f4(blend or [1] * len(each))), style_layers, convention, moments)
    terms = [(content_weight, content), (style_weight, style), (tv_weight, Smoothness(jnp.float32(tv_chroma)))]
    return objective(net, terms, photograph.shape[:2])


def compiled_by(function):
    """How many programs a call compiles."""
    seen = []

    def listen(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            seen.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)  # the library's own stays
    return len(seen)


def signalled_after_a_step(words, number):
    """Runs a command line in a process of its own and sends it a signal after its first step: (status, stdout, stderr).

    What it has printed up to then is not in stderr.
    """
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("step "):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err
