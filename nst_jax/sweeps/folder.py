"""What a sweep leaves in its folder: a picture and a report a lane, ``results.json``, the contact sheet, the page.

``sweep.json`` says which sweep the folder is of, and how many lanes ran at once. A lane is finished when its report is
there, which is written after its picture; so a sweep that ended early goes on where it stopped. A lane whose picture or
report is damaged is run anew. Lanes are always run in the same batches, in which each has its place, because a program
of another shape gives pictures that differ.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nst_jax.choices import Metadata
from nst_jax.errors import NSTError
from nst_jax.files import replacing
from nst_jax.pages.html import page
from nst_jax.pages.sheet import Cell, contact_sheet
from nst_jax.pictures import images
from nst_jax.pictures.encoding import most_bytes
from nst_jax.pictures.images import Picture
from nst_jax.runs import report as runs
from nst_jax.runs.result import Result
from nst_jax.runs.start import start_picture
from nst_jax.sweeps.grid import MOST_LANES, PHOTOGRAPH, VARYING, Layout
from nst_jax.sweeps.lanes import Batches, Sweep

IDENTITY, RESULTS, SHEET, INDEX = "sweep.json", "results.json", "contact_sheet.png", "index.html"
#: What a finished lane's report has at least, and what of it ``results.json`` tells.
NEEDED: dict[str, type] = {"config": dict, "inputs": list, "ended": str, "losses": dict, "trace": list}
TOLD = ("config", "inputs", "size", "steps", "evaluations", "ended", "losses", "seconds")


def wait_for_folder(path: Path, seconds: float) -> None:
    """Waits until process 0 has made a sweep's folder. Raises NSTError where it has not within so many seconds."""
    end = time.monotonic() + seconds
    while not ((path / IDENTITY).exists() and _read(path / IDENTITY).get("batch")):
        if time.monotonic() > end:
            raise NSTError(
                f"process 0 has made no sweep in {path} within {seconds:g} s: start it, and give a folder that all"
                " processes see"
            )
        time.sleep(0.2)


def check_folder(path: Path, resume: bool) -> None:
    """Raises NSTError, before any work, for a folder that a sweep cannot be written to or continued in.

    A folder with a sweep in it is left alone unless ``resume``.
    """
    try:
        if path.exists() and not path.is_dir():
            raise NSTError(f"--output is {path}, which is no folder: give another name")
        there = (path / IDENTITY).exists()
        ours = [name for name in (RESULTS, SHEET, INDEX) if (path / name).exists()]
        ours += sorted(one.name for one in path.glob("lane-*") if one.suffix in (".png", ".json"))
    except OSError as error:
        raise NSTError(f"cannot use the folder {path}: {error.strerror or error}") from None
    if resume and not there:
        raise NSTError(f"{path} holds no sweep that could be resumed, for it has no {IDENTITY}: leave --resume out")
    if resume:
        _read(path / IDENTITY)
    elif there:
        raise NSTError(f"{path} holds a sweep already: add --resume to continue it, or give another --output")
    elif ours:
        raise NSTError(f"{path} has a {ours[0]} already: give another --output")


