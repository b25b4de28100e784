"""Devices for which the compiler can be asked although they are not there: their figures, and how they are named.

XLA compiles for a TPU by libtpu alone, and for a GPU of NVIDIA's by JAX's plugin and NVIDIA's compiler; neither needs
the device. Each target is asked in a process of its own, with the environment that its compiler wants.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Chip:
    """A kind of device, with what its maker says of it.

    Attributes:
      name: on the command line.
      platform: "tpu", or "gpu" for NVIDIA's.
      flops: most operations on bfloat16 a second.
      bandwidth: bytes a second between the device and its memory.
      memory: bytes.
      version: of a TPU, as libtpu names its topologies.
      kind: of a TPU, as libtpu names the machine that it is in.
    """

    name: str
    platform: Literal["gpu", "tpu"]
    flops: float
    bandwidth: float
    memory: int
    version: str = ""
    kind: str = ""


CHIPS = (
    Chip("h100", "gpu", 989e12, 3.352e12, 84929347584),
    Chip("v5e", "tpu", 197e12, 819e9, 16 << 30, "v5e", "v5litepod"),
    Chip("v6e", "tpu", 918e12, 1640e9, 32 << 30, "v6e", "v6e"),
)

#: What each platform's compiler comes in: the modules by which it is found, and how they are installed.
WHEELS = {
    "tpu": (("libtpu",), "pip install 'jax[tpu]'"),
    "gpu": (
        ("jax_plugins.xla_cuda12", "nvidia.cuda_nvcc"),
        "pip install --no-deps jax-cuda12-plugin jax-cuda12-pjrt nvidia-cuda-nvcc-cu12",
    ),
}

#: An H100 of 80 GB as XLA's ``GpuTargetConfigProto`` has it.
H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  memory_bandwidth: 3352320000000
  device_memory_size: 84929347584
  l2_cache_size: 52428800
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
"""


@dataclasses.dataclass(frozen=True)
class Target:
    """So many devices of a kind."""

    chip: Chip
    devices: int = 1

    @property
    def name(self) -> str:
        """As the command line has it: ``v5e`` or ``v5e:16``."""
        return self.chip.name if self.devices == 1 else f"{self.chip.name}:{self.devices}"

    def missing(self) -> str:
        """Which wheels are not installed, in words; "" where all are there."""
        modules, command = WHEELS[self.chip.platform]
        absent = [module for module in modules if not _is_there(module)]
        return f"{', '.join(absent)} not installed: {command}, of the version of jax" if absent else ""

    def environment(self) -> dict[str, str]:
        """The variables with which a process can compile for it."""
        if self.chip.platform == "tpu":
            return {
                "JAX_PLATFORMS": "cpu",
                "TPU_SKIP_MDS_QUERY": "1",
                "TPU_ACCELERATOR_TYPE": f"{self.chip.kind}-{max(4, self.devices)}",
                "TPU_WORKER_HOSTNAMES": "localhost",
                "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            }
        return {
            "JAX_PLATFORMS": "cpu",
            "CUDA_VISIBLE_DEVICES": "-1",
            "XLA_FLAGS": "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false",
            "PATH": f"{_nvcc()}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    def topology(self) -> list[Any]:
        """Its devices, in a process that has its ``environment``."""
        from jax.experimental import topologies

        if self.chip.platform == "tpu":
            side = 2 ** math.ceil(math.log2(max(4, self.devices)) / 2)
            other = max(4, self.devices) // side
            name = f"{self.chip.version}:{other}x{side}"
            return list(topologies.get_topology_desc(platform="tpu", topology_name=name).devices)[: self.devices]
        _answer_cuda()
        made = topologies.get_topology_desc(platform="cuda", target_config=H100, topology=f"1x1x{self.devices}")
        return list(made.devices)


def target_of(name: str) -> Target:
    """The target that a name such as ``v5e:16`` stands for. Raises SystemExit, in one line, for another name."""
    chip, several, devices = name.partition(":")
    found = {each.name: each for each in CHIPS}
    count = 1 if not several else int(devices) if devices.isdecimal() else 0
    if chip not in found or count < 1 or (found[chip].platform == "tpu" and count & (count - 1)):
        raise SystemExit(
            f"{name!r} is no target: give {', '.join(found)}, with :N for so many devices, of TPUs a power of two"
        )
    return Target(found[chip], count)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


def _nvcc() -> str:
    """The folder of NVIDIA's compiler within its wheel."""
    folders = (Path(folder) / "nvidia" / "cuda_nvcc" / "bin" for folder in sys.path)
    return next((str(folder) for folder in folders if folder.is_dir()), "")


def _answer_cuda() -> None:
    """Has JAX take "gpu" for "cuda" although no GPU is there, where it would say that it knows none (jax #23971)."""
    from jax._src import xla_bridge

    before = xla_bridge.canonicalize_platform

    def platform(name: str) -> str:
        try:
            return before(name)
        except RuntimeError:
            return "cuda"

    xla_bridge.canonicalize_platform = platform
