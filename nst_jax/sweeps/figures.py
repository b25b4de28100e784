"""The figures of the papers as sweeps: which runs each one is, how they are laid out, and what the paper says of them.

"2015" is Gatys, Ecker and Bethge, *A Neural Algorithm of Artistic Style* (arXiv 1508.06576); "2016" its CVPR version;
"texture" their *Texture Synthesis Using Convolutional Neural Networks* (2015, arXiv 1505.07376). Plain Python.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nst_jax import layers
from nst_jax.errors import NSTError
from nst_jax.options.config import Config
from nst_jax.options.presets import preset
from nst_jax.sweeps.grid import PHOTOGRAPH, Lane, Layout, cumulative, grid, grid_layout
from nst_jax.sweeps.works import COMPOSITION, FEMME, MINOTAUR, NECKARFRONT, SCHREI, STARRY_NIGHT, Work, listed

#: The layers of the paper's figures 1 and 3, and those of the texture paper.
LAYERS = Config.style_layers
TEXTURE_LAYERS = ("conv1_1", "pool1", "pool2", "pool3", "pool4")
Runs = tuple[Sequence[Lane], Layout]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of a paper.

    Attributes:
      source: which figure of which paper.
      content: the photograph, or None for a figure without one.
      styles: the paintings.
      runs: from options and the paintings' names to the lanes and their layout.
      paper: what the paper did.
      differs: where this run differs from it by design, a sentence each.
    """

    source: str
    content: Work | None
    styles: tuple[Work, ...]
    runs: Callable[[Config, Sequence[str]], Runs]
    paper: str
    differs: tuple[str, ...] = ()


def fig1_content(config: Config, styles: Sequence[str]) -> Runs:
    """The photograph from the responses at one layer each, in a row."""
    config = dataclasses.replace(config, style_layers=(), content_weight=1.0, style_weight=0.0)
    return _laid_out(config, [], "Content reconstructions", content_layers=[(layer,) for layer in LAYERS])


def fig1_style(config: Config, styles: Sequence[str]) -> Runs:
    """Textures of each painting from growing sets of layers, a row a painting."""
    return _laid_out(_style_only(config), styles, "Style reconstructions", style_layer_sets=cumulative(LAYERS))


def fig2(config: Config, styles: Sequence[str]) -> Runs:
    """The photograph in several styles, each with its ratio; the photograph itself is the first panel."""
    ratios = [1e-3, 1e-3, 1e-3, 1e-4, 1e-4]
    given = [ratios[min(index, len(ratios) - 1)] for index in range(len(styles))]
    lanes = [_with_ratio(config, ratio, style) for style, ratio in enumerate(given)]
    captions = [f"{chr(ord('B') + i)}  {s}, ratio {r:g}" for i, (s, r) in enumerate(zip(styles, given, strict=True))]
    cells = [PHOTOGRAPH, *range(len(styles))]
    rows = tuple(tuple(cells[start : start + 2]) for start in range(0, len(cells), 2))
    return lanes, Layout("One photograph in several styles", rows, captions=tuple(captions))


def fig3(config: Config, styles: Sequence[str]) -> Runs:
    """Growing sets of style layers down, larger ratios across."""
    ratios = (1e-5, 1e-4, 1e-3, 1e-2)
    return _laid_out(config, styles, "Layers and ratios", style_layer_sets=cumulative(LAYERS), ratios=ratios)


def tradeoff(config: Config, styles: Sequence[str]) -> Runs:
    """Four ratios."""
    return _laid_out(config, styles, "Content against style", ratios=(1e-4, 1e-3, 1e-2, 1e-1))


def content_layers(config: Config, styles: Sequence[str]) -> Runs:
    """The content matched at a shallow and at a deep layer."""
    config = _with_ratio(config, 1e-3).config
    return _laid_out(config, styles, "The content layer", content_layers=[("conv2_2",), ("conv4_2",)])


def initialisation(config: Config, styles: Sequence[str]) -> Runs:
    """From the photograph, from the painting, and from four noises."""
    config = _with_ratio(config, 1e-3).config
    lanes: list[Lane] = []
    cells: list[tuple[int, ...]] = []
    captions: list[str] = []
    for style, name in enumerate(styles):
        starts: list[dict[str, Any]] = [
            {"init": "content"},
            {"init": "style"},
            *({"init": "noise", "seed": seed} for seed in range(4)),
        ]
        first = len(lanes)
        lanes += [Lane(dataclasses.replace(config, **start), style) for start in starts]
        prefix = f"{name}: " if len(styles) > 1 else ""
        words = [
            "A  from the photograph",
            "B  from the painting",
            *(f"C  from noise {number}" for number in range(1, 5)),
        ]
        captions += [prefix + word for word in words]
        cells += [(first, first + 1), tuple(range(first + 2, first + 6))]
    return lanes, Layout("The start", tuple(cells), captions=tuple(captions))


