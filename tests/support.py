"""What tests make: small networks' filters and small pictures; and what they count: programs compiled."""

import jax.monitoring
import numpy as np

from nst_jax.networks.vgg import random_weights
from nst_jax.networks.weights import CAFFE, Weights
from nst_jax.pictures.images import resize

#: The real networks' widths, and those of the small ones that take their place.
NARROW = {3: 3, 64: 4, 128: 5, 256: 6, 512: 7}


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
