"""Kills runs at random moments (-9), has each go on from its checkpoints, and compares its picture, by hand.

    python tests/killed_runs.py --kills 10 --sizes 64 256 --optimizers lbfgs adam
    python tests/killed_runs.py --kills 10 --sizes 160 --options "--tile 64"

A run is killed three times at moments drawn by ``--seed``, unless it has ended before, and may then end; that is
repeated until so many have been killed. The processes are the command's own. Prints one line for each size and
optimiser, and ends with status 1 if a picture differs from that of the run that nobody killed, by a byte of its file.
"""

import argparse
import random
import re
import shutil
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


def killed(words, seconds):
    """Runs a command for so long at most; gives whether it had to be killed, and what it said."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True, process.communicate()[0]
        if process.returncode:
            raise SystemExit(f"status {process.returncode}: {said}")
        return False, said


def trial(place, size, optimizer, kills, steps, chance, further):
    """Runs, kills and resumes at one size by one optimiser; gives a line on it, and whether all pictures were alike."""
    begun = time.monotonic()
    killed(command(place, "whole.png", size, optimizer, steps, *further), None)
    whole, taken = (place / "whole.png").read_bytes(), time.monotonic() - begun
    count, alike, runs, points, others = 0, True, 0, [], set()
    while count < kills:
        shutil.rmtree(place / "kept", ignore_errors=True)
        (place / "again.png").unlink(missing_ok=True)
        going, runs, most = True, runs + 1, min(kills, count + 3)
        more = *further, "--checkpoint-every", 3
        while going:
            words = command(place, "again.png", size, optimizer, steps, "--resume", place / "kept", *more)
            going, said = killed(words, chance.uniform(0, 1.1 * taken) if count < most else None)
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
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, alike = random.Random(options.seed), True
    for size in options.sizes:
        for optimizer in options.optimizers:
            with tempfile.TemporaryDirectory() as place:
                further = options.options.split()
                line, same = trial(Path(place), size, optimizer, options.kills, options.steps, chance, further)
            alike &= same
            print(line, flush=True)
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())