def texture(config: Config, styles: Sequence[str]) -> Runs:
    """A texture of each painting from growing sets of layers: the sets down, the paintings across."""
    lanes, rows = [], []
    config = _style_only(config)
    for names in cumulative(TEXTURE_LAYERS):
        rows.append(f"up to {names[-1]}")
        lanes += [Lane(dataclasses.replace(config, style_layers=names), style) for style in range(len(styles))]
    across = len(styles)
    cells = tuple(tuple(range(start, start + across)) for start in range(0, len(lanes), across))
    return lanes, Layout("Textures", cells, tuple(rows), tuple(styles))


def _laid_out(config: Config, styles: Sequence[str], title: str, **axes: Any) -> Runs:
    made = grid(config, styles, **axes)
    return made.lanes, grid_layout(made, title)


def _with_ratio(config: Config, ratio: float, style: int = 0) -> Lane:
    return Lane(dataclasses.replace(config, content_weight=ratio * (config.style_weight or 0)), style)


def _style_only(config: Config) -> Config:
    return dataclasses.replace(config, content_layers=(), content_weight=0.0, style_weight=1.0)


FIGURES: dict[str, Figure] = {
    "fig1-content": Figure(
        "2015, figure 1, content reconstructions",
        NECKARFRONT,
        (),
        fig1_content,
        "White noise was changed until its responses matched the photograph's, at conv1_1 (a), conv2_1 (b), conv3_1"
        " (c), conv4_1 (d) and conv5_1 (e) of VGG-19. Reconstructions from the lower layers (a to c) are almost"
        " perfect; in the higher ones (d, e) the pixels are lost and the objects stay.",
    ),
    "fig1-style": Figure(
        "2015, figure 1, style reconstructions",
        None,
        (STARRY_NIGHT,),
        fig1_style,
        "White noise was changed until its correlations matched the painting's, at conv1_1 (a), conv1_1 and conv2_1 (b)"
        " and so on to conv1_1 to conv5_1 (e). The structures that match grow larger from set to set, and the scene's"
        " arrangement is lost.",
    ),
    "fig2": Figure(
        "2015, figure 2",
        NECKARFRONT,
        (MINOTAUR, STARRY_NIGHT, SCHREI, FEMME, COMPOSITION),
        fig2,
        "A is the photograph. B, C and D (Turner, van Gogh, Munch) have a ratio of 1e-3; E and F (Picasso, Kandinsky)"
        " have 1e-4. Content at conv4_2, style at conv1_1 to conv5_1.",
    ),
    "fig3": Figure(
        "2015, figure 3",
        NECKARFRONT,
        (COMPOSITION,),
        fig3,
        "Rows: the style at conv1_1 alone, then one more layer in each row, to conv5_1. Columns: ratios of 1e-5, 1e-4,"
        " 1e-3 and 1e-2. Down the rows the structures grow larger and smoother; along the columns the photograph shows"
        " more.",
    ),
    "tradeoff": Figure(
        "2016, the figure of the relative weighting of content and style",
        NECKARFRONT,
        (COMPOSITION,),
        tradeoff,
        "Ratios of 1e-4, 1e-3, 1e-2 and 1e-1: from a texture of the painting to the photograph with little style.",
    ),
    "content-layers": Figure(
        "2016, the figure of the content representation in different layers",
        NECKARFRONT,
        (COMPOSITION,),
        content_layers,
        "The content matched at conv2_2 and at conv4_2, both with a ratio of 1e-3. From conv2_2 the painting's texture"
        " seems blended over the photograph; from conv4_2 the objects themselves take the painting's shapes.",
        ("The paper used another painting for this figure, as far as we know.",),
    ),
    "initialisation": Figure(
        "2016, the figure of the start of the gradient descent",
        NECKARFRONT,
        (STARRY_NIGHT,),
        initialisation,
        "A starts from the photograph, B from the painting, C from four samples of white noise; a ratio of 1e-3. The"
        " start biases the result a little towards its arrangement; each noise gives another picture.",
    ),
    "texture": Figure(
        "texture paper of 2015, the figure of textures from growing sets of layers",
        None,
        (STARRY_NIGHT, COMPOSITION),
        texture,
        "The style term alone, from white noise, with the layers conv1_1, pool1, pool2, pool3 and pool4, one more in"
        " each row. The more layers, the more of the texture's structure.",
        (
            "The paper used photographs of textures, and a VGG-19 whose filters were rescaled to mean activation 1.",
            "All layers weigh the same here.",
        ),
    ),
}


