"""A training run from its start, or its last checkpoint, to its last minute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from slim_training import learning, student, teacher
from slim_training.bank import Bank
from slim_training.checkpoints import Checkpoints, Progress
from slim_training.options import Options
from slim_training.pictures import Pictures
from slim_training.renewals import Renewals
from slim_training.teacher import Teacher

#: Seconds between two checkpoints, and between two files of the student.
SAVE_EVERY, EXPORT_EVERY = 300, 60
#: Iterations over which the learning rate rises at first.
WARM_UP = 100
#: Filters that have died begin anew every so many iterations, in this part of the time.
REVIVE_EVERY, REVIVE_UNTIL = 500, 0.8
#: Iterations after which all poolings are compiled, and the time counts.
COMPILED = 2


def train(options: Options, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Runs until the minutes are over, with a line of errors now and then, and writes ``slim.h5`` and checkpoints.

    Args:
      options: of the command line.
      clock: gives the time in seconds.

    Returns where the run ended. Raises NSTError for data, files or options that cannot be used.
    """
    filters = teacher.read_filters(options.data)
    tutor = Teacher(filters)
    pictures = Pictures(options.data / "images", options.size)
    sampled = np.random.default_rng(options.seed)
    sample = [pictures.crop(kind, sampled) for kind in ("train", "style") for _ in range(8)]
    scales = tutor.scales(np.stack(sample))
    params = student.from_file(options.init_from, scales) if options.init_from else student.random_start(options.seed)
    with Checkpoints(options.out) as checkpoints:
        progress = checkpoints.latest(Progress(learning.start(params, options.learner), scales))
        origin = {
            "trained_by": f"scripts/train_slim.py {options.command_line()}",
            "trained_on": f"{len(pictures.kinds['train'])} photographs, {len(pictures.kinds['content'])} contents, "
            f"{len(pictures.kinds['style'])} paintings",
            "teacher": "VGG-19, Simonyan and Zisserman 2014, CC BY 4.0",
            "teacher_sha256": teacher.source_sha256(filters),
        }

        def write() -> None:
            export(options.out / "slim.h5", progress, origin)

        def save() -> None:
            checkpoints.save(progress)

        seed = options.seed, progress.iteration
        with Renewals(pictures, *seed) as renewals:
            drawn = np.random.default_rng(seed)
            bank = Bank(options.bank, options.size, renewals, tutor, options.mean_age, drawn, options.pooling == "both")
            _iterate(progress, bank, tutor, options, clock, {EXPORT_EVERY: write, SAVE_EVERY: save})
        write()
        save()
    return progress


def export(path: Path, progress: Progress, origin: Mapping[str, str]) -> None:
    """Writes the mean parameters as a weights file that says how they came about."""
    trained = {"trained_iterations": str(progress.iteration), "trained_minutes": f"{progress.seconds / 60:.1f}"}
    student.export(path, progress.state[1], progress.scales, {**origin, **trained})


def learning_rate(options: Options, iteration: int, part: float) -> float:
    """The rate after ``iteration`` iterations and a ``part`` of the time: a short rise, a half cosine to 1 percent."""
    return options.rate * min(1, (iteration + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))


def _iterate(
    progress: Progress,
    bank: Bank,
    tutor: Teacher,
    options: Options,
    clock: Callable[[], float],
    now_and_then: Mapping[float, Callable[[], None]],
) -> None:
    """Trains until the minutes are over, and does what is to be done every so many seconds.

    The device has an iteration to do while the host prepares the next.
    """
    before, limit, scales = progress.seconds, 60 * options.minutes, student.on_device(progress.scales)
    began, done, seconds = clock(), 0, before
    last = dict.fromkeys(now_and_then, began)
    report, log = Report(), None
    static = {"learner": options.learner, "average": options.average, "pushes": options.pushes}
    while seconds < limit:
        if progress.iteration % REVIVE_EVERY == 0 and seconds < REVIVE_UNTIL * limit:
            drawn = np.random.default_rng((options.seed, progress.iteration))
            progress.state = learning.revived(progress.state, bank.rows["x"], "avg", drawn)
        batch = bank.batch(options.batch)
        lesson = tutor.lesson(batch.rows["x"], batch.targets, batch.pooling)
        rate = learning_rate(options, progress.iteration, seconds / limit)
        given = progress.state, batch.rows, lesson, batch.targets.style, scales, rate
        if not done:
            learning.prepare(list(bank.members), *given, **static)
        jax.block_until_ready(log)
        progress.state, log, moved = learning.iterate(*given, pooling=batch.pooling, **static)
        report.add(log, *bank.push(batch, moved, lesson.losses, options.pushes))
        progress.iteration += 1
        done += 1
        if done <= COMPILED:
            jax.block_until_ready(log)
            began = clock()
        now = clock()
        seconds = before + now - began
        progress.seconds = seconds
        if progress.iteration % options.log_every == 0:
            waited = f"waited {bank.renewals.waited:.1f} s for pictures"
            print(
                f"{progress.iteration} {seconds / 60:.1f} min, rate {rate:.1e}, {report.line()}, {waited}", flush=True
            )
            report = Report()
        for every, act in now_and_then.items():
            if now - last[every] > every:
                last[every] = now
                act()


class Report:
    """The errors of some iterations, and how far the pictures that ended in them are by the teacher."""

    def __init__(self) -> None:
        self.logs: list[dict[str, jax.Array]] = []
        self.finished: list[tuple[jax.Array, np.ndarray]] = []

    def add(self, log: dict[str, jax.Array], standing: jax.Array, finished: np.ndarray) -> None:
        """Adds an iteration's errors, and what ``Bank.push`` returned."""
        self.logs.append(log)
        if finished.any():
            self.finished.append((standing, finished))

    def line(self) -> str:
        """Their means, and the medians of the pictures', in a line."""
        logs = jax.device_get(self.logs)
        means = {name: np.round(np.mean([log[name] for log in logs], 0), 3) for name in logs[0]}
        ended = [np.asarray(standing)[finished] for standing, finished in self.finished]
        count = sum(map(len, ended))
        style, content = np.median(np.concatenate(ended), 0) if ended else (np.nan, np.nan)
        return (
            f"loss {means['loss']:.3f}, features {means['features']}, means {means['means']}, "
            f"second moments {means['seconds']}, {count} finished: style {style:.3f} content {content:.3f}"
        )
