"""Results to choose from by eye, without their names: a sheet for each pair, and what the choosers' letters stand for.

    python -m benchmarks quality --half report --presets default crowson --folder results
    python -m benchmarks blind --folder results --half report --presets default crowson --sheets sheets --seed 7
    python -m benchmarks blind --sheets sheets --choices one.json two.json

With ``--folder``, draws for each pair a sheet of the photograph, the painting and the results that ``quality --folder``
kept there. The results are lettered A, B, C …, in an order that the seed shuffles. Names of ``--presets`` are those in
quality's tables: "default-0.5" where it had several strengths, and those of ``--others``, too. A pair of which one
result is missing is left out. ``key.json`` beside the sheets says what the letters stand for: choosers must not see it.

With ``--choices``, reads a file from each chooser, {"content x style": "B", …}, and prints for each pair whose result
each of them chose, and who won: the result that all of them chose.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.entries import Pair, add_pairs, kept, named, pairs_of, title
from benchmarks.harness import Row, table
from benchmarks.pictures import pictures
from nst_jax.pages.sheet import Cell, contact_sheet
from nst_jax.pictures import images
from nst_jax.runs.start import cover

#: Of each pair by its title, what the letters stand for.
Key = dict[str, dict[str, str]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("--sheets", type=Path, required=True, metavar="DIR", help="the folder of the sheets")
    parser.add_argument("--folder", type=Path, help="the folder of quality's results, to draw sheets of")
    add_pairs(parser)
    parser.add_argument("--presets", nargs="+", help="the results to choose from, two or more")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the results")
    parser.add_argument("--choices", nargs="+", type=Path, metavar="FILE", help="the choosers' files, to be read")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Draws the sheets, or reads the choices and prints them."""
    if options.choices:
        return chosen(options.sheets / "key.json", options.choices)
    presets = options.presets or []
    if options.folder is None or not 2 <= len(set(presets)) == len(presets) <= len(string.ascii_uppercase):
        raise SystemExit("give --folder and two or more different --presets for new sheets, or --choices to read some")
    ready = []
    for pair in pairs_of(options):
        missing = [path for path in (kept(options.folder, pair, name) for name in presets) if not path.is_file()]
        if missing:
            print(f"{title(pair)} is left out: there is no {missing[0]}", file=sys.stderr)
        else:
            ready.append(pair)
    if not ready:
        raise SystemExit(f"{options.folder} has no pair with results of {', '.join(presets)}")
    key = {title(pair): lettered(pair, presets, options.seed) for pair in ready}
    write_key(options.sheets / "key.json", key)
    for pair in ready:
        images.save_image(options.sheets / f"{title(pair)}.png", sheet(options.folder, pair, key[title(pair)]))
    print(f"{len(ready)} sheets and key.json in {options.sheets}")
    return {"pairs": list(key)}


def lettered(pair: Pair, presets: Sequence[str], seed: int) -> dict[str, str]:
    """The presets by letter, in an order that the seed and the pair's names decide."""
    order = random.Random(f"{seed} {title(pair)}").sample(sorted(presets), len(presets))
    return dict(zip(string.ascii_uppercase, order, strict=False))


def sheet(folder: Path, pair: Pair, letters: dict[str, str]) -> np.ndarray:
    """The photograph and the painting above the results, which have only their letters; [H, W, 3]."""
    results = {letter: images.load_image(kept(folder, pair, name)).pixels for letter, name in letters.items()}
    shapes = {picture.shape for picture in results.values()}
    if len(shapes) > 1:
        raise SystemExit(f"{title(pair)}: the results differ in size, so one would know them by it; make them alike")
    height, width, _ = shapes.pop()
    photograph, painting = pictures(*pair, max(height, width))
    photograph = cover(photograph, height, width)  # as it was cut for the results
    return contact_sheet(
        [[Cell(picture, letter) for letter, picture in results.items()]],
        inputs=[Cell(photograph, named(pair)["content"]), Cell(painting, named(pair)["style"])],
    )


def write_key(path: Path, key: Key) -> None:
    """Writes the key. Raises SystemExit where the folder has another: its letters may have been chosen from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and json.loads(path.read_text()) != key:
        raise SystemExit(f"{path} belongs to other sheets, of which people may have chosen: give another --sheets")
    path.write_text(json.dumps(key, indent=1) + "\n")


def chosen(path: Path, files: Sequence[Path]) -> dict[str, object]:
    """Prints and gives each pair's choices by the names of the results, who won, and how often each was chosen."""
    if not path.is_file():
        raise SystemExit(f"there is no {path}: draw the sheets first, with --folder")
    key: Key = json.loads(path.read_text())
    choosers = [each.name for each in files]
    if len(set(choosers)) < len(choosers):
        choosers = [str(each) for each in files]
    choices = {name: read_choices(each, key) for name, each in zip(choosers, files, strict=True)}
    rows: list[Row] = []
    for pair in key:
        by = {name: choice.get(pair) for name, choice in choices.items()}
        agreed = set(by.values())
        rows.append({"pair": pair, **by, "won": agreed.pop() if len(agreed) == 1 else None})
    results = sorted({name for letters in key.values() for name in letters.values()})
    counts = [
        {"result": name}
        | {column: sum(row[column] == name for row in rows) for column in (*choosers, "won")}
        | {"pairs": sum(name in letters.values() for letters in key.values())}
        for name in results
    ]
    print(table(rows, ("pair", *choosers, "won")))
    print("\nhow often\n" + table(counts, ("result", *choosers, "won", "pairs")))
    return {"rows": rows, "counts": counts}


def read_choices(path: Path, key: Key) -> dict[str, str]:
    """One chooser's results by pair. Raises SystemExit for what is no such file and for what is on no sheet."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"cannot read the choices in {path}: {error}") from None
    if not isinstance(told, dict):
        raise SystemExit(f'{path} has no choices: give {{"content x style": "B", …}}')
    found = {}
    for pair, letter in told.items():
        if pair not in key:
            raise SystemExit(f"{path}: there is no sheet of {pair}; one is {next(iter(key))}")
        if letter not in [*key[pair]]:
            raise SystemExit(f"{path}: {pair} has the letters {', '.join(key[pair])}, not {letter}")
        found[pair] = key[pair][letter]
    return found
