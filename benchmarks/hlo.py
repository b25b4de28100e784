"""What the text of a compiled program says: its kernels, its collectives, its calls of the host. Plain Python.

The text is what ``Compiled.as_text()`` gives on a CPU, a GPU and a TPU: computations, each with its instructions.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

#: The operations by which devices exchange numbers; one may be split into its start and its end.
COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
#: Operations that start no kernel: they name what is there, or wait for what was started before.
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id")
#: Operations that are others: their kernels are those of the computations that they call.
AROUND = ("while", "conditional", "call")
#: What the name of a custom call has in it where Python is called back, and operations by which the host is reached.
CALLBACK, HOST = "callback", ("infeed", "outfeed")
#: Custom calls that are no kernels: they name parts of an array as one.
NAMES_ONLY = ("ConcatBitcast", "SliceBitcast", "AllocateBuffer", "Sharding")

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([a-z][\w\-]*)\((.*)$")
_CALLED = re.compile(r"\b(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_SHAPE = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_OPERAND = re.compile(r"%([\w.\-]+)")


class Instruction(NamedTuple):
    """One operation.

    Attributes:
      name: by which others take its result.
      shape: of the result, as the text has it.
      kind: such as "fusion".
      called: the computations that it calls.
      target: of a custom call, else "".
      rest: its operands and all else that the text says.
    """

    name: str
    shape: str
    kind: str
    called: tuple[str, ...]
    target: str
    rest: str


class Program(NamedTuple):
    """A program's computations by their names, and which of them it starts with."""

    computations: dict[str, list[Instruction]]
    entry: str


def program_of(text: str) -> Program:
    """The program that a text describes. Raises ValueError for a text without one."""
    computations: dict[str, list[Instruction]] = {}
    entry, here = "", list[Instruction]()
    for line in text.splitlines():
        if head := _COMPUTATION.match(line):
            here = computations[head[2]] = []
            entry = head[2] if head[1] else entry
        elif found := _INSTRUCTION.match(line):
            here.append(_instruction(*found.groups()))
    if not entry:
        raise ValueError("the text describes no program: it has no ENTRY")
    return Program(computations, entry)


def _instruction(name: str, shape: str, kind: str, rest: str) -> Instruction:
    called = [*_CALLED.findall(rest)]
    for each in _BRANCHES.findall(rest):
        called += re.findall(r"[\w.\-]+", each)
    target = _TARGET.search(rest)
    return Instruction(name, shape, kind, tuple(called), target[1] if target else "", rest)


def _started(kind: str) -> str:
    """The kind of an operation whether it is one piece or the start of two; "" for the end of one."""
    if kind.endswith(("-done", "-update")):
        return ""
    return kind.removesuffix("-start")


def collectives(program: Program) -> dict[str, int]:
    """How many of each collective operation the program's text has, those of loops counted once."""
    kinds = Counter(_started(each.kind) for body in program.computations.values() for each in body)
    return {kind: kinds[kind] for kind in COLLECTIVES if kinds[kind]}


def host_calls(program: Program) -> int:
    """How often the program's text calls the host: callbacks of Python, and transfers to and from it."""
    return sum(_calls_host(each) for body in program.computations.values() for each in body)


def _calls_host(each: Instruction) -> bool:
    if each.kind in ("send", "recv"):
        return "is_host_transfer=true" in each.rest
    return each.kind in HOST or (each.kind == "custom-call" and CALLBACK in each.target)


def loops(program: Program) -> list[str]:
    """The bodies of the loops that the program starts itself; loops within them are theirs."""
    return [called[0] for called in _bodies(program, program.entry)]


def _bodies(program: Program, name: str) -> Iterator[tuple[str, ...]]:
    for each in program.computations.get(name, []):
        if each.kind == "while":
            yield each.called
        elif each.kind in AROUND:
            for called in each.called:
                yield from _bodies(program, called)


def kernels(program: Program, name: str) -> int:
    """How many kernels a computation starts, with what it calls; a loop within it counts as one turn."""
    total = 0
    for each in program.computations.get(name, []):
        kind = _started(each.kind)
        if not kind or kind in FREE or each.target in NAMES_ONLY:
            continue
        if each.kind in AROUND:
            total += sum(kernels(program, called) for called in each.called)
        else:
            total += 1
    return total


def bytes_of(shape: str, scratch: bool = True) -> int:
    """Bytes of all arrays in a shape; without those of single bytes unless ``scratch``, where libraries work."""
    total = 0
    for kind, sides in _SHAPE.findall(shape):
        width = 8 if kind == "pred" else int(re.sub(r"\D", "", kind) or 0)
        if scratch or width > 8:
            total += width * math.prod(int(side) for side in sides.split(",") if side) // 8
    return total


def library_bytes(program: Program) -> int:
    """Bytes that calls of libraries read and write, of which XLA's own account knows nothing; loops count once."""
    total = 0
    for body in program.computations.values():
        shapes = {each.name: each.shape for each in body}
        for each in body:
            if each.kind == "custom-call" and each.target not in NAMES_ONLY:
                operands = _OPERAND.findall(each.rest.partition(")")[0])
                total += bytes_of(each.shape, scratch=False)
                total += sum(bytes_of(shapes.get(operand, "")) for operand in operands)
    return total
