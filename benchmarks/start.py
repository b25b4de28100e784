"""What comes before the first step: imports, --help, the first compile, the first preview. Each in fresh processes.

    python -m benchmarks start --output start.json

"python", "import …", "--help" and "mistake" (an unknown option) are seconds of whole processes. "compile" is what a run
of one step at one size tells of its compiling. "preview" is the time from the start of a run of the default preset with
``--save-every 1`` to its first picture file; the run is then stopped. The last two come with an empty compilation cache
("cold") and with what the process before left in it ("warm"). Medians of ``--repeats`` turns. Needs the networks'
weights in the weights folder, as the commands do.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Row, median_of, table
from benchmarks.pictures import add_pair, path_of
from benchmarks.processes import PROJECT, STYLIZE, cache_at, finish, with_variables

COLUMNS = ("what", "network", "size", "cache", "seconds")
#: Processes that do no work, with their exit statuses.
IDLE = {
    "python": (["-c", "pass"], 0),
    "import nst_jax": (["-c", "import nst_jax"], 0),
    "import nst_jax.runs.stylize": (["-c", "import nst_jax.runs.stylize"], 0),
    "--help": ([*STYLIZE, "--help"], 0),
    "mistake": ([*STYLIZE, "--no-such-option"], 2),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_pair(parser)
    parser.add_argument("--networks", nargs="+", default=["slim", "vgg19"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[512], help="longest sides in pixels")
    parser.add_argument("--repeats", type=int, default=3)


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The rows, one a process, and their medians as a table, which it prints."""
    rows: list[Row] = []
    for _ in range(options.repeats):
        for what, (arguments, status) in IDLE.items():
            rows.append({"what": what, "seconds": finish(arguments, status=status).seconds})
        for network in options.networks:
            for size in options.sizes:
                rows += [{"network": network, "size": size, **row} for row in beginnings(network, size, options)]
    medians: list[Row] = []
    for key in dict.fromkeys(tuple(row.get(name) for name in COLUMNS[:-1]) for row in rows):
        same = [row for row in rows if tuple(row.get(name) for name in COLUMNS[:-1]) == key]
        medians.append({**dict(zip(COLUMNS[:-1], key, strict=True)), "seconds": median_of(same, "seconds")})
    print(table(medians, COLUMNS))
    return {"rows": rows, "medians": medians}


def beginnings(network: str, size: int, options: argparse.Namespace) -> list[Row]:
    """The first compile and the first preview, each with a cold and then a warm cache."""
    common = ["--content", str(path_of("content", options.content)), "--style", str(path_of("style", options.style))]
    common += ["--size", str(size), "--network", network]
    rows = []
    for what, seconds in (("compile", seconds_of_compiling), ("preview", seconds_to_preview)):
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                rows.append({"what": what, "cache": state, "seconds": seconds(common, cache_at(Path(cache)))})
    return rows


def seconds_of_compiling(arguments: list[str], cache: dict[str, str]) -> float:
    """What a run of one step at one size tells of its compiling."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        short = ["--scales", "1", "--steps", "1", "--output", f"{folder}/picture.png", "--report", str(report)]
        finish([*STYLIZE, *arguments, *short], cache)
        return json.loads(report.read_text())["seconds"]["compile"]


def seconds_to_preview(arguments: list[str], cache: dict[str, str]) -> float:
    """From the start of a run to its first preview, after which it is stopped as by Ctrl-C."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        process = subprocess.Popen(
            [sys.executable, *STYLIZE, *arguments, "--output", f"{folder}/picture.png", "--save-every", "1"],
            cwd=PROJECT,
            env=with_variables(cache),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not (previews := list(Path(folder).glob("picture-*.png"))):
                if process.poll() is not None:
                    raise SystemExit(f"a run ended with {process.returncode} and without a preview")
                time.sleep(0.01)
            seconds = min(preview.stat().st_mtime for preview in previews) - started
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    return seconds
