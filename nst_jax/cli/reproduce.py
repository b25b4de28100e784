"""``nst-reproduce``: a figure of the papers, made again: its pictures, a contact sheet like it, and a page about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nst_jax.choices import METADATA, Metadata, check_choice, check_whole
from nst_jax.cli.cache import keep_programs
from nst_jax.cli.command import parse, run
from nst_jax.cli.sweep import run_lanes
from nst_jax.options.config import Config
from nst_jax.sweeps.figures import base_config, check_layers, check_pictures, figure, paragraphs

PROGRAM = "nst-reproduce"


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Make a figure of the papers again: fig1-content, fig1-style, fig2, fig3 (Gatys et al. 2015), tradeoff,
    content-layers, initialisation (2016) or texture (2015)."""

    figure: Positional[Annotated[str, arg(metavar="FIGURE")]]
    """which figure"""
    content: Path | None = None
    """the photograph, for a figure that has one; without it the command says which it is"""
    styles: tuple[Path, ...] = ()
    """the paintings; without them the command says which they are"""
    output: Path | None = None
    """the folder of the results; one of the figure's name"""
    size: int = Config.size
    """longest side of each result in pixels"""
    steps: int = 500
    """steps, one evaluation of the loss and its gradient each"""
    network: str = Config.network
    """vgg19, vgg16, slim or auto"""
    weights: Path | None = None
    """a converted weights file to use instead of the one in the user's weights folder"""
    optimizer: str = Config.optimizer
    """lbfgs or adam"""
    pooling: str = "avg"
    """pooling of the network: avg or max"""
    seed: int = 0
    """seed of the noise"""
    resume: bool = False
    """continue what is in the output folder"""
    lanes_at_once: int = 0
    """runs in one batch; 0 for as many as there is memory for"""
    metadata: Metadata = "full"
    """what the pictures say of their making: full; short, which names no file; or none"""
    no_cache: bool = False
    """do not keep compiled programs for the next run"""

    def __post_init__(self) -> None:
        """Raises NSTError for a value that cannot be used."""
        figure(self.figure)
        check_whole("lanes_at_once", self.lanes_at_once, 0)
        check_choice("metadata", self.metadata, METADATA)
        self.config()

    def config(self) -> Config:
        """The paper's parameters with the options given."""
        names = ("size", "steps", "network", "weights", "optimizer", "pooling", "seed")
        return base_config(**{name: getattr(self, name) for name in names})


def command(arguments: Sequence[str]) -> int:
    """Runs the command line; returns its exit status, or raises NSTError for a mistake of the caller's."""
    options = parse(Reproduce, arguments, PROGRAM)
    wanted = figure(options.figure)
    check_pictures(options.figure, options.content, options.styles)
    content = options.content if wanted.content else None
    styles = list(options.styles) if wanted.styles else []
    output = options.output or Path(options.figure)
    from nst_jax.networks.weights_file import network_in_use

    check_layers(options.figure, network_in_use(options.network, options.weights))
    lanes, layout = wanted.runs(options.config(), [path.stem.replace("_", " ") for path in styles])
    keep_programs(not options.no_cache, PROGRAM)
    from nst_jax.runs.result import origin_of  # JAX is loaded only for a command line that holds
    from nst_jax.sweeps import folder
    from nst_jax.sweeps.lanes import prepare_lanes

    folder.check_folder(output, options.resume)
    prepared = prepare_lanes(content, styles, lanes)
    height, width = prepared.sizes[-1]
    text = paragraphs(wanted, prepared.union, origin_of(prepared.weights, prepared.precision), (width, height))
    layout = dataclasses.replace(layout, title=f"{layout.title} ({wanted.source})", paragraphs=text)
    gallery = folder.Gallery(output, prepared, layout, resume=options.resume, metadata=options.metadata)
    return run_lanes(gallery, options.lanes_at_once, PROGRAM)


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of ``nst-reproduce``; returns the exit status."""
    return run(command, PROGRAM, arguments)
