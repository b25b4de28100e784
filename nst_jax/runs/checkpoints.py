"""Checkpoints of a run, by orbax: where it is between two chunks, so that it goes on to the same picture bit for bit.

A checkpoint is complete or not there: orbax writes it under another name first, in a thread of its own. The last two
are kept. Each carries a checksum, and what the run is; one that is damaged is passed over for the one before.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from nst_jax.errors import NSTError, named
from nst_jax.meshes import whole
from nst_jax.runs import memory, processes
from nst_jax.runs.identity import as_read, difference, identity
from nst_jax.runs.plan import Prepared
from nst_jax.runs.pyramid import Position
from nst_jax.runs.report import versions

#: Of what is in one; another number where that changes.
FORMAT = 2
#: How many are kept.
KEPT = 2
#: Arrays of the picture's shape in one, besides L-BFGS's pairs.
PICTURES = 10
#: What of a position is told in words; the rest of it are arrays.
WHERE = ("stage", "leaner", "steps", "evaluations", "trace")
#: The folder of a checkpoint, by its number, and what orbax calls one that is being written.
COMPLETE, UNFINISHED = re.compile(r"\d+"), re.compile(r"\d+\.orbax-checkpoint-tmp.*")


def interval(text: str) -> tuple[int, float]:
    """How often: ("20") → (20 steps, 0 seconds), ("30s") → (0 steps, 30 seconds). Raises NSTError for anything else."""
    found = re.fullmatch(r"([1-9]\d{0,8})(s?)", text.strip())
    if not found:
        raise NSTError(
            f"--checkpoint-every is {named(text)!r}: give a number of steps, such as 20, or of seconds, such as 60s"
        )
    return (0, float(found[1])) if found[2] else (int(found[1]), 0.0)


def check_folder(folder: Path, resume: bool) -> None:
    """Raises NSTError, before any work, for a folder that checkpoints cannot be written to or taken from.

    A run's checkpoints are left alone unless ``resume``. To resume from a folder that is empty, or not there yet, is to
    start: so a run that is killed early can be started again by the same command.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise NSTError(f"{folder} is no folder, and checkpoints are kept in one: give another name")
        names = os.listdir(folder) if folder.exists() else []
    except OSError as error:
        raise NSTError(f"cannot use the folder {folder}: {error.strerror or error}") from None
    complete = [name for name in names if COMPLETE.fullmatch(name)]
    foreign = [name for name in names if name not in complete and not UNFINISHED.fullmatch(name)]
    if foreign:
        raise NSTError(f"{folder} holds other files than checkpoints, such as {named(foreign[0])}: give another folder")
    if complete and not resume:
        raise NSTError(f"{folder} holds a run's checkpoints already: continue it with --resume, or give another folder")


def most_bytes(run: Prepared, folder: Path) -> int:
    """As many bytes as a run may still write to its folder: the checkpoints that are kept, and one more meanwhile."""
    height, width = run.sizes[-1]
    pairs = memory.way_at(run.footprint, run.plan, run.sizes[-1], run.passes[-1].counts[-1]).pairs
    most = (KEPT + 1) * 12 * height * width * (PICTURES + 2 * pairs)
    with contextlib.suppress(OSError):
        most -= sum(path.stat().st_size for path in folder.rglob("*"))
    return max(0, most)


