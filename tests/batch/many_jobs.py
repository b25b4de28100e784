"""A folder of very many jobs, nearly all of them done: how long the command takes to find the rest. Run by hand:

    python -m tests.batch.many_jobs --jobs 100000 --left 1000

The photographs are small files that all differ; the results are folders with links to one picture, one report and one
thumbnail. It tells the seconds, those of the processor, and the peak memory of ``nst-batch --dry-run``: the first time,
when nothing is known of the photographs, and again; and the seconds of writing ``results.jsonl`` and the page, anew and
again.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from nst_jax.batch.folder import Folder
from nst_jax.cli import batch

#: A file has no more names than 65,000 on ext4.
MOST_LINKS = 50_000
PROJECT = Path(__file__).parents[2]


def make_photographs(folder: Path, jobs: int) -> None:
    """Files of one PNG with another number behind its end each, which no reader minds."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)).save(file, "PNG")
    folder.mkdir()
    for number in range(jobs):
        (folder / f"{number:06d}.png").write_bytes(file.getvalue() + str(number).encode())


def make_results(options: batch.Batch, left: int) -> None:
    """Results for all jobs but ``left``."""
    folder = Folder(options.output)
    folder.make()
    jobs, _ = batch.planned(options, folder)
    first = folder.path / "results" / jobs[0].name
    first.mkdir()
    shutil.copyfile(options.content[0] + "/000000.png", first / "picture.png")
    Image.new("RGB", (192, 144), (200, 120, 60)).save(first / "thumbnail.jpg")
    trace = [{"step": step, "content": 1.0, "style": 2.0, "tv": 3.0, "total": 4.0} for step in range(80)]
    losses = {"content": 0.01234, "style": 0.4321, "tv": 0.001, "total": 0.5}
    told = {"output": "picture.png", "size": [192, 144], "steps": 80, "ended": "", "losses": losses}
    (first / "report.json").write_text(json.dumps(told | {"seconds": {"total": 1.0}, "trace": trace}))
    names = os.listdir(first)
    for number, job in enumerate(jobs[1 : len(jobs) - left], 1):
        place = folder.path / "results" / job.name
        place.mkdir()
        for name in names:
            if number % MOST_LINKS:
                os.link(first / name, place / name)
            else:
                shutil.copyfile(first / name, place / name)
        if not number % MOST_LINKS:
            first = place


def timed(name: str, *arguments: str) -> None:
    """Runs a script; prints its seconds, those of the processor, its peak memory and what it says."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    told = process.stdout.read() if process.stdout else ""
    _, _, used = os.wait4(process.pid, 0)
    seconds, processor = time.monotonic() - began, used.ru_utime + used.ru_stime
    print(
        f"{name}: {seconds:.1f} s, {processor:.1f} s of the processor, {used.ru_maxrss / 1024:.0f} MiB; {told.strip()}"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.batch.many_jobs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--left", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="keep everything here; photographs that are there are taken")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "photographs").exists():
            make_photographs(folder / "photographs", options.jobs)
        Image.new("RGB", (40, 30), (30, 90, 160)).save(folder / "painting.png")
        line = ["--content", str(folder / "photographs"), "--style", str(folder / "painting.png"), "--network", "slim"]
        line += ["--size", "96", "--output", str(folder / "out"), "--dry-run"]
        timed("nothing known, nothing done", "scripts/batch.py", *line)
        wanted = batch.parsed(line)
        make_results(wanted, options.left)
        timed("all but the last done", "scripts/batch.py", *line)
        for when in ("anew", "again"):
            began = time.monotonic()
            Folder(wanted.output).save_overview(batch.planned(wanted, Folder(wanted.output))[0], "many")
            print(f"results.jsonl and the page, {when}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
