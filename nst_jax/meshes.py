"""Arrays on several devices: the mesh, how an array comes onto it, and how it comes back to each process."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

#: The axis of a mesh along which the rows of a picture lie.
AXIS = "rows"


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
    """The mesh of some devices, in their order."""
    return Mesh(np.asarray(devices), (AXIS,))


def on_mesh(array: np.ndarray, sharding: jax.sharding.Sharding) -> Array:
    """An array on devices, each of which takes its part; of several processes each puts what its own devices hold."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def everywhere(arrays: Sequence[np.ndarray], mesh: Mesh) -> list[Array]:
    """Arrays of which each device has all; of several processes those of the first.

    Numbers that decide what comes next must be the same everywhere to the last bit; other processors round otherwise.
    """
    if jax.process_count() > 1 and arrays:
        packed = np.frombuffer(b"".join(array.tobytes() for array in arrays), np.uint8)
        told, start = np.asarray(multihost_utils.broadcast_one_to_all(packed), np.uint8), 0
        first = []
        for array in arrays:
            first.append(told[start : start + array.nbytes].copy().view(array.dtype).reshape(array.shape))
            start += array.nbytes
        arrays = first
    return [on_mesh(array, NamedSharding(mesh, PartitionSpec())) for array in arrays]


def whole(array: Array | np.ndarray) -> np.ndarray:
    """An array from devices, also from those of other processes: then all of them must ask for it, in turn.

    Each device's part goes to all by itself, so none needs room for the whole.
    """
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    sharding = array.sharding
    assert isinstance(sharding, NamedSharding), "it has been laid on a mesh"
    axis, count = tuple(sharding.spec).index(AXIS), sharding.mesh.size
    return np.concatenate([np.asarray(_from(device, sharding, array)) for device in range(count)], axis)


@functools.partial(jax.jit, static_argnums=1)
def _from(device: int, sharding: NamedSharding, array: Array) -> Array:
    """The part of one device, everywhere; bits are added to bits 0, of which none changes."""

    def on_device(device: Array, part: Array) -> Array:
        bits = jax.lax.bitcast_convert_type(part, f"uint{8 * part.dtype.itemsize}")
        own = jax.lax.psum(jnp.where(jax.lax.axis_index(AXIS) == device, bits, 0), AXIS)
        return jax.lax.bitcast_convert_type(own, part.dtype)

    specs = PartitionSpec(), sharding.spec
    mapped = jax.shard_map(on_device, mesh=sharding.mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)
    found: Array = mapped(jnp.int32(device), array)
    return found
