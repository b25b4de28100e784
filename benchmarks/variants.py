"""What takes part in the comparisons: the one table of our own variants, and the one of PyTorch's. Plain Python."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from nst_jax.options.config import Config

#: Ours: what each changes in a ``Config``.
OURS: dict[str, dict[str, Any]] = {
    "jax-float32": {"precision": "float32"},
    "jax-bfloat16": {"precision": "bfloat16"},
}


class TorchVariant(NamedTuple):
    """How PyTorch runs: its memory layout (NCHW or channels-last), bf16 autocast, ``torch.compile``."""

    channels_last: bool = False
    bfloat16: bool = False
    compiled: bool = False


TORCH = {
    "torch-float32": TorchVariant(),
    "torch-float32-last": TorchVariant(channels_last=True),
    "torch-bf16": TorchVariant(bfloat16=True),
    "torch-bf16-last": TorchVariant(channels_last=True, bfloat16=True),
    "torch-float32-last-compiled": TorchVariant(channels_last=True, compiled=True),
    "torch-bf16-last-compiled": TorchVariant(channels_last=True, bfloat16=True, compiled=True),
}
#: PyTorch without reduced precision or compiler, in either layout; the better one is what others are measured by.
BASELINES = ("torch-float32", "torch-float32-last")


#: What a straightforward implementation computes, and every contender: the preset ``nst_jax-0.1``, but for these.
PLAIN: dict[str, Any] = {"preset": "nst_jax-0.1", "padding": "zeros", "style_octaves": 1, "tv_chroma": 1.0}


def plain(network: str, size: int) -> Config:
    """The options of the objective that contenders are compared on."""
    return Config(network=network, size=size, **PLAIN)


def ours(config: Config) -> dict[str, Config]:
    """Our variants of ``config``, by name."""
    return {name: dataclasses.replace(config, **changes) for name, changes in OURS.items()}


def float32(config: Config) -> Config:
    """``config`` in float32, whatever its own precision: what judges others is exact."""
    return ours(config)["jax-float32"]


def names() -> tuple[str, ...]:
    """All variants, ours first."""
    return (*OURS, *TORCH)
