"""A training run from its start, or its last checkpoint, to its last minute."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from slim_training import learning, student, teacher
from slim_training.bank import Bank, Batch
from slim_training.checkpoints import Checkpoints, Progress
from slim_training.contract import Lesson, Teacher
from slim_training.options import Options
from slim_training.pictures import Pictures
from slim_training.student import Scales

#: Seconds between two checkpoints.
SAVE_EVERY = 300
#: Iterations over which the learning rate rises at first.
WARM_UP = 100


def train(options: Options, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Runs until the minutes are over, with a line of errors now and then, and writes ``slim.h5`` and checkpoints.

    Args:
      options: of the command line.
      clock: gives the time in seconds.

    Returns where the run ended. Raises NSTError for data, files or options that cannot be used.
    """
    options = dataclasses.replace(options, teacher=teacher.choose(options.teacher))
    rng = np.random.default_rng(options.seed)
    filters = teacher.read_filters(options.data)
    tutor = teacher.build(options.teacher, filters)
    pictures = Pictures(options.data / "images", options.size, rng)
    scales = tap_scales(tutor, pictures)
    params = student.from_file(options.init_from, scales) if options.init_from else student.random_start(options.seed)
    with Checkpoints(options.out) as checkpoints:
        progress = checkpoints.latest(Progress(learning.start(params, options.learner), scales))
        if progress.iteration:
            pictures.rng = np.random.default_rng([options.seed, progress.iteration])
        bank = Bank(options.bank, pictures, tutor, options.mean_age)
        origin = {
            "trained_by": f"scripts/train_slim.py {options.command_line()}",
            "trained_on": f"{len(pictures.kinds['train'])} photographs, {len(pictures.kinds['content'])} contents, "
            f"{len(pictures.kinds['style'])} paintings",
            "teacher": "VGG-19, Simonyan and Zisserman 2014, CC BY 4.0",
            "teacher_sha256": teacher.source_sha256(filters),
        }

        def save() -> None:
            checkpoints.save(progress)
            export(options.out / "slim.h5", progress, origin)

        _iterate(progress, bank, tutor, options, clock, save)
        save()
    return progress


def tap_scales(tutor: Teacher, pictures: Pictures) -> Scales:
    """The root mean square of the teacher's responses at each tap to eight photographs and eight paintings."""
    sample = np.stack([pictures.crop(kind) for kind in ("train", "style") for _ in range(8)])
    return {tap: float(np.sqrt(np.mean(np.square(f)))) for tap, f in tutor.features(sample).items()}


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
    save: Callable[[], None],
) -> None:
    """Trains until the minutes are over; the teacher reads the next batch while the student learns."""

    def teach(batch: Batch, with_gradient: bool) -> tuple[Batch, Lesson]:
        rows = batch.rows
        weights = rows["style_weights"], rows["content_weight"]
        return batch, tutor.lesson(rows["x"], batch.targets, *weights, with_gradient)

    before, limit = progress.seconds, 60 * options.minutes
    began = saved_at = clock()
    report = Report()
    with concurrent.futures.ThreadPoolExecutor(1) as aside:
        coming = aside.submit(teach, bank.batch(options.batch), False)
        while (seconds := before + clock() - began) < limit:
            part = seconds / limit
            batch, lesson = coming.result()
            with_gradient = part >= options.gradient_after and options.gradient_weight > 0
            coming = aside.submit(teach, bank.batch(options.batch, batch.items), with_gradient)
            rate = learning_rate(options, progress.iteration, part)
            progress.state, log, moved = learning.iterate(
                progress.state,
                batch.rows,
                lesson,
                batch.targets.style,
                progress.scales,
                rate,
                learner=options.learner,
                gradient_weight=0.0 if lesson.gradient is None else options.gradient_weight,
                average=options.average,
                pushes=options.pushes,
            )
            report.add(log, bank.push(batch.items, jax.tree.map(np.asarray, moved), lesson.losses))
            progress.iteration += 1
            progress.seconds = seconds
            if progress.iteration % options.log_every == 0:
                print(f"{progress.iteration} {seconds / 60:.1f} min, rate {rate:.1e}, {report.line()}", flush=True)
                report = Report()
            if clock() - saved_at > SAVE_EVERY:
                saved_at = clock()
                save()
    progress.seconds = seconds


class Report:
    """The errors of some iterations, and the teacher's losses of the pictures that ended in them."""

    def __init__(self) -> None:
        self.logs: list[dict[str, np.ndarray]] = []
        self.finished: list[tuple[float, float]] = []

    def add(self, log: Mapping[str, jax.Array], finished: list[tuple[float, float]]) -> None:
        """Adds an iteration's."""
        self.logs.append({name: np.asarray(error) for name, error in log.items()})
        self.finished += finished

    def line(self) -> str:
        """Their means, and the medians of the pictures', in a line."""
        means = {name: np.round(np.mean([log[name] for log in self.logs], 0), 3) for name in self.logs[0]}
        style, content = np.median(self.finished, 0) if self.finished else (np.nan, np.nan)
        return (
            f"loss {means['loss']}, features {means['features']}, Grams {means['grams']}, "
            f"gradients {means['gradients']}, "
            f"{len(self.finished)} finished: style {style:.3f} content {content:.3f}"
        )
