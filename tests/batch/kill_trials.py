"""A batch that is killed again and again must end as one that nobody has touched. Run by hand:

    python -m tests.batch.kill_trials --jobs 200 --broken 10 --kills 20 --workers 2
    python -m tests.batch.kill_trials --jobs 200 --broken 10 --kills 20 --workers 2 --cluster

First the batch runs undisturbed, then in another folder, where at random moments the command and all its processes are
killed (``kill -9``), and the command is started again. With several workers, a single one is killed as often. In the
end both folders must have the same pictures, byte for byte, the same errors, and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nst_jax.pictures import images

PROJECT = Path(__file__).parents[2]
#: What every process of a trial has in its environment.
MARK = "NST_KILL_TRIAL"


def make_inputs(folder: Path, jobs: int, broken: int, size: int) -> Path:
    """Photographs of two shapes, three paintings of two, and a manifest; the first ``broken`` contents are no pictures.

    Half of those are cut off behind their header, so that only decoding tells.
    """
    generator = np.random.default_rng(1)
    for number in range(3):
        pixels = images.resize(generator.uniform(size=(9, 7, 3)), size + 8 * (number % 2), size)
        images.save_image(folder / f"style-{number}.png", pixels)
    manifest = folder / "jobs.csv"
    with open(manifest, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["content", "style"])
        for number in range(jobs):
            name = f"content-{number:03d}.png"
            height, width = (3 * size // 4, size) if number % 2 else (size, 3 * size // 4)
            images.save_image(folder / name, images.resize(generator.uniform(size=(5, 6, 3)), height, width))
            if number < broken:
                data = (folder / name).read_bytes()
                (folder / name).write_bytes(b"no picture" if number % 2 else data[: len(data) // 2])
            rows.writerow([name, f"style-{number % 3}.png"])
    return manifest


def start(manifest: Path, output: Path, options: list[str], mark: str) -> subprocess.Popen[bytes]:
    """Starts the batch."""
    command = [sys.executable, "scripts/batch.py", "--manifest", str(manifest), "--output", str(output), *options]
    with open(output.with_suffix(".log"), "ab") as log:
        return subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, MARK: mark}, stdout=log, stderr=log, start_new_session=True
        )


def processes(mark: str) -> dict[int, str]:
    """The command lines of all processes of a trial, by their numbers."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def kill_all(mark: str) -> None:
    """Kills all processes of a trial, also those that are started meanwhile."""
    while there := processes(mark):
        for number in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.05)


def kill_one(mark: str) -> bool:
    """Kills one worker of a trial; whether there was one."""
    workers = [number for number, line in processes(mark).items() if "spawn_main" in line or "ray::Actor" in line]
    if not workers:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(random.choice(workers), signal.SIGKILL)
    return True


def results(output: Path) -> int:
    """How many results there are."""
    return len(list((output / "results").glob("[!.]*"))) if output.exists() else 0


def disturbed(
    manifest: Path, output: Path, options: list[str], kills: int, results_in_all: int, longest: float, workers: int
) -> int:
    """Runs the batch with so many kills; returns its last exit status.

    Each comes once a random number of results is there, the smallest number first, and then within ``longest`` seconds:
    so they are spread over the whole of the work, however long the command takes to start.
    """
    mark = secrets.token_hex(8)
    for number, wanted in enumerate(sorted(random.randrange(results_in_all) for _ in range(kills))):
        process = start(manifest, output, options, mark)
        while process.poll() is None and results(output) < wanted:
            time.sleep(0.05)
        moment = random.uniform(0, longest)
        if workers > 1 and number % 2:
            time.sleep(moment / 2)
            kill_one(mark)
            time.sleep(moment / 2)
        else:
            time.sleep(moment)
        ended = process.poll()
        told = "" if ended is None else ", had ended"
        print(f"kill {number + 1} at {wanted} results and {moment:.1f} s: {results(output)} results{told}", flush=True)
        kill_all(mark)
        process.wait()
    process = start(manifest, output, options, mark)
    singles = 0
    while process.poll() is None:
        time.sleep(random.uniform(0.2, longest))
        if workers > 1 and singles < kills // 2:
            singles += kill_one(mark)
    print(f"killed {singles} single workers more", flush=True)
    kill_all(mark)  # what Ray leaves
    return process.returncode


def contents(output: Path) -> dict[str, bytes]:
    """The pictures, by their jobs."""
    return {path.parent.name: path.read_bytes() for path in output.glob("results/*/picture.png")}


def errors(output: Path) -> dict[str, str]:
    """The errors in ``results.jsonl``, by their jobs."""
    rows = map(json.loads, (output / "results.jsonl").read_text().splitlines())
    return {row["job"]: row["error"] for row in rows if "error" in row}


def leftovers(output: Path) -> list[str]:
    """What is in the folder and should not be there."""
    temporary = [str(path) for path in output.rglob("*") if path.name.startswith(".")]
    partial = [str(path) for path in output.glob("results/*") if len(list(path.iterdir())) != 3]
    return [*temporary, *partial, *map(str, output.glob("leases/*"))]


def compare(whole: Path, other: Path, jobs: int, broken: int) -> None:
    """Raises SystemExit where the two folders differ, or are not complete."""
    made, again = contents(whole), contents(other)
    if len(made) != jobs - broken or made.keys() != again.keys():
        raise SystemExit(f"{len(made)} and {len(again)} pictures instead of {jobs - broken}")
    if differing := [name for name in made if made[name] != again[name]]:
        raise SystemExit(f"{len(differing)} pictures differ, among them {differing[0]}")
    if len(errors(whole)) != broken or errors(whole) != errors(other):
        raise SystemExit(f"{len(errors(whole))} and {len(errors(other))} errors instead of {broken}")
    if left := leftovers(other) + leftovers(whole):
        raise SystemExit(f"left over: {left}")


def trial(folder: Path, options: argparse.Namespace) -> None:
    """One trial, in an empty folder."""
    manifest = make_inputs(folder, options.jobs, options.broken, options.size)
    common = ["--network", "slim", "--size", str(options.size), *options.options.split()]
    common += ["--workers", str(options.workers)] + (["--cluster"] if options.cluster else [])
    whole, other = folder / "whole", folder / "killed"
    began = time.monotonic()
    status = start(manifest, whole, common, "").wait()
    seconds = time.monotonic() - began
    print(f"undisturbed: {seconds:.0f} s, status {status}", flush=True)
    longest = options.longest or seconds / options.kills
    made = options.jobs - options.broken
    last = disturbed(manifest, other, common, options.kills, made, longest, options.workers)
    if (status, last) != (1 if options.broken else 0,) * 2:
        raise SystemExit(f"the exit statuses are {status} and {last}; see {whole}.log and {other}.log")
    compare(whole, other, options.jobs, options.broken)
    print(f"{made} pictures byte-equal, {options.broken} errors, nothing left over", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.batch.kill_trials", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--broken", type=int, default=10)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cluster", action="store_true", help="by Ray, which is started here")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--longest", type=float, default=0, help="seconds at most from a number of results to the kill")
    parser.add_argument(
        "--options", default="--steps 4 --coarse-steps 2", help="further options of nst-batch, as one argument"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep everything in this new folder")
    options = parser.parse_args()
    random.seed(options.seed)
    if options.folder:
        options.folder.mkdir()
        trial(options.folder, options)
    else:
        with tempfile.TemporaryDirectory() as folder:
            trial(Path(folder), options)


if __name__ == "__main__":
    main()
