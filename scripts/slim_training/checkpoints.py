"""What is saved of a run, and how it goes on from there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import TracebackType

import orbax.checkpoint as ocp

from nst_jax.errors import NSTError
from slim_training.learning import State
from slim_training.student import Scales


@dataclasses.dataclass
class Progress:
    """Where a run is between two iterations.

    Attributes:
      state: what is learnt.
      scales: root mean square of the teacher's responses at each tap, once and for all.
      iteration: iterations done.
      seconds: that they took.
    """

    state: State
    scales: Scales
    iteration: int = 0
    seconds: float = 0.0

    def to_tree(self) -> dict[str, object]:
        """As it is saved."""
        progress = {"iteration": self.iteration, "seconds": self.seconds}
        return {"state": self.state, "progress": progress, "scales": self.scales}


class Checkpoints:
    """The last two checkpoints of a run, in the folder ``checkpoints`` of its own folder; a context manager."""

    def __init__(self, folder: Path):
        """Raises NSTError where the folder cannot be made."""
        self.folder = folder.resolve() / "checkpoints"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NSTError(f"cannot write to {self.folder}: {error.strerror or error}") from None
        self.manager = ocp.CheckpointManager(self.folder, options=ocp.CheckpointManagerOptions(max_to_keep=2))

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.manager.close()

    def latest(self, start: Progress) -> Progress:
        """The latest checkpoint that can be read; where there is none, ``start``, which gives a checkpoint's shapes.

        Raises NSTError where none of those that are there can be read.
        """
        steps, saved, failure = sorted(self.manager.all_steps(), reverse=True), None, None
        for step in steps:
            try:
                saved = self.manager.restore(step, args=ocp.args.StandardRestore(start.to_tree()))
                break
            except Exception as error:  # whatever damaged files lead to
                failure = error
        if not steps:
            return start
        if saved is None:
            raise NSTError(
                f"no checkpoint in {self.folder} can be read: they are damaged, or of another --learner or network;"
                " give that, or another --out"
            ) from failure
        for damaged in steps[: steps.index(step)]:
            self.manager.delete(damaged)
        progress = saved["progress"]
        return Progress(saved["state"], saved["scales"], int(progress["iteration"]), float(progress["seconds"]))

    def save(self, progress: Progress) -> None:
        """Saves, unless this iteration is saved already, and waits until it is on the disk."""
        if self.manager.latest_step() != progress.iteration:
            self.manager.save(progress.iteration, args=ocp.args.StandardSave(progress.to_tree()))
            self.manager.wait_until_finished()
