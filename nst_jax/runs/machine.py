"""The machine that a run is on: what is decided by its device, once, and handed to all that need it.

Nothing deeper asks JAX where it is. So a program can also be made for a device that is not there.
"""

from __future__ import annotations

import dataclasses
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp

from nst_jax import limits
from nst_jax.choices import Lowering, Precision, PrecisionWish
from nst_jax.errors import NSTError
from nst_jax.networks import precision
from nst_jax.pictures.threads import usable_cores

#: The most steps in one program where it runs on an accelerator, between two looks of the host.
CHUNK = 50
#: What of the environment tells JAX which kind of device to take.
PLATFORM_VARIABLES = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
#: The packages by which JAX finds NVIDIA's GPUs.
CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")


@dataclasses.dataclass(frozen=True)
class Machine:
    """What decides how a run is computed.

    Attributes:
      platform: "cpu", "gpu" or "tpu".
      gains_by_bfloat16: whether a CPU multiplies bfloat16 faster than float32; accelerators do.
      free: bytes of memory that the device has free.
      devices: those that lanes are spread over; a single run takes the first.
      shards: those that share the rows of a single picture; () where it is on the first alone.
      cores: of a CPU, those that this process may take, by which it parts its sums; 0 of others.
    """

    platform: str
    gains_by_bfloat16: bool = False
    free: int = 0
    devices: tuple[jax.Device, ...] = ()
    cores: int = 0
    shards: tuple[jax.Device, ...] = ()

    @property
    def lowering(self) -> Lowering:
        """How convolutions are done."""
        return "cpu" if self.platform == "cpu" else "tpu" if self.platform == "tpu" else "xla"

    @property
    def chunk(self) -> int:
        """The most steps in one program. On a CPU a step takes longer than a look of the host, so it is one."""
        return 1 if self.platform == "cpu" else CHUNK

    def at_once(self, network: str) -> int:
        """How many tiles are in work at once: on a CPU two, where one of a narrow network leaves cores idle."""
        idle = self.cores > 1 and not precision.is_wide(network)
        return 2 if self.platform == "cpu" and idle and not self.shards else 1

    def precisions(self, wish: PrecisionWish, network: str) -> tuple[Precision, ...]:
        """What a wish allows for a network, the fastest first."""
        return precision.precisions_of(wish, precision.gains(network, self.platform, self.gains_by_bfloat16))

    def words(self) -> dict[str, object]:
        """Platform, kind and count of the devices, for a report."""
        kind = self.devices[0].device_kind if self.devices else self.platform
        told = {"platform": self.platform, "kind": kind, "count": len(self.devices)}
        return told | ({"shards": len(self.shards)} if self.shards else {})


def here(shared: int | Literal["all"] = 1, of_all: bool = False) -> Machine:
    """The machine of JAX's default device, as it is now: ``jax.default_device`` is honoured.

    A single picture's rows lie on so many ``shared`` devices. Where JAX has several processes they are all of them.
    With ``of_all`` its ``free`` is all the memory that there is: so plans do not depend on what else runs.

    Raises NSTError where JAX finds no device of the kind that the environment asks for, or not so many.
    """
    try:
        with jax.ensure_compile_time_eval():  # also while something is traced
            (device,) = jnp.zeros(()).devices()
    except (RuntimeError, AssertionError) as error:
        asked = [f"{name}={os.environ[name]}" for name in PLATFORM_VARIABLES if os.environ.get(name)]
        if not asked:
            raise NSTError(f"JAX finds no device: {' '.join(str(error).split()) or 'it says no more'}") from None
        raise NSTError(
            f"there is no device as {' and '.join(asked)} asks for, or JAX is not made for it: leave that out, give"
            " cpu, or install nst_jax with [cuda] or [tpu]"
        ) from None
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    devices = (device,) if chosen is not None else tuple(jax.local_devices(backend=device.platform))
    cores, free = usable_cores() if device.platform == "cpu" else 0, free_bytes(device, of_all)
    shards = sharing(devices, shared)
    if shards and device.platform == "cpu":  # they are one memory
        free //= len(devices) if jax.process_count() > 1 else len(shards)
    return Machine(device.platform, processor_gains_by_bfloat16(), free, devices, cores, shards)


def sharing(devices: tuple[jax.Device, ...], wanted: int | Literal["all"]) -> tuple[jax.Device, ...]:
    """Of a process's ``devices`` those that share a picture, or () for the first alone; of several processes all.

    Raises NSTError where there are not so many.
    """
    everywhere = tuple(jax.devices(devices[0].platform)) if jax.process_count() > 1 else devices
    if jax.process_count() > 1 and wanted not in (1, "all", len(everywhere)):
        raise NSTError(
            f"--devices is {wanted}, and {jax.process_count()} processes share their {len(everywhere)} devices: leave"
            " it out"
        )
    if wanted != "all" and wanted > len(everywhere):
        there = "there is one device" if len(everywhere) == 1 else f"there are {len(everywhere)} devices"
        raise NSTError(f"--devices is {wanted} and {there}: give a smaller number, or all")
    count = len(everywhere) if wanted == "all" or jax.process_count() > 1 else wanted
    return everywhere[:count] if count > 1 else ()


def visible_gpus() -> list[str]:
    """The GPUs of NVIDIA's that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; JAX is not asked.

    None where the environment asks for another kind of device, or JAX is not made for them.
    """
    asked = " ".join(os.environ.get(name, "") for name in PLATFORM_VARIABLES).strip()
    if (asked and not re.search("cuda|gpu", asked)) or not any(map(find_spec, CUDA_PLUGINS)):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def processor_gains_by_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32, as far as Linux tells: by AMX, on Arm, on AMD.

    Intel's AVX-512 alone has such products too, at some seven tenths of the speed of float32's.
    """
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    fast = "avx512_bf16|amx_bf16|bf16" if "AuthenticAMD" in told else "amx_bf16|bf16"
    return re.search(rf"\b({fast})\b", told) is not None


def free_bytes(device: jax.Device, of_all: bool = False) -> int:
    """Bytes that are free: on an accelerator, what its allocator has left; else what the system gives this process.

    With ``of_all`` it is what there is, whatever of it is free just now.
    """
    told = device.memory_stats() if device.platform != "cpu" else None
    if told and "bytes_limit" in told:
        return int(told["bytes_limit"] - (0 if of_all else told.get("bytes_in_use", 0)))
    return limits.whole_bytes() if of_all else limits.free_bytes()
