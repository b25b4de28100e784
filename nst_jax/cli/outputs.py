"""The files that a run may write, checked before it starts: none of them is an input, another output or a device, and
there is room for them."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nst_jax.errors import NSTError
from nst_jax.files import is_there

if TYPE_CHECKING:
    from nst_jax.runs.plan import Prepared


def check_outputs(
    outputs: dict[str, Path | None], sources: dict[str, Sequence[Path | None]], changed: Sequence[str] = ()
) -> None:
    """Raises NSTError, before any work, for an output that cannot be written or would take the place of something.

    Args:
      outputs: the files that are to be written, by their options.
      sources: the inputs, by their options; None for what is not given.
      changed: pairs "OUTPUT INPUT" of options that may be the same file, which is then changed.
    """
    targets = {option: target for option, target in outputs.items() if target}
    there = {option: [one for one in paths if one and is_there(one)] for option, paths in sources.items()}
    for option, target in targets.items():
        exists = is_there(target)
        kept = [one for source, paths in there.items() if f"{option} {source}" not in changed for one in paths]
        if exists and any(os.path.samefile(one, target) for one in kept):
            raise NSTError(f"{option} is {target}, an input of this run: give another name")
        if target.is_dir() or not target.absolute().parent.is_dir():
            raise NSTError(f"{option} is {target}: give a file in a folder that exists")
        if exists and not target.is_file():
            raise NSTError(f"{option} is {target}, which is no ordinary file: give another name")
    for (first, path), (second, other) in itertools.combinations(targets.items(), 2):
        if os.path.realpath(path) == os.path.realpath(other):
            raise NSTError(f"{second} and {first} are both {other}: give two names")


def preview_path(output: Path, step: int) -> Path:
    """Where the picture after so many steps is kept: ``out.png`` gives ``out-000050.png``."""
    return output.with_name(f"{output.stem}-{step:06d}{output.suffix}")


def check_previews(output: Path, every: int, others: dict[str, Sequence[Path | None]]) -> None:
    """Raises NSTError where a preview, every so many steps, would take the place of one of ``others``, by option."""
    if not every:
        return
    folder = output.absolute().parent
    name = re.compile(rf"{re.escape(output.stem)}-(\d{{6,}}){re.escape(output.suffix)}", re.IGNORECASE)

    def is_preview(entry: str) -> bool:
        found = name.fullmatch(entry)
        return found is not None and int(found[1]) > 0 and int(found[1]) % every == 0

    there = [folder / entry for entry in os.listdir(folder) if is_preview(entry)]  # also links to elsewhere
    for option, paths in others.items():
        for path in filter(None, paths):
            would_be = is_preview(path.name) and os.path.realpath(path.absolute().parent) == os.path.realpath(folder)
            if would_be or (path.exists() and any(one.exists() and one.samefile(path) for one in there)):
                raise NSTError(
                    f"{option} has {path}, whose name --save-every {every} needs for a preview: give --output another"
                    " name"
                )


class Room(NamedTuple):
    """What is to be written, in words; into which folder, which need not be there yet; and its bytes at most."""

    what: str
    folder: Path
    most: int


def to_be_written(prepared: Prepared, output: Path, every: int, kept: Path | None) -> list[Room]:
    """What a run writes at most: its picture, previews every so many steps, and checkpoints in the folder ``kept``.

    A film is not among it, as nobody knows how many frames it will have.
    """
    from nst_jax.runs import checkpoints

    photograph = prepared.pictures.photograph
    transparent = photograph is not None and photograph.alpha is not None

    def picture(size: tuple[int, int]) -> Room:
        return room_of(output, size, transparent, prepared.config.depth)

    found = [picture(prepared.sizes[-1])]
    if every:
        before = previews = 0
        for size, steps in prepared.schedule:
            previews += ((before + steps) // every - before // every) * picture(size).most
            before += steps
        found.append(Room("its previews", output.parent, previews))
    if kept:
        found.append(Room("its checkpoints", kept, checkpoints.most_bytes(prepared, kept)))
    return found


def room_of(output: Path, size: tuple[int, int], transparent: bool, depth: int) -> Room:
    """What a picture of a (height, width) ``size`` takes at most, where ``output`` leads, which may be a link."""
    from nst_jax.pictures.encoding import WRITABLE, most_bytes

    place = Path(os.path.realpath(output)).parent
    return Room("the picture", place, most_bytes(WRITABLE[output.suffix.lower()], size, transparent, depth))


def check_disk(wanted: Iterable[Room]) -> None:
    """Raises NSTError, before any work, where ``short_of_room`` says something."""
    if short := short_of_room(wanted):
        raise NSTError(short)


def warn_of_room(program: str, wanted: Iterable[Room]) -> None:
    """Says ``short_of_room`` as a note: of a folder's pictures those that are made stay, and the command goes on."""
    if short := short_of_room(wanted):
        print(f"{program}: note: {short}", file=sys.stderr)


def short_of_room(wanted: Iterable[Room]) -> str:
    """In a line, which disk has no room for all that is to be written to it; "" where there is room.

    A system that cannot say what is free is passed over.
    """
    disks: dict[int, tuple[Path, list[Room]]] = {}
    for each in wanted:
        folder = each.folder.absolute()
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        with contextlib.suppress(OSError):
            disks.setdefault(os.stat(folder).st_dev, (folder, []))[1].append(each)
    for folder, there in disks.values():
        with contextlib.suppress(OSError):
            disk, needed = shutil.disk_usage(folder), sum(each.most for each in there)
            if disk.total and needed > disk.free:
                parts = " and ".join(f"{each.what} {size(each.most)}" for each in there)
                return (
                    f"{folder} has {size(disk.free)} free, and this run may need {size(needed)} there ({parts}): make"
                    " room, or choose a folder on another disk"
                )
    return ""


def size(count: int) -> str:
    """Bytes as people say them, in decimal units as disks have them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