def _read(path: Path) -> dict[str, Any]:
    """A JSON object from a file; NSTError where it is none."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise NSTError(f"cannot read {path}: {reason}; give another --output") from None
    if not isinstance(told, dict):
        raise NSTError(f"cannot read {path}: it is no JSON object; give another --output")
    return told


class Gallery:
    """A sweep's folder.

    Attributes:
      reports: of the finished lanes: read when the folder is opened, and added to as lanes finish.
      batch: how many lanes ran at once when the sweep began; 0 while that is not known.
    """

    def __init__(
        self, path: Path, sweep: Sweep, layout: Layout, *, resume: bool = False, metadata: Metadata = "full"
    ) -> None:
        """Makes the folder, or opens it again with ``resume``. ``metadata`` is what the pictures say of their making.

        Raises NSTError for a folder that cannot be used, or that holds a sweep of other settings; it is then left as
        it was.
        """
        check_folder(path, resume)
        self.path, self.sweep, self.layout = path, sweep, layout
        self.reports: dict[int, dict[str, Any]] = {}
        self.batch, self.metadata = 0, metadata
        mine = _as_read(identity(sweep))
        if resume:
            there = _read(path / IDENTITY)
            difference = _difference(there, mine)
            if difference:
                raise NSTError(f"{path} holds a sweep of other settings: {difference}; give another --output")
            self.look_for_others()
            batch = there.get("batch")
            self.batch = batch if isinstance(batch, int) and 0 < batch <= 2 * MOST_LANES else 0
        else:
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise NSTError(f"cannot make the folder {path}: {error.strerror or error}") from None
            runs.save_report(path / IDENTITY, mine)

    def picture(self, lane: int) -> Path:
        """Where a lane's picture is."""
        return self.path / f"lane-{lane:03d}.png"

    def most_bytes(self) -> int:
        """As many bytes as a lane's picture may have."""
        height, width = self.sweep.sizes[-1]
        return most_bytes("PNG", (height, width), True, self.sweep.union.depth)

    def save(self, lane: int, result: Result) -> None:
        """Writes a finished lane: the picture, then its report, as ``--report`` of ``stylize`` has it."""
        runs.save(self.picture(lane), result, self.metadata)
        report = _as_read({"lane": lane, **runs.report(result, self.picture(lane).name)})
        runs.save_report(self.picture(lane).with_suffix(".json"), report)
        self.reports[lane] = report

    def look_for_others(self) -> None:
        """Reads the reports of lanes that others have finished in the folder."""
        found = {lane: self._finished(lane) for lane in self.unfinished()}
        self.reports |= {lane: report for lane, report in found.items() if report}

    def _finished(self, lane: int) -> dict[str, Any] | None:
        """The report of a lane that is finished in the folder; None for one that is damaged or not there."""
        try:
            told = json.loads(self.picture(lane).with_suffix(".json").read_text())
            height, width = images.load_image(self.picture(lane)).pixels.shape[:2]
        except (OSError, ValueError):  # NSTError is one
            return None
        if not (isinstance(told, dict) and all(isinstance(told.get(key), kind) for key, kind in NEEDED.items())):
            return None
        rows = [told["losses"], *told["trace"]]
        numbers = all(isinstance(row, dict) and all(map(_number, row.values())) for row in rows)
        origins = all(isinstance(entry, dict) and {"role", "path"} <= entry.keys() for entry in told["inputs"])
        return told if numbers and origins and (height, width) == tuple(self.sweep.sizes[-1]) else None

    def plan(self, at_once: int = 0) -> tuple[Batches, str]:
        """How the lanes are to be run: ``at_once``, or where that is 0 as the sweep began, or as the memory allows.

        Also gives a note where a sweep goes on in other batches than it began with, so that its lanes may differ from
        those of one that was not interrupted; or "".
        """
        count = len(self.sweep.lanes)
        plan = self.sweep.plan(count, at_once)
        if not at_once and self.batch and plan.batch >= self.batch:
            plan = self.sweep.plan(count, self.batch)
        note = ""
        if self.batch and plan.batch != self.batch and self.reports:
            note = (
                f"the sweep began with {self.batch} lanes at once and goes on with {plan.batch}: the lanes that are run"
                " now may differ in their last bits from what they would have been"
            )
        if not self.batch:
            self.batch = plan.batch
            runs.save_report(self.path / IDENTITY, {**_as_read(identity(self.sweep)), "batch": self.batch})
        return plan, note

    def batches(self, batch: int, share: tuple[int, int] = (0, 1)) -> list[list[int]]:
        """The batches in which a lane is unfinished, whole, each in its order.

        Of ``share``, (which, of how many), only those of one of several processes, which take them in turn.
        """
        lanes = list(range(len(self.sweep.lanes)))
        parts = [lanes[start : start + batch] for start in range(0, len(lanes), batch)][share[0] :: share[1]]
        return [part for part in parts if any(lane not in self.reports for lane in part)]

    def unfinished(self) -> list[int]:
        """The lanes that are still to be run."""
        return [lane for lane in range(len(self.sweep.lanes)) if lane not in self.reports]

    def save_results(self) -> None:
        """Writes ``results.json``: a list of the finished lanes."""
        told = [
            {"lane": lane, "label": self.layout.label(lane), "picture": self.picture(lane).name}
            | {key: report[key] for key in TOLD if key in report}
            for lane, report in sorted(self.reports.items())
        ]
        runs.save_report(self.path / RESULTS, told)

    def save_overview(self) -> None:
        """Writes ``results.json``, the contact sheet and the page, with the lanes that are finished."""
        self.save_results()
        pixels = {lane: images.load_image(self.picture(lane)).pixels for lane in self.reports}
        sheet = contact_sheet(
            [[self.cell(lane, pixels.get(lane)) for lane in row] for row in self.layout.cells],
            title=self.layout.title,
            inputs=[Cell(picture.pixels, caption) for caption, picture in self.inputs()],
            rows=self.layout.rows,
            columns=self.layout.columns,
        )
        images.save_image(self.path / SHEET, sheet)
        lanes = [
            {
                "label": self.layout.label(lane),
                "pixels": pixels[lane],
                "picture": self.picture(lane).name,
                "losses": told["losses"],
                "trace": told["trace"],
                "ended": told["ended"],
                "settings": {key: value for key, value in told["config"].items() if key in VARYING}
                | {"style": ", ".join(entry["path"] for entry in told["inputs"] if entry["role"] == "style")},
            }
            for lane, told in sorted(self.reports.items())
        ]
        common = {key: value for key, value in self.sweep.union.to_json().items() if key not in VARYING}
        text = page(
            self.layout.title,
            paragraphs=self.layout.paragraphs,
            sheet=sheet,
            lanes=lanes,
            settings=common | {"network": self.sweep.weights.network} | runs.versions(),
        )
        try:
            with replacing(self.path / INDEX) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="replace")  # a name may be no UTF-8
        except OSError as error:
            raise NSTError(f"cannot write {self.path / INDEX}: {error.strerror or error}") from error

    def cell(self, lane: int, pixels: np.ndarray | None) -> Cell:
        """A lane's place on the sheet, or the photograph's."""
        if lane == PHOTOGRAPH:
            return Cell(
                self.sweep.found.photograph.pixels if self.sweep.found.photograph else None, "A  the photograph"
            )
        return Cell(pixels, self.layout.captions[lane] if self.layout.captions else "")

    def inputs(self) -> list[tuple[str, Picture]]:
        """The sweep's input pictures with their captions."""
        photograph = [("content", self.sweep.found.photograph)] if self.sweep.found.photograph else []
        palette = [("palette", self.sweep.found.palette)] if self.sweep.found.palette else []
        return [
            *photograph,
            *((f"style: {painting.path.stem.replace('_', ' ')}", painting) for painting in self.sweep.found.paintings),
            *palette,
        ]