class Checkpoints:
    """The checkpoints of a run in a folder; a context manager, at whose end all is on the disk.

    Attributes:
      run: the run, with the way of using the memory that it began with.
      position: where it goes on, or None for its start.
      notes: what was wrong but could be passed over, one line each.
    """

    def __init__(
        self,
        folder: Path,
        run: Prepared,
        *,
        every: str = "60s",
        resume: bool = False,
        looks: int = 0,
        tell: Callable[[str], None] = lambda note: None,
    ) -> None:
        """Opens or makes the folder, and with ``resume`` finds the latest checkpoint that is whole.

        Args:
          folder: of this run alone.
          run: as it is prepared.
          every: so many steps, or seconds: see ``interval``.
          resume: go on with what is there.
          looks: as ``stylize`` takes it.
          tell: told in one line when a checkpoint cannot be written; the run goes on.

        Raises NSTError for a folder that cannot be used, or with ``resume`` for checkpoints of another run.
        """
        import orbax.checkpoint as ocp  # takes a third of a second, and few runs need it

        check_folder(folder, resume)
        self.folder, self.run, self.tell = folder, run, tell
        self.steps, self.seconds = interval(every)
        told = {
            "format": FORMAT,
            "run": identity(run, looks),
            "versions": versions(),
            "device": run.machine.words(),
            "way": run.way(looks),
        }
        self.told = as_read(told)
        self.notes: list[str] = []
        self.position: Position | None = None
        self.broken = False
        self.args = ocp.args
        self.manager: ocp.CheckpointManager | None = None
        if processes.first():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
                options = ocp.CheckpointManagerOptions(
                    max_to_keep=KEPT,
                    create=False,
                    cleanup_tmp_directories=True,
                    **({"multiprocessing_options": alone} if processes.several() else {}),
                )
                self.manager = ocp.CheckpointManager(folder.resolve(), options=options)
            except OSError as error:
                raise NSTError(f"cannot write to the folder {folder}: {error.strerror or error}") from None
        try:
            self._go_on(*self._open())
        except BaseException:
            self._close()
            raise
        self.number = max(self.manager.all_steps(), default=0) if self.manager else 0
        self.last_step, self.last_time = len(self.position.trace) if self.position else 0, time.monotonic()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attempt(self._close)

    def _close(self) -> None:
        if self.manager:
            self.manager.close()

    def _open(self) -> tuple[dict[str, Any] | None, np.ndarray]:
        """What the latest whole checkpoint tells, or None, and its bytes; the damaged ones after it are removed.

        Of several processes the first one reads, and gives it to the others.
        """
        told, packed = self._latest() if self.manager else (None, np.empty(0, np.uint8))
        if processes.several():
            told = processes.of_first(told)
            packed = np.frombuffer(processes.from_first(packed.tobytes()), np.uint8)
        return told, packed

    def _latest(self) -> tuple[dict[str, Any] | None, np.ndarray]:
        """``_open`` of the process that reads."""
        assert self.manager is not None, "it reads"
        numbers = sorted(self.manager.all_steps(), reverse=True)
        for number in numbers:
            try:
                return self._read(number)
            except Exception:  # orbax raises nearly anything on damaged files
                self.notes.append(f"checkpoint {number} in {self.folder} is damaged: it is removed")
                self.manager.delete(number)
        if numbers:
            self.notes.append(f"no checkpoint in {self.folder} is whole: the run starts at its beginning")
        return None, np.empty(0, np.uint8)

    def _go_on(self, told: dict[str, Any] | None, packed: np.ndarray) -> None:
        """Takes the position and the way of a checkpoint. Raises NSTError for one of another run."""
        if told is None:
            return
        if told.get("format") != FORMAT:
            raise NSTError(f"{self.folder} holds checkpoints of another version of nst_jax: give another folder")
        differs = difference(told["run"], self.told["run"])
        kinds = [words["device"]["platform"] for words in (told, self.told)]
        shared, shares = (way.get("shards", 1) for way in (told["way"], self.told["way"]))
        if not differs and shared != shares:
            differs = f"{shared} devices shared its picture, not {shares}"
        if not differs and "tpu" in kinds and kinds[0] != kinds[1]:  # there L-BFGS's pairs lie in another order
            differs = f"it was on a {kinds[0]}, not a {kinds[1]}"
        if differs:
            raise NSTError(
                f"{self.folder} holds checkpoints of another run: {differs}; give the same inputs and options, or"
                " another folder"
            )
        self.run = self.run.in_way(told["way"])
        self.told["way"] |= self.run.plan.way()
        arrays = unpacked(packed, told["layout"])
        image = arrays.pop("image")
        self.position = Position(**{name: told[name] for name in WHERE}, image=image, leaves=arrays)
        self._compare(told)

    def _compare(self, told: Mapping[str, Any]) -> None:
        """Notes where versions or device are not those of the checkpoint: then the last bits may differ."""
        for what in ("versions", "device", "way"):
            changed = [
                f"{name} was {told[what].get(name)} and is {value}"
                for name, value in self.told[what].items()
                if told[what].get(name) != value
            ]
            if changed:
                self.notes.append(f"{'; '.join(changed)}: the picture may differ from that of a run in one go")

    def _read(self, number: int) -> tuple[dict[str, Any], np.ndarray]:
        """What a checkpoint tells, and its bytes. Raises whatever comes up where it is damaged."""
        assert self.manager is not None, "it reads"
        args = self.args
        found = self.manager.restore(
            number, args=args.Composite(arrays=args.StandardRestore(), told=args.JsonRestore())
        )
        told, packed = dict(found.told), np.asarray(found.arrays["packed"])
        if told.pop("checksum") != _checksum(told, packed):
            raise ValueError("its checksum is another")
        unpacked(packed, told["layout"])
        return told, packed

    def keep(self, position: Position, ending: bool) -> None:
        """Writes a checkpoint where one is due, or the run ends there; what goes wrong is told, and the run goes on.

        The arrays are copied, and written while the run goes on. Where one is still being written, the next waits for
        its turn; where the run ends, the run waits for it. Of several processes the first one decides and writes.
        """
        step, now = len(position.trace), time.monotonic()
        # a stage that has started anew is at a smaller step
        due = not 0 <= step - self.last_step < self.steps if self.steps else now - self.last_time >= self.seconds
        free = self.manager is not None and not self.broken
        if not processes.any_of(free and (ending or (due and not self._saving()))):
            return
        self.last_step, self.last_time = step, now
        fetched = ((name, whole(array)) for name, array in position.leaves.items())  # of all processes, in turn
        if self.manager:
            arrays = dict(fetched)
            self._attempt(lambda: self._write(position, arrays, ending))
        else:
            collections.deque(fetched, maxlen=0)  # the first one alone has use for them

    def _saving(self) -> bool:
        return self.manager is not None and bool(self.manager.is_saving_in_progress())

    def _write(self, position: Position, arrays: Mapping[str, np.ndarray], wait: bool) -> None:
        assert self.manager is not None, "it writes"
        packed, layout = pack({"image": position.image, **arrays})
        told = as_read(
            self.told
            | {
                **{name: getattr(position, name) for name in WHERE},
                "layout": layout,
            }
        )
        told["checksum"] = _checksum(told, packed)
        self.number += 1
        saved, words = self.args.StandardSave({"packed": packed}), self.args.JsonSave(told)
        self.manager.save(self.number, args=self.args.Composite(arrays=saved, told=words), force=True)
        if wait:
            self.manager.wait_until_finished()

    def _attempt(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # of a full disk, orbax raises what it has at hand
            if not self.broken:
                self.tell(f"cannot write checkpoints to {self.folder}: {_short(error)}; the run goes on without")
            self.broken = True


def pack(arrays: Mapping[str, Any]) -> tuple[np.ndarray, list[tuple[str, str, list[int]]]]:
    """Arrays, wherever they are, copied one behind the other into one of bytes; and the name, type and shape of each.

    One array is what orbax reads without a word on standard error where it is damaged: of several, those that are
    still being read when the first one fails print tracebacks.
    """
    layout = [(name, np.dtype(array.dtype).str, list(np.shape(array))) for name, array in arrays.items()]
    packed = np.empty(sum(array.nbytes for array in arrays.values()), np.uint8)
    start = 0
    for array in arrays.values():
        packed[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        start += array.nbytes
    return packed, layout


def unpacked(packed: np.ndarray, layout: Sequence[tuple[str, str, list[int]]]) -> dict[str, np.ndarray]:
    """The arrays that ``pack`` packed, copied: so each lies where its type asks for."""
    arrays, start = {}, 0
    for name, kind, shape in layout:
        size = int(np.prod(shape, dtype=int)) * np.dtype(kind).itemsize
        arrays[name] = packed[start : start + size].copy().view(kind).reshape(shape)
        start += size
    return arrays


def _checksum(told: Mapping[str, Any], packed: np.ndarray) -> int:
    """Of all that a checkpoint holds, against chance: a change of a byte of it gives another."""
    return zlib.crc32(packed.data, zlib.crc32(json.dumps(told, sort_keys=True).encode()))


def _short(error: Exception) -> str:
    """The first line of an error, of which orbax's may have many."""
    return error.strerror if isinstance(error, OSError) and error.strerror else processes.short(error)
