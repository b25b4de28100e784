"""In which precision a network is run: what a wish allows, on a machine that gains by bfloat16 or does not."""

from __future__ import annotations

from nst_jax import layers
from nst_jax.choices import Precision, PrecisionWish

#: The channels of the widest layer from which on a network gains by bfloat16 on a CPU that does at all.
WIDE = 256


def gains(network: str, platform: str, processor_gains: bool) -> bool:
    """Whether a network is faster in bfloat16: on an accelerator; on a CPU where it does, if the network is wide."""
    wide = max(row.channels for row in layers.table(network)) >= WIDE
    return platform != "cpu" or (wide and processor_gains)


def precisions_of(wish: PrecisionWish, faster_in_bfloat16: bool) -> tuple[Precision, ...]:
    """What a wish allows, the fastest first: for "auto" bfloat16 is always the last, as it takes less memory."""
    if wish != "auto":
        return (wish,)
    return ("bfloat16",) if faster_in_bfloat16 else ("float32", "bfloat16")