def figure(name: str) -> Figure:
    """A figure by its name. Raises NSTError for an unknown one."""
    if name not in FIGURES:
        raise NSTError(f"unknown figure {name!r}: choose one of {', '.join(FIGURES)}")
    return FIGURES[name]


def base_config(**changes: Any) -> Config:
    """The paper's parameters: the preset ``gatys2015``, with changes."""
    return dataclasses.replace(preset("gatys2015"), **changes)


def check_pictures(name: str, content: Path | None, styles: Sequence[Path]) -> None:
    """Raises NSTError, which names the works, where a picture of a figure is not given."""
    wanted = figure(name)
    missing = []
    if wanted.content and not content:
        missing.append(f"--content FILE with {listed([wanted.content])}")
    if wanted.styles and not styles:
        missing.append(f"--styles FILE ... with {listed(wanted.styles)}")
    if missing:
        raise NSTError(f"{name} needs copies of its pictures: give {'; and '.join(missing)}")


def check_layers(name: str, network: str) -> None:
    """Raises NSTError where a figure is of layers that a network lacks, as ``slim`` does some."""
    lanes, _ = figure(name).runs(base_config(network="vgg19"), [""])
    named = [layer for lane in lanes for layer in (*lane.config.content_layers, *lane.config.style_layers)]
    lacking = [layer for layer in dict.fromkeys(named) if layer not in layers.tap_names(network)]
    if lacking:
        raise NSTError(
            f"{name} is of layers that {network} lacks ({', '.join(lacking)}): it needs VGG-19, whose weights you get"
            " with python -m convert_weights --download vgg19"
        )


def paragraphs(
    figure: Figure, config: Config, weights: Mapping[str, Any], size: tuple[int, int]
) -> tuple[tuple[str, str], ...]:
    """What the page says: what the paper did, what this run did, and where they differ.

    ``weights`` are what ``result.origin_of`` gives; ``size`` is (width, height) of the results.
    """
    normalized = weights.get("normalized")
    did = (
        f"{config.optimizer.replace('lbfgs', 'L-BFGS').replace('adam', 'Adam')}, {config.steps} evaluations of loss and"
        f" gradient, {size[0]} x {size[1]} pixels; {weights['name']}"
        f" ({weights.get('source', 'of unknown origin')}), {config.pooling} pooling;"
        f" losses with the constants of the convention {config.loss}; start from {config.init}, unless said otherwise."
    )
    differs = [*figure.differs]
    if weights["name"] != "vgg19":
        differs.append(f"The network is {weights['name']}, not VGG-19: a ratio may mean something else.")
    if normalized:
        differs.append(f"The filters are rescaled: {normalized}.")
    if figure.source.startswith("2016") and not normalized:
        differs.append(
            "The 2016 paper's filters were rescaled to mean activation 1, those here are the original ones: the same"
            " ratio means something else. convert_weights --normalize rescales them."
        )
    if figure.source.startswith("2016") and figure.styles:
        differs.append("The paper resized the painting to the photograph's size; here it keeps its aspect ratio.")
        differs.append("Replications weigh a style layer of N filters by 1/N²; here all weigh the same, as in 2015.")
    if not figure.source.startswith("2016"):
        differs.append(
            "The paper speaks of gradient descent, here it is L-BFGS or Adam; it does not say how many steps."
        )
    differs.append(
        "Gram matrices are divided by their positions, which changes nothing where both pictures have as many."
    )
    differs.append(
        "The paper does not tell the pictures' sizes; strokes are larger, relative to the picture, in small ones."
    )
    works = [*([figure.content] if figure.content else []), *figure.styles]
    differs.append(
        f"The pictures are to be these: {'; '.join(map(str, works))}. Whether the files that were given show them is"
        " not checked."
    )
    return (
        ("What the paper did", figure.paper),
        ("What this run did", did),
        ("Where they differ", "\n".join(differs)),
    )
