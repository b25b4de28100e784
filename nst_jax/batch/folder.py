"""A batch's folder: a result for each job that is done, a line for each that failed, and what tells of all of them.

    results/NAME/       the picture, report.json and thumbnail.jpg: all three, or no such folder
    failed/NAME.json    why a job could not be made
    leases/             who is making what
    inputs.jsonl        what is known of the input files
    results.jsonl       a line a job; index.html and gallery.js: the page

A result is a folder that gets its name when it is complete, and of several that are made of one job the first gets it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from nst_jax.batch import leases
from nst_jax.batch.jobs import Job
from nst_jax.choices import Metadata
from nst_jax.errors import NSTError
from nst_jax.files import clear_temporary, placing_folder, replacing
from nst_jax.pages.gallery import gallery
from nst_jax.pictures import images
from nst_jax.runs import report as runs
from nst_jax.runs.result import Result

RESULTS, FAILED, LEASES = "results", "failed", "leases"
TABLE, REPORT, THUMBNAIL = "results.jsonl", "report.json", "thumbnail.jpg"
#: Longest side of a thumbnail in pixels.
SMALL = 192
#: Seconds after which a temporary file of another machine is nobody's: a result is written in a few.
OLDEST = 3600.0
#: What of a report a line of ``results.jsonl`` has.
TOLD = ("size", "steps", "ended", "losses", "seconds")


class Folder:
    """A batch's folder, at ``path``."""

    def __init__(self, path: Path, metadata: Metadata = "full") -> None:
        """``metadata`` is what the pictures say of their making. ``make`` makes the folder."""
        self.path, self.metadata = path, metadata

    def make(self) -> None:
        """Makes what of the folder is not there. Raises NSTError where that is not possible."""
        try:
            if self.path.exists() and not self.path.is_dir():
                raise NSTError(f"--output is {self.path}, which is no folder: give another name")
            for name in (RESULTS, FAILED, LEASES):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NSTError(f"cannot make the folder {self.path}: {error.strerror or error}") from None

    def done(self) -> set[str]:
        """The names of the jobs that have a result."""
        return set(self._names(RESULTS))

    def failed(self) -> set[str]:
        """The names of the jobs that have failed."""
        return {name.removesuffix(".json") for name in self._names(FAILED)}

    def _names(self, part: str) -> Iterator[str]:
        with os.scandir(self.path / part) as entries:
            yield from (entry.name for entry in entries if not entry.name.startswith("."))

    def is_done(self, job: Job) -> bool:
        """Whether a job has a result."""
        return (self.path / RESULTS / job.name).is_dir()

    def is_settled(self, job: Job) -> bool:
        """Whether a job has a result or has failed."""
        return self.is_done(job) or (self.path / FAILED / f"{job.name}.json").exists()

    def save(self, job: Job, result: Result) -> None:
        """Writes a job's result, unless there is one. Raises NSTError where it cannot be written."""
        name = f"picture{job.wish.suffix}"
        try:
            with placing_folder(self.path / RESULTS / job.name) as folder:
                runs.save(folder / name, result, self.metadata)
                runs.save_report(folder / REPORT, {"job": job.name, **runs.report(result, name)})
                (folder / THUMBNAIL).write_bytes(_thumbnail(result))
        except OSError as error:
            if isinstance(error, NSTError):
                raise
            raise NSTError(f"cannot write to {self.path}: {error.strerror or error}") from None
        self.name(job)

    def name(self, job: Job) -> None:
        """Gives the picture of a job that is done its own name as well, where it has one: a link, or else a copy."""
        if not job.wish.output:
            return
        picture, target = self.path / RESULTS / job.name / f"picture{job.wish.suffix}", self.path / job.wish.output
        with contextlib.suppress(OSError):
            if os.path.samefile(picture, target):
                return
        try:
            with replacing(target) as temporary:
                try:
                    os.link(picture, temporary)
                except OSError:
                    shutil.copyfile(picture, temporary)
        except OSError as error:
            raise NSTError(f"cannot write {target}: {error.strerror or error}") from None

    def fail(self, job: Job, line: str) -> None:
        """Records why a job could not be made."""
        told = {"job": job.name, **_inputs(job), "error": line}
        runs.save_report(self.path / FAILED / f"{job.name}.json", told)

    def failures(self, jobs: Sequence[Job]) -> list[str]:
        """Why each of the jobs that have failed has."""
        failed, done = self.failed(), self.done()
        lines = [self._line(job, False) for job in jobs if job.name in failed and job.name not in done]
        return [line["error"] for line in lines if line]

    def forget_failures(self, jobs: Iterable[Job]) -> None:
        """Has failed jobs be made again."""
        for name in self.failed() & {job.name for job in jobs}:
            (self.path / FAILED / f"{name}.json").unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes what dead processes have left."""
        for place in (self.path, *(self.path / name for name in (RESULTS, FAILED, LEASES))):
            clear_temporary(place, OLDEST)
        leases.clear(self.path / LEASES)

    def save_overview(self, jobs: Sequence[Job], title: str) -> None:
        """Writes ``results.jsonl``, with a line for each of the jobs that is done or has failed, and the page."""
        before = dict(self._lines())
        done, failed = self.done(), self.failed()
        rows = []
        try:
            with replacing(self.path / TABLE) as temporary, open(temporary, "w", encoding="utf-8") as file:
                for job in jobs:
                    if job.name not in done and job.name not in failed:
                        continue
                    line = before.get(job.name) if job.name in done else None
                    if line is None or "error" in line:
                        line = self._line(job, job.name in done)
                    else:
                        line |= _inputs(job)  # by the names that they have now
                    if job.name in done:
                        self.name(job)
                    if line:
                        rows.append(line)
                        file.write(json.dumps(line) + "\n")
            for name, text in gallery(title, rows).items():
                with replacing(self.path / name) as temporary:
                    temporary.write_text(text, encoding="utf-8", errors="replace")  # a name may be no UTF-8
        except OSError as error:
            if isinstance(error, NSTError):
                raise
            raise NSTError(f"cannot write to {self.path}: {error.strerror or error}") from None

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The lines that an earlier run has written."""
        with contextlib.suppress(OSError), open(self.path / TABLE, encoding="utf-8") as lines:
            for text in lines:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    line = json.loads(text)
                    yield line["job"], line

    def _line(self, job: Job, done: bool) -> dict[str, Any] | None:
        """What is told of one job, from its report or from the record of its failure; None for a damaged one."""
        place = self.path / RESULTS / job.name / REPORT if done else self.path / FAILED / f"{job.name}.json"
        try:
            told = json.loads(place.read_text(encoding="utf-8"))
            if not done:
                return {"job": job.name, **_inputs(job), "error": str(told["error"])}
            picture = f"{RESULTS}/{job.name}/{told['output']}"
            return {"job": job.name, **_inputs(job), "picture": picture} | {key: told[key] for key in TOLD}
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _inputs(job: Job) -> dict[str, Any]:
    return {"content": job.wish.content, "style": list(job.wish.styles), "output": job.wish.output}


def _thumbnail(result: Result) -> bytes:
    """A result as a small JPEG."""
    height, width = result.image.shape[:2]
    small = images.resize(result.image, *images.fit_size(height, width, min(SMALL, max(height, width))))
    file = io.BytesIO()
    Image.fromarray(images.to_uint8(small)).save(file, "JPEG", quality=85)
    return file.getvalue()
