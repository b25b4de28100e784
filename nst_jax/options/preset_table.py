"""The presets: what each changes of the defaults in ``config``. Plain data; ``config.preset`` makes options of it."""

from __future__ import annotations

import math
import os

#: The style layers of the 2015 paper.
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")

#: The layer weights 1000/N² of the code of the 2016 paper's authors, and those of Crowson's tool.
_BY_WIDTH = tuple(
    f"{tap}:{1000 / width**2:g}" for tap, width in zip(STYLE_LAYERS, (64, 128, 256, 512, 512), strict=True)
)
_SHALLOW = tuple(f"{tap}:{share / 341:.6g}" for tap, share in zip(STYLE_LAYERS, (256, 64, 16, 4, 1), strict=True))

#: Neither paper says what is beyond the border, and both codes have zeros; both compare the style at one size.
#: Where a total variation is asked for, it is the usual one.
_PAPER: dict[str, object] = {"padding": "zeros", "style_octaves": 1, "tv_chroma": 1.0}

#: What both of Crowson's style losses have in common.
_CROWSON: dict[str, object] = {
    "content_weight": 0.015,
    "style_weight": 1.0,
    "tv_weight": 2.0,
    "style_layers": _SHALLOW,
    "optimizer": "adam",
    "averaging": 0.99,
    "init": "content",
    "pooling": "max",
    "padding": "replicate-first",
    "tv_kind": "neighbours",
    "style_octaves": 1,
    "tv_chroma": 1.0,
    "pixel_range": "bounded",
    "scale_factor": math.sqrt(2),
    "coarsest": 128,
    "coarse_steps": (1000, 500),
    "steps": 500,
}

#: What each preset changes of what the fields of ``Config`` say. The choices are explained in docs/paper.md and
#: docs/quality.md.
PRESET_CHANGES: dict[str, dict[str, object]] = {
    # The style as a distribution, from the photograph in the painting's colours, whose detail is given back at each of
    # many sizes.
    "default": {
        "loss": "wasserstein",
        "style_layers": _SHALLOW,
        "tv_kind": "neighbours",
        "tv_excess": 0.02,
        "init": "palette",
        "detail": 1.0,
        "content_colors": "painting",
        "steps": 20,
    },
    # What the default was in version 0.1: Gram matrices without units, at two sizes of the picture.
    "nst_jax-0.1": {},
    # Gatys, Ecker and Bethge 2015: white noise, average pooling, five layers of weight 1/5, the losses of equations
    # 1 to 5. The ratio 1e-3 is one of the paper's own; the paper used gradient descent, its 2016 version L-BFGS.
    "gatys2015": {
        "loss": "gatys2015",
        "content_weight": 1e-3,
        "style_weight": 1.0,
        "tv_weight": 0.0,
        "init": "noise",
        "steps": 500,
        "scales": 1,
        "pooling": "avg",
        **_PAPER,
    },
    # The PyTorch code of the authors of the 2016 paper: mean squared errors, max pooling, 1000/N² per style layer.
    "gatys2016": {
        "loss": "gatys2016",
        "content_weight": 1.0,
        "style_weight": 1.0,
        "tv_weight": 0.0,
        "style_layers": _BY_WIDTH,
        "init": "content",
        "pooling": "max",
        "steps": 500,
        "scales": 1,
        **_PAPER,
    },
    # Crowson's style-transfer-pytorch as it is since May 2023: the style as a distribution, Adam with averaged
    # iterates, sizes from 128 on in steps of √2, style layers weighted towards the shallow ones.
    "crowson": {"loss": "wasserstein", "second_decay": 0.99, **_CROWSON},
    # The same as it was before: Gram matrices, the style loss divided by the mean difference.
    "crowson-gram": {"loss": "crowson", **_CROWSON},
    # Galerne, Raad, Lezama and Morel 2024 (spst-fast): the 2016 losses with means and deviations, sizes halved down to
    # 512 to 1023, 600 steps at the coarsest and a third as many at each that follows.
    "spst": {
        "loss": "gatys2016",
        "content_weight": 1.0,
        "style_weight": 1.0,
        "tv_weight": 0.0,
        "style_layers": _BY_WIDTH,
        "moments": 10.0,
        "init": "content",
        "pooling": "max",
        "coarsest": 512,
        "coarse_steps": (600, 200, 67, 30),
        "steps": None,
        **_PAPER,
    },
}


def is_preset_file(name: str) -> bool:
    """Whether a preset's name is that of a file: no other preset's, and either of a file that is there or of TOML."""
    return name not in PRESET_CHANGES and (name.endswith(".toml") or os.path.isfile(name))
