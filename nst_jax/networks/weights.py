"""A network's weights as data: arrays, what they expect of a picture, and where they come from. Knows no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nst_jax import layers
from nst_jax.errors import NSTError, named

#: Of a file's own names and of a shape's sides, in a message.
_MOST_NAMES, _MOST_SIDES = 12, 8


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a network expects: ``(range * image[..., order] - mean) / std`` for an RGB image in [0, 1].

    ``mean`` and ``std`` stand in the order of ``channel_order`` and in the units of ``range`` (1 or 255).
    """

    channel_order: str
    range: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


#: The original Oxford filters, and all that were ported from Caffe (Keras's too).
CAFFE = Preprocessing("BGR", 255.0, (103.939, 116.779, 123.68))
#: The filters that torchvision trained anew.
TORCHVISION = Preprocessing("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclasses.dataclass(frozen=True)
class Weights:
    """A network's arrays with what they expect and where they come from.

    ``arrays`` maps a convolution's name to ``{"kernel": float32 [3, 3, I, O], "bias": float32 [O]}``; ``sha256`` is
    the weights file's own (empty for weights that were never in a file).
    """

    network: str
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    preprocessing: Preprocessing
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Stored:
    """An array that a file holds: what its header says of it, and ``read``, which gives it.

    ``offset`` is where its numbers begin in the file, if they stand there one after the other as they are.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]
    offset: int | None = None


def held(array: np.ndarray) -> Stored:
    """An array that is in the memory already."""
    return Stored(array.shape, array.dtype, lambda: array)


def read_arrays(
    network: str, stored: Mapping[str, Mapping[str, Stored]], where: str
) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of a file as contiguous float32, each read after all their shapes have held.

    Raises NSTError, before anything is read, for layers and shapes that are not the network's; then for what is no
    floating-point number, cannot be read, or is not finite. ``where`` names the file.
    """
    check_shapes(network, stored, where)
    arrays = {
        name: {part: read_array(one, f"{where}: {name} {part}") for part, one in parts.items()}
        for name, parts in stored.items()
    }
    check_arrays(network, arrays, where)
    return arrays


def read_array(stored: Stored, where: str) -> np.ndarray:
    """An array as contiguous float32. Raises NSTError for what is no floating-point number, or cannot be read."""
    if stored.dtype.kind != "f":
        raise NSTError(f"{where} holds {stored.dtype} where floating-point numbers are right")
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # check_arrays reports what is not finite
            return np.ascontiguousarray(stored.read(), np.float32)
    except MemoryError:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise NSTError(f"{where} is truncated or damaged: fetch it again") from error


def check_shapes(network: str, arrays: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """``check_arrays`` of shapes alone, of whatever has one."""
    _refuse(network, where, _misfits(network, arrays))


def check_arrays(network: str, arrays: Mapping[str, Mapping[str, np.ndarray]], where: str) -> None:
    """Raises NSTError unless ``arrays`` holds exactly the network's convolutions, each of its shape and finite.

    ``where`` names the file for the message. One message names everything that is missing, unexpected or misshapen.
    """
    _refuse(network, where, _misfits(network, arrays, lambda array: bool(np.isfinite(array).all())))


def check_preprocessing(preprocessing: Preprocessing, where: str) -> None:
    """Raises NSTError for a preprocessing that leaves no finite picture; ``where`` names the file."""
    if preprocessing.channel_order not in ("RGB", "BGR"):
        raise NSTError(f"{where} has the channel order {preprocessing.channel_order!r}: RGB or BGR is right")
    numbers = {"range": (preprocessing.range,), "mean": preprocessing.mean, "std": preprocessing.std}
    for name, given in numbers.items():
        with np.errstate(over="ignore"):
            values = np.asarray(given, np.float32)
        if not np.isfinite(values).all() or (name != "mean" and not (values > 0).all()):
            told = ", ".join(f"{value:g}" for value in given)
            right = "finite numbers are" if name == "mean" else "finite numbers above 0 are"
            raise NSTError(f"{where} is damaged: its {name} is {told} where {right} right; convert the original again")


def _refuse(network: str, where: str, problems: list[str]) -> None:
    if problems:
        raise NSTError(f"{where} does not hold {network}: {'; '.join(problems)}")


def _misfits(
    network: str,
    arrays: Mapping[str, Mapping[str, Any]],
    good: Callable[[Any], bool] = lambda _: True,
) -> list[str]:
    """All that is missing, unexpected, misshapen or not ``good`` in what has shapes, one phrase each."""
    rows = {row.name: row for row in layers.table(network) if row.kind == "conv"}
    problems = []
    if missing := [name for name in rows if name not in arrays]:
        problems.append(f"missing {' '.join(missing)}")
    if unexpected := [named(name) for name in arrays if name not in rows]:
        more = f" and {len(unexpected) - _MOST_NAMES} more" if len(unexpected) > _MOST_NAMES else ""
        problems.append(f"unexpected {' '.join(unexpected[:_MOST_NAMES])}{more}")
    for name, row in rows.items():
        if name not in arrays:
            continue
        expected = {"kernel": (3, 3, row.inputs, row.channels), "bias": (row.channels,)}
        if row.stands_for:
            expected["map"] = (row.channels, row.stands_for)
        for part in arrays[name]:
            if part not in expected:
                problems.append(f"{name} has the unexpected part {named(part)}")
        for part, shape in expected.items():
            array = arrays[name].get(part)
            if array is None:
                problems.append(f"{name} has no {part}")
            elif array.shape != shape:
                sides = list(array.shape[:_MOST_SIDES])
                problems.append(f"{name} {part} is {named(sides)} where {list(shape)} is right")
            elif not good(array):
                problems.append(f"{name} {part} holds values that are not finite")
    return problems
