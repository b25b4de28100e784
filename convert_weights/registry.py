"""The formats that can be read, and which of them a file is, told from its first bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from convert_weights.formats import keras, matconvnet, numpy_files, own, safetensors, torch_pth
from convert_weights.layer_names import Found
from nst_jax.errors import NSTError

HEAD_BYTES = 512


class Format(Protocol):
    """What a module of ``convert_weights.formats`` offers."""

    NAME: str

    def matches(self, path: Path, head: bytes) -> bool:
        """Whether a file with these first ``HEAD_BYTES`` is of this format."""

    def read(self, path: Path, network: str | None) -> Found:
        """The file's arrays; ``network`` is what the user says it holds. Raises NSTError for a file that is damaged."""


#: In this order; a format comes after those that are a special case of it.
FORMATS: tuple[Format, ...] = (own, keras, matconvnet, numpy_files, torch_pth, safetensors)


def detect(path: Path) -> Format:
    """The format of a file. Raises NSTError for a file that is missing, empty, a folder or of no known format."""
    try:
        if path.is_dir():
            raise NSTError(f"{path} is a folder: give the weights file in it")
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise NSTError(f"no file at {path}: check the name, or use --download vgg19") from None
    except OSError as error:
        raise NSTError(f"cannot read {path}: {error.strerror}") from error
    if not head:
        raise NSTError(f"{path} is empty: fetch it again")
    for kind in FORMATS:
        if kind.matches(path, head):
            return kind
    raise NSTError(
        f"{path} is no weights file that can be read: give Keras .h5, torch .pth, .safetensors, MatConvNet .mat,"
        " or NumPy .npz or .npy"
    )