def identity(sweep: Sweep) -> dict[str, Any]:
    """What makes a sweep this one: the options of every lane, and the hashes of pictures and weights."""
    hashes = [painting.sha256 for painting in sweep.found.paintings]
    starts = [start_picture(config) for config in {lane.config.init: lane.config for lane in sweep.lanes}.values()]
    return {
        "format": 1,
        "content": sweep.found.photograph.sha256 if sweep.found.photograph else None,
        "palette": sweep.found.palette.sha256 if sweep.found.palette else None,
        "init": [start.sha256 for start in starts if start] or None,
        "network": sweep.weights.sha256,
        "masks": [mask.sha256 for given in sweep.found.masks if given for _, mask in given.files] or None,
        "lanes": [
            {key: value for key, value in lane.config.to_json().items() if key not in ("weights", "palette")}
            | {"style": hashes[lane.style] if hashes else None}
            for lane in sweep.lanes
        ],
    }


def _number(value: object) -> bool:
    """Whether a value of a report is a number, or null, which stands for one that is not finite."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _as_read(told: Any) -> Any:
    """A report or an identity as it comes back from its file: with lists for tuples."""
    return json.loads(json.dumps(told))


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first difference between two identities in words, or ""."""
    for key, name in {
        "format": "the format",
        "content": "the content picture",
        "palette": "the palette",
        "init": "the start picture",
        "network": "the network's file",
        "masks": "a mask",
    }.items():
        if there.get(key) != here[key]:
            return f"{name} is another"
    theirs, mine = there.get("lanes"), here["lanes"]
    if not isinstance(theirs, Sequence) or len(theirs) != len(mine):
        return f"it has {len(theirs) if isinstance(theirs, list) else 'no'} lanes, not {len(mine)}"
    for number, (one, other) in enumerate(zip(theirs, mine, strict=True)):
        if not isinstance(one, Mapping):
            return f"lane {number} cannot be read"
        for key in other:
            if one.get(key) != other[key]:
                what = "another picture" if key == "style" else f"{_words(one.get(key))}, not {_words(other[key])}"
                return f"{key} of lane {number} is {what}"
    return ""


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
