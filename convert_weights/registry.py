"""The formats that can be read, and which of them a file is, told from its contents."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from convert_weights.formats import keras, matconvnet, numpy_files, own, safetensors, torch_pth
from convert_weights.layer_names import Found
from nst_jax.errors import NSTError
from nst_jax.networks.weights_file import MOST_BYTES
from nst_jax.ordinary import ordinary_size


class Format(Protocol):
    """What a module of ``convert_weights.formats`` offers."""

    NAME: str

    def matches(self, path: Path, data: bytes) -> bool:
        """Whether a file with these bytes is of this format."""

    def read(self, path: Path, data: bytes, network: str | None) -> Found:
        """What its headers say it holds; ``network`` is what the user says.

        Raises NSTError for one that is damaged, or whatever its bytes lead to.
        """


#: In this order; a format comes after those that are a special case of it.
FORMATS: tuple[Format, ...] = (own, keras, matconvnet, numpy_files, torch_pth, safetensors)


def checked_size(path: Path) -> int:
    """The size of a file that can be read. Raises NSTError for one that is missing, empty, a folder or no file."""
    try:
        size = ordinary_size(path, MOST_BYTES)
    except FileNotFoundError:
        raise NSTError(f"no file at {path}: check the name, or use --download vgg19") from None
    except IsADirectoryError:
        raise NSTError(f"{path} is a folder: give the weights file in it") from None
    except OSError as error:
        raise NSTError(f"cannot read {path}: {error.strerror}") from error
    if not size:
        raise NSTError(f"{path} is empty: fetch it again")
    return size


def detect(path: Path, data: bytes) -> Format:
    """The format of a file with these bytes. Raises NSTError for one of no known format."""
    for kind in FORMATS:
        if kind.matches(path, data):
            return kind
    raise NSTError(
        f"{path} is no weights file that can be read: give Keras .h5, torch .pth, .safetensors, MatConvNet .mat,"
        " or NumPy .npz or .npy"
    )
