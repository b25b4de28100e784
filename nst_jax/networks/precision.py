"""In which precision a network is run: what a wish allows, on a machine that gains by bfloat16 or does not."""

from __future__ import annotations

from nst_jax import layers
from nst_jax.choices import PRECISION_WISHES, Precision, PrecisionWish, check_choice

#: The channels of the widest layer from which on products of large matrices are most of a network's work on a CPU.
WIDE = 256


def gains(network: str, platform: str, processor_gains: bool) -> bool:
    """Whether a network is faster in bfloat16: on an accelerator; on a CPU where it does, if the network is wide."""
    return platform != "cpu" or (is_wide(network) and processor_gains)


def is_wide(network: str) -> bool:
    """Whether products of large matrices are most of its work: where bfloat16 is fast, a CPU then gains by it."""
    return max(row.channels for row in layers.table(network)) >= WIDE


def precisions_of(wish: PrecisionWish, faster_in_bfloat16: bool) -> tuple[Precision, ...]:
    """What a wish allows, the fastest first: for "auto" bfloat16 is always the last, as it takes less memory.

    Raises NSTError for an unknown wish.
    """
    check_choice("precision", wish, PRECISION_WISHES)
    if wish != "auto":
        return (wish,)
    return ("bfloat16",) if faster_in_bfloat16 else ("float32", "bfloat16")
