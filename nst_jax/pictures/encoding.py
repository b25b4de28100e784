"""From float arrays to picture files: PNG and TIFF by libvips in strips, JPEG and WebP by Pillow.

libvips takes the float array as it lies in memory, and rounds, filters and packs a few rows at a time, so a picture of
any size is written in little more than its own memory. Pillow wants its picture whole, 4 bytes a pixel.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips
from PIL import Image, ImageCms, ImageFile
from PIL.PngImagePlugin import PngInfo, putchunk

from nst_jax.choices import check_depth
from nst_jax.errors import NSTError
from nst_jax.pictures.kinds import reason
from nst_jax.pictures.samples import STRIP

WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
#: The formats' own limits: pixels a side, and those of more than 8 bits a channel.
MAX_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
DEEP = ("PNG", "TIFF")
MAX_EXIF_TEXT = 60_000  # a JPEG's EXIF segment ends at 64 KiB
#: Where the numbers of an ordinary TIFF end, in bytes, less what is not pixels.
ORDINARY_TIFF = 2**32 - 2**24
#: Bytes of a PNG's mark and header, behind which its words may stand.
HEADER = 33
#: Of Pillow's one number for all threads.
_BLOCK = threading.Lock()
DOTS = 72 / 25.4  # a millimetre; libvips says something of it in any case, and this is what cameras say


def check_bits(name: str, depth: int) -> None:
    """Raises NSTError where the format of a name with such an extension cannot have so many bits a channel."""
    check_depth(depth)
    if depth != 8 and WRITABLE[os.path.splitext(f"a{name}")[1].lower()] not in DEEP:
        raise NSTError(
            f"cannot write {name} with {depth} bits a channel: its format has 8; use .png or .tiff, or --depth 8"
        )


def check_output(path: str | os.PathLike[str], size: tuple[int, int] | None = None, depth: int = 8) -> None:
    """Before a run: can a picture be written to ``path``?

    Args:
        path: the file to write; its extension tells the format. It may exist, and is then replaced by a save.
        size: (height, width) of the picture, where known; WebP and JPEG have a largest side.
        depth: bits of a channel; WebP and JPEG have 8.

    Raises:
        NSTError: unknown extension, a directory, a missing or write-protected folder, a side or depth beyond the
            format's.
    """
    path = Path(path)
    format_name = WRITABLE.get(path.suffix.lower())
    try:
        target = Path(os.path.realpath(path))
        is_directory, has_folder = target.is_dir(), target.parent.is_dir()
    except (OSError, ValueError) as error:
        raise NSTError(f"cannot write {str(path)!r}: {reason(error)}") from None
    if is_directory:
        raise NSTError(f"output {path} is a directory: name a file in it, such as {path / 'result.png'}")
    if format_name is None:
        known = ", ".join(WRITABLE)
        raise NSTError(f"output {path} has no extension that tells the format: use one of {known}")
    if not has_folder:
        raise NSTError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise NSTError(f"cannot write {path}: the folder {path.parent} is not writable; choose another one")
    if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
        raise NSTError(f"cannot write {path}: it exists and is write-protected or no ordinary file; use another name")
    if size is not None and max(size) > MAX_SIDE.get(format_name, max(size)):
        raise NSTError(
            f"cannot write {path}: its format holds {MAX_SIDE[format_name]} pixels a side; use .png or .tiff"
        )
    check_bits(str(path), depth)


def to_levels(pixels: np.ndarray, depth: int = 8) -> np.ndarray:
    """[...] in [0, 1] → uint8 or uint16, clipped and rounded to nearest; ValueError where a value is not finite."""
    pixels = np.asarray(pixels)
    if not np.isfinite(pixels).all():
        raise ValueError("the picture has values that are not finite")
    top = 2**depth - 1
    levels: np.ndarray = np.floor(np.clip(pixels, 0, 1) * top + 0.5).astype(np.uint8 if depth == 8 else np.uint16)
    return levels


def most_bytes(format_name: str, size: tuple[int, int], alpha: bool, depth: int = 8) -> int:
    """As many bytes as the file of a picture of a (height, width) may have: none packed, and some for its words."""
    channels = 4 if alpha and format_name != "JPEG" else 3
    return size[0] * (size[1] * channels * depth // 8 + 1) + 2**16


def write_picture(
    file: BinaryIO,
    format_name: str,
    pixels: np.ndarray,
    alpha: np.ndarray | None,
    metadata: Mapping[str, str],
    quality: int,
    depth: int,
) -> None:
    """Writes a picture to an open file, which is new. The arguments are ``images.save_image``'s, checked.

    Raises OSError as the file does, and NSTError for metadata that is too long.
    """
    text = json.dumps(metadata) if metadata and format_name != "PNG" else ""
    if len(text) > MAX_EXIF_TEXT:
        raise NSTError(f"{len(text)} bytes of metadata do not fit into {format_name}: save as .png")
    if format_name in DEEP:
        _by_vips(file, format_name, pixels, alpha, _words(metadata) if format_name == "PNG" else text, depth)
    else:
        _by_pillow(file, format_name, pixels, alpha, text, quality)


def _by_vips(
    file: BinaryIO, format_name: str, pixels: np.ndarray, alpha: np.ndarray | None, words: str | bytes, depth: int
) -> None:
    """A PNG, with ``words`` as its chunks, or a TIFF, with them as its description, some rows at a time."""
    image = _vips_array(pixels)
    image = image if alpha is None else image.bandjoin(_vips_array(alpha))
    # as ``to_levels`` does it, with each result rounded to float32; the cast clips
    levels = image.linear(2**depth - 1, 0).linear(1, 0.5).floor().cast("uchar" if depth == 8 else "ushort")
    levels = levels.copy(interpretation="srgb" if depth == 8 else "rgb16", xres=DOTS, yres=DOTS)
    levels.set_type(pyvips.GValue.blob_type, "icc-profile-data", _srgb_profile())
    sink = _Sink(file, words if isinstance(words, bytes) else b"")
    try:
        if format_name == "PNG":
            levels.pngsave_target(sink.target, filter="all", keep="icc")
            return
        if words:
            levels.set_type(pyvips.GValue.gstr_type, "image-description", words)
        levels.tiffsave_target(
            sink.target,
            compression="deflate",
            predictor="horizontal",
            bigtiff=most_bytes(format_name, (image.height, image.width), alpha is not None, depth) > ORDINARY_TIFF,
            resunit="inch",
            keep="icc|other",
        )
    except pyvips.Error as error:
        if sink.error is not None:
            raise sink.error from None
        raise OSError(f"libvips: {(str(error).strip().splitlines() or ['it says no more'])[-1]}") from None


def _vips_array(values: np.ndarray) -> pyvips.Image:
    """[H, W] or [H, W, C] as libvips takes it, without a copy where it lies there as float32."""
    lying = np.ascontiguousarray(values, np.float32)
    return pyvips.Image.new_from_memory(lying, lying.shape[1], lying.shape[0], lying[0, 0].size, "float")


class _Sink:
    """An open file as libvips writes to it.

    What the file raises is kept in ``error``, as nothing can be raised through libvips. ``words`` are put behind a
    PNG's header.
    """

    def __init__(self, file: BinaryIO, words: bytes = b"") -> None:
        self.file, self.words = file, words
        self.error: BaseException | None = None
        self.target = pyvips.TargetCustom()
        self.target.on_write(lambda data: self._attempt(self._write, data, fault=-1))
        self.target.on_read(lambda count: self._attempt(file.read, count, fault=b""))
        self.target.on_seek(lambda offset, whence: self._attempt(file.seek, offset, whence, fault=-1))

    def _attempt(self, act: Any, *given: Any, fault: Any) -> Any:
        try:
            return act(*given)
        except BaseException as error:
            self.error = error
            return fault

    def _write(self, data: bytes) -> int:
        if self.words:  # libvips's first piece is longer than the header
            self.file.write(data[:HEADER] + self.words + data[HEADER:])
            self.words = b""
        else:
            self.file.write(data)
        return len(data)


def _words(metadata: Mapping[str, str]) -> bytes:
    """A PNG's chunks of text."""
    info, packed = PngInfo(), io.BytesIO()
    for key, value in metadata.items():
        info.add_text(key, value.encode("utf-8", "backslashreplace").decode())
    for chunk in info.chunks:
        putchunk(packed, *chunk[:2])
    return packed.getvalue()


