"""Where the benchmarks find real pictures and weights, and what they note of the machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import jax.numpy as jnp

from nst_jax import objective
from nst_jax.config import Config
from nst_jax.images import load_image
from nst_jax.networks import Network
from nst_jax.runs import versions

#: Content and style pictures that every comparison uses, in this order.
PAIRS = (
    ("paper_neckarfront_tuebingen", "paper_starry_night_vangogh_1889"),
    ("lion", "hokusai_great_wave"),
    ("golden_gate", "paper_composition_vii_kandinsky_1913"),
    ("kodim07", "paper_der_schrei_munch_1893"),
    ("stata_center", "picabia_edtaonisl_1913"),
)


def folder() -> Path:
    """The folder with weights and pictures: ``$NST_JAX_SHARED``, or ``shared`` beside the project."""
    return Path(os.environ.get("NST_JAX_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def pictures(content: str, style: str, size: int):
    """A pair by name, each [H, W, 3] in [0, 1] with its longest side ``size`` (never enlarged)."""
    return tuple(
        load_image(folder() / "images" / role / f"{name}.jpg", longest_side=size).pixels
        for role, name in (("content", content), ("style", style))
    )


def objective_of(net: Network, photograph, painting, config: Config) -> objective.Objective:
    """The objective of two arrays [H, W, 3] as they are, with the layers, weights and constants of ``config``."""
    return objective.build(
        net,
        jnp.asarray(photograph),
        [jnp.asarray(painting)],
        content_layers=config.content_layer_weights,
        style_layers=config.style_layer_weights,
        content_weight=config.content_weight,
        style_weight=config.style_weight,
        tv_weight=config.tv_weight,
        convention=config.loss,
    )


def machine() -> dict[str, object]:
    """The processor, its cores, the system and the versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = named[0] if named else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform(), **versions()}
