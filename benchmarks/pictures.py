"""Where the benchmarks find real pictures and weights. Imports no JAX: a PyTorch process need not wait for it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from nst_jax.errors import NSTError
from nst_jax.networks.weights import Weights
from nst_jax.networks.weights_file import choose_weights
from nst_jax.pictures.images import load_image

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


def path_of(role: str, name: str) -> Path:
    """A picture's file: ``name`` itself where there is such a file, else the one of that name in ``folder()``.

    ``role`` is "content" or "style". Raises NSTError where there is neither.
    """
    if Path(name).is_file():
        return Path(name).resolve()  # for a process in another folder
    path = folder() / "images" / role / f"{name}.jpg"
    if not path.is_file():
        raise NSTError(f"{name} is no file, and there is no {path}: give --{role} a picture")
    return path


def pictures(content: str, style: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph and a painting by name or file, each [H, W, 3] in [0, 1] with its longest side ``size``.

    As in a run of the default preset, the photograph is enlarged where it is smaller, the painting never.
    """
    return (
        load_image(path_of("content", content), longest_side=size, enlarge=True).pixels,
        load_image(path_of("style", style), longest_side=size, enlarge=False).pixels,
    )


def weights_of(network: str, options: argparse.Namespace) -> Weights:
    """The weights that ``--weights`` and ``--random`` ask for; without them, those that are installed."""
    if options.random:
        from nst_jax.networks.vgg import random_weights  # not above: it loads JAX

        return random_weights(network)
    return choose_weights(network, options.weights)


def add_pair(parser: argparse.ArgumentParser) -> None:
    """``--content`` and ``--style``."""
    for role, name in zip(("content", "style"), PAIRS[0], strict=True):
        parser.add_argument(f"--{role}", default=name, help=f"a file, or a name in shared/images/{role}; {name}")


def add_weights(parser: argparse.ArgumentParser) -> None:
    """``--weights`` and ``--random``."""
    parser.add_argument("--weights", help="a converted file; default: the one in the user's weights folder")
    parser.add_argument("--random", action="store_true", help="random filters: for a trial without weights")
