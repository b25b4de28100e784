"""Kills runs at random moments (-9), has each go on from its checkpoints, and compares its picture, by hand.

    python tests/killed_runs.py --kills 10 --sizes 64 256 --optimizers lbfgs adam
    python tests/killed_runs.py --kills 10 --sizes 160 --options "--tile 64"
    python tests/killed_runs.py --kills 10 --sizes 96 --processes 2

A run is killed three times at moments drawn by ``--seed``, unless it has ended before, and may then end; that is
repeated until so many have been killed. The processes are the command's own; where ``--processes`` make one picture
together, all of them are killed. Prints one line for each size and
optimiser, and ends with status 1 if a picture differs from that of the run that nobody killed, by a byte of its file.
"""

import argparse
import contextlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command(place, output, size, optimizer, steps, *more):
    """The command line of a run."""
    pictures = ["--content", ROOT / "examples" / "townhouses.jpg", "--style", ROOT / "examples" / "swirls.jpg"]
    options = ["--network", "slim", "--size", size, "--optimizer", optimizer, "--steps", steps, "--scales", 3]
    words = [sys.executable, ROOT / "scripts" / "stylize.py", *pictures, *options, "--output", place / output, *more]
    return [str(word) for word in words]


def killed(words, seconds, count=1):
    """Runs a command, by ``count`` processes, for so long at most; gives whether it was killed, and what it said."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    together = ["--coordinator", f"127.0.0.1:{port}", "--process-count", str(count), "--process-id"]
    lines = [[*words, *together, str(number)] for number in range(count)] if count > 1 else [words]
    with contextlib.ExitStack() as stack:
        first, *others = [
            stack.enter_context(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
            for line in lines
        ]
        try:
            said, _ = first.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            for process in (first, *others):
                process.kill()
            return True, first.communicate()[0]
        if first.returncode:
            for process in others:
                process.kill()
            raise SystemExit(f"status {first.returncode}: {said}")
        for process in others:
            other, _ = process.communicate(timeout=600)
            if process.returncode:
                raise SystemExit(f"another process: status {process.returncode}: {other}")
        return False, said


def trial(place, size, optimizer, kills, steps, chance, further, processes):
    """Runs, kills and resumes at one size by one optimiser; gives a line on it, and whether all pictures were alike."""
    begun = time.monotonic()
    killed(command(place, "whole.png", size, optimizer, steps, *further), None, processes)
    whole, taken = (place / "whole.png").read_bytes(), time.monotonic() - begun
    count, alike, runs, points, others = 0, True, 0, [], set()
    while count < kills:
        shutil.rmtree(place / "kept", ignore_errors=True)
        (place / "again.png").unlink(missing_ok=True)
        going, runs, most = True, runs + 1, min(kills, count + 3)
        more = *further, "--checkpoint-every", 3
        while going:
            words = command(place, "again.png", size, optimizer, steps, "--resume", place / "kept", *more)
            going, said = killed(words, chance.uniform(0, 1.1 * taken) if count < most else None, processes)
            count += going
            points += re.findall(r"going on after step (\d+)", said)
            others |= set(re.findall(r"cores was \d+ and is \d+", said))
        alike &= (place / "again.png").read_bytes() == whole
    told = (
        "; ".join([*others, ""]) + f"killed {count} times in {runs} runs, went on after steps {' '.join(points) or '-'}"
    )
    return f"{size} px, {optimizer}: {told}: {'the same' if alike else 'DIFFERENT'}", alike


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--optimizers", nargs="+", default=["lbfgs", "adam"])
    parser.add_argument("--steps", type=int, default=100, help="at the full size")
    parser.add_argument("--options", default="", help="further options of nst-stylize, as one argument")
    parser.add_argument("--processes", type=int, default=1, help="that make one picture together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, alike = random.Random(options.seed), True
    for size in options.sizes:
        for optimizer in options.optimizers:
            with tempfile.TemporaryDirectory() as place:
                further = options.options.split()
                numbers = size, optimizer, options.kills, options.steps
                line, same = trial(Path(place), *numbers, chance, further, options.processes)
            alike &= same
            print(line, flush=True)
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())
