"""What ``quality`` and ``blind`` compare: pairs of pictures, results kept in a folder, and pictures of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.halves import HALVES
from benchmarks.slim import ALL_PAIRS
from nst_jax.errors import NSTError
from nst_jax.pictures import images

#: A photograph and a painting, each by name or file.
Pair = tuple[str, str]


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """``--half``, ``--pair`` and ``--pairs``."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--half", choices=tuple(HALVES), help="the pairs to choose options on, or those to report")
    which.add_argument("--pair", nargs=2, action="append", metavar=("CONTENT", "STYLE"), help="files instead of those")
    parser.add_argument("--pairs", type=int, help="how many of the pairs, from the first: all of a half, or else 8")


def pairs_of(options: argparse.Namespace) -> list[Pair]:
    """The pairs that the options of ``add_pairs`` ask for. Raises NSTError for two of the same names."""
    if options.pair:
        pairs = [(content, style) for content, style in options.pair]
        titles = [title(pair) for pair in pairs]
        if twice := next((each for each in titles if titles.count(each) > 1), ""):
            raise NSTError(f"two pairs are called {twice}: give their files other names")
        return pairs
    return list(HALVES[options.half][: options.pairs] if options.half else ALL_PAIRS[: options.pairs or 8])


def named(pair: Pair) -> dict[str, str]:
    """The names of a pair's pictures, as its rows have them."""
    content, style = pair
    return {"content": Path(content).stem, "style": Path(style).stem}


def title(pair: Pair) -> str:
    """A pair as people read it: content x style."""
    return " x ".join(named(pair).values())


def kept(folder: Path, pair: Pair, name: str) -> Path:
    """Where a folder has the result of a pair by the preset ``name``, or by another tool of that name."""
    return folder / ".".join((*named(pair).values(), name, "png"))


def others_of(
    asked: Sequence[str], photographs: Mapping[Pair, np.ndarray], presets: Collection[str]
) -> dict[str, dict[Pair, np.ndarray]]:
    """The pictures that other tools made, by the tool's name, of the pairs of which there are some.

    Args:
      asked: each NAME=PATTERN, where the pattern is a path with {content} and {style}.
      photographs: of each pair, [H, W, 3].
      presets: names that are taken.

    Raises SystemExit for a word that is none such, for a name without any picture, and for a picture that has not its
    photograph's size.
    """
    found: dict[str, dict[Pair, np.ndarray]] = {}
    for word in asked:
        name, _, pattern = word.partition("=")
        if not name or "{content}" not in pattern or "{style}" not in pattern:
            raise SystemExit(f"--others {word}: give NAME=PATTERN, a path with {{content}} and {{style}} in it")
        if name in found or name in presets:
            raise SystemExit(f"--others {word}: there is a {name} already; give it another name")
        found[name] = {}
        for pair, photograph in photographs.items():
            names = named(pair)
            path = Path(pattern.replace("{content}", names["content"]).replace("{style}", names["style"]))
            if not path.is_file():
                continue
            picture = found[name][pair] = images.load_image(path).pixels
            if picture.shape != photograph.shape:
                sizes = [f"{width} x {height}" for height, width, _ in (picture.shape, photograph.shape)]
                raise SystemExit(f"{path} has {sizes[0]} pixels, our results {sizes[1]}: give its --size and --aspect")
        if not found[name]:
            raise SystemExit(f"--others {word}: there is no such file for any of the pairs; the last was {path}")
    return found
