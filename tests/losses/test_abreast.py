"""Parts in work at once: in order, no more than asked for, by this thread's settings, and errors come through."""

import threading
import time

import jax
import jax.numpy as jnp
import pytest

from nst_jax.losses.abreast import in_order
from nst_jax.runs.compiling import compile_seconds


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_what_is_found_comes_in_order_and_no_more_are_in_work(at_once):
    lock, working, most, begun = threading.Lock(), set(), [0], []

    def find(part):
        with lock:
            working.add(part)
            begun.append(part)
            most[0] = max(most[0], len(working))
        time.sleep(0.02 * (part % 3))
        with lock:
            working.remove(part)
        return jnp.float32(part)

    ahead = 0
    for number, found in enumerate(in_order(find, range(12), at_once)):
        assert float(found) == number
        ahead = max(ahead, len(begun) - number - 1)
    assert most[0] == at_once
    assert ahead <= at_once


def test_one_part_needs_no_thread():
    assert list(in_order(lambda _: threading.current_thread(), [0], 2)) == [threading.current_thread()]


def test_a_part_that_fails_ends_it_at_once():
    begun = []

    def find(part):
        begun.append(part)
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        list(in_order(find, range(100), 2))
    assert len(begun) <= 4


def test_who_stops_taking_ends_it():
    begun = []
    found = in_order(begun.append, range(100), 2)
    next(found)
    found.close()
    time.sleep(0.05)
    assert len(begun) <= 4


def test_the_threads_have_the_settings_of_this_one():
    def find(_):
        (device,) = jnp.zeros(2).devices()
        return jnp.asarray(1 / 3).dtype, jax.config.jax_default_matmul_precision, device

    device = jax.devices("cpu")[-1]
    with jax.enable_x64(True), jax.default_matmul_precision("float32"):
        assert list(in_order(find, range(3), 2, device)) == [(jnp.float64, "float32", device)] * 3
    usual = jnp.asarray(1 / 3).dtype, jax.config.jax_default_matmul_precision, jax.devices()[0]
    assert list(in_order(find, range(3), 2)) == [usual] * 3


def test_what_the_threads_compile_is_this_ones():
    before = compile_seconds()
    list(in_order(jax.jit(lambda part: part * 3 + jnp.float32(2)), [jnp.float32(1), jnp.float32(2)], 2))
    assert compile_seconds() > before
