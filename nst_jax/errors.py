"""The one exception that stands for a mistake of the caller's, and how text of unknown origin is shown."""

import difflib
from collections.abc import Iterable

#: Characters of a message, and of a single name or value of unknown origin in it. What is longer is cut in its middle.
LONGEST, LONGEST_NAME = 2000, 60


class NSTError(ValueError):
    """A mistake of the caller's: a file, shape, option or weight that cannot be used.

    The message is one printable line that says what is wrong and what would be right. The command lines print it on
    standard error and exit with its ``status``; in the library it is an ordinary ``ValueError``.
    """

    status = 2

    def __init__(self, message: object) -> None:
        super().__init__(printable(message, LONGEST))


def named(text: object) -> str:
    """A name or value of unknown origin, ``printable`` and short enough for a message."""
    return printable(text, LONGEST_NAME)


def meant(name: str, known: Iterable[str], otherwise: str, alike: float = 0.6) -> str:
    """What is said of a misspelt name: which of the ``known`` it is most like, or ``otherwise`` where none is.

    ``alike`` is how much, from 0 to 1: of two of the same letters in the same order 1.
    """
    near = difflib.get_close_matches(name[:LONGEST_NAME], known, 1, alike)
    return f"did you mean {near[0]}?" if near else otherwise


def printable(text: object, longest: int | None = None) -> str:
    """Text on one line, for a terminal or a file of UTF-8: control characters and what is no Unicode are escaped.

    A byte of a file's name that is no UTF-8 becomes ``\\xe9``, an escape character ``\\x1b``. More than ``longest``
    characters are shortened to that, in the middle.
    """
    shown = "".join(one if one.isprintable() else _escaped(one) for one in str(text))
    if longest is None or len(shown) <= longest:
        return shown
    end = longest // 3
    return f"{shown[: longest - end - 3]}...{shown[-end:]}"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