def _by_pillow(
    file: BinaryIO, format_name: str, pixels: np.ndarray, alpha: np.ndarray | None, text: str, quality: int
) -> None:
    """A JPEG, composited on white, or a WebP; of the picture there is one more copy, of bytes."""
    height, width = pixels.shape[:2]
    kept = alpha is not None and format_name != "JPEG"
    image = Image.new("RGBA" if kept else "RGB", (width, height))
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = np.asarray(pixels[top : top + rows], np.float32)
        if alpha is not None:
            share = np.clip(np.asarray(alpha[top : top + rows], np.float32), 0, 1)[..., None]
            strip = np.concatenate([strip, share], axis=-1) if kept else strip * share + (1 - share)
        image.paste(Image.fromarray(to_levels(strip)), (0, top))
    options: dict[str, Any] = {"icc_profile": _srgb_profile(), "quality": quality}
    if text:
        exif = Image.Exif()
        exif[270] = text
        options["exif"] = exif
    options |= {"subsampling": 0, "optimize": True} if format_name == "JPEG" else {"exact": True}
    packed = io.BytesIO()  # to a file itself Pillow writes past Python, and does not say what went wrong
    with _BLOCK:  # threads write pictures, too
        block = ImageFile.MAXBLOCK
        try:
            # Pillow's own guess is too small for a JPEG of noise; it takes no more than a C int holds
            ImageFile.MAXBLOCK = min(max(block, 4 * height * width), 2**31 - 1)
            image.save(packed, format_name, **options)
        finally:
            ImageFile.MAXBLOCK = block
    file.write(packed.getbuffer())


def _srgb_profile() -> bytes:
    """An sRGB ICC profile, without the date that would make every file differ."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes((7, 208, 0, 1, 0, 1)) + bytes(6) + profile[36:]
