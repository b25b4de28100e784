"""The bytes of a picture file as upright sRGB samples: what Pillow knows, and what it leaves out.

16-bit colour keeps all its bits, profiles are applied, orientation is honoured, and whatever is wrong with a file
becomes one :class:`~nst_jax.errors.NSTError`. ``images`` is the door; nothing else should need this module.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from nst_jax.errors import NSTError

READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
READABLE_NAMES = "JPEG, PNG, WebP, TIFF, BMP or GIF"
MAX_PIXELS = 178_000_000  # just below the size at which Pillow itself refuses to open a file
MAX_FILE_BYTES = 2 << 30
# Pillow reads 16-bit colour by its high bytes only. With the byte order swapped the same decoder gives the low bytes.
_LITTLE = sys.byteorder == "little"
_LOW_BYTES = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": "RGB;16B" if _LITTLE else "RGB;16L"}
_LOW_BYTES |= {mode.replace("RGB", "RGBA"): low.replace("RGB", "RGBA") for mode, low in _LOW_BYTES.items()}
# EXIF orientation → (turns of np.rot90, then flipped left to right)
_ORIENTATIONS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
_FOREIGN = {  # first bytes of pictures that people have, but that are not read here
    b"ftyphe": "HEIC", b"ftypmif1": "HEIC", b"ftypavi": "AVIF", b"8BPS": "Photoshop", b"%PDF": "PDF", b"<svg": "SVG",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL", b"\xff\x0a": "JPEG XL", b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"v/1\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR",
}  # fmt: skip


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that may be a picture."""
    try:
        if path.is_dir():
            raise NSTError(f"{path} is a directory: name a picture in it ({READABLE_NAMES})")
        if path.exists() and not path.is_file():
            raise NSTError(f"{path} is no ordinary file: name a picture ({READABLE_NAMES})")
        size = path.stat().st_size
        if size == 0:
            raise NSTError(f"{path} is empty (0 bytes): copy or download the picture again")
        if size > MAX_FILE_BYTES:
            raise NSTError(f"{path} has {size / 1e9:.1f} GB: a picture file of at most 2 GB can be read")
        return path.read_bytes()
    except FileNotFoundError:
        raise NSTError(f"{path} does not exist: check the spelling of the path") from None
    except PermissionError:
        raise NSTError(f"{path} cannot be read: its permissions forbid it; allow reading (chmod +r) first") from None
    except OSError as error:
        raise NSTError(f"{path} cannot be read: {reason(error)}") from None
    except ValueError as error:
        if isinstance(error, NSTError):
            raise
        raise NSTError(f"{str(path)!r} is no path: {reason(error)}") from None


@contextlib.contextmanager
def opened(data: bytes, path: Path) -> Iterator[tuple[ImageFile.ImageFile, str]]:
    """The Pillow picture of some bytes, decoded, and how its samples lie in the file.

    What Pillow cannot open or decode is an NSTError that says so; what goes wrong in the block is the caller's own.
    """
    with _translated(data, path):
        im = _open(data)
        if im.width * im.height > MAX_PIXELS:
            raise NSTError(f"{path} claims {im.width} x {im.height} pixels: at most {limit()} can be read")
        raw = _rawmode(im)
        im.load()
    try:
        with im:
            yield im, raw
    except MemoryError:
        raise NSTError(f"{path} does not fit into memory: use a smaller picture") from None


@contextlib.contextmanager
def _translated(data: bytes, path: Path) -> Iterator[None]:
    """Whatever Pillow raises on the bytes of a file in the block, as an NSTError. Nothing but Pillow belongs in it."""
    try:
        yield
    except NSTError:
        raise
    except UnidentifiedImageError:
        kinds = (name for magic, name in _FOREIGN.items() if magic in data[: 8 + len(magic)])
        what = next((f"is a {name} file" for name in kinds), "is not a picture")
        if data.startswith((b"\xff\xd8", b"\x89PNG", b"RIFF", b"II*", b"MM\0*", b"BM", b"GIF8")):
            what = "is damaged, or of a kind that cannot be read"
        raise NSTError(f"{path} {what}: save it as 8-bit {READABLE_NAMES}") from None
    except MemoryError:
        raise NSTError(f"{path} does not fit into memory: use a smaller picture") from None
    except Exception as error:  # decoders raise nearly anything on broken bytes
        raise NSTError(f"{path} is damaged or cut off ({reason(error)}): copy or download it again") from None


def _open(data: bytes) -> ImageFile.ImageFile:
    """As ``Image.open``, which warns of many pixels, for the whole process; here they are counted before decoding."""
    Image.init()
    for kind in READABLE:
        factory, accept = Image.OPEN[kind]
        if accept is None or accept(data[:16]) is True:
            try:
                return factory(io.BytesIO(data), "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # as Image.open does
                continue
    raise UnidentifiedImageError


def decode(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Upright sRGB from a file's bytes: colour [H, W, 1 or 3], alpha [H, W] or None, notes.

    uint8 and uint16 are [0, their maximum]; float32 is [0, 1].
    """
    with opened(data, path) as (im, raw):
        tags: Any = getattr(im, "tag_v2", {})
        profile = im.info.get("icc_profile")
        alpha: np.ndarray | None = None
        notes: list[str] = []
        if raw in _LOW_BYTES:
            with _reopened(data, path, _LOW_BYTES[raw]) as low:
                colour = _join(np.asarray(im), np.asarray(low))
            colour, alpha = colour[..., :3], colour[..., 3] if colour.shape[2] == 4 else None
            if alpha is None and "transparency" in im.info:
                alpha = np.where((colour == im.info["transparency"]).all(-1), 0, 65535).astype(np.uint16)
            if profile and (
                srgb := _to_srgb(Image.fromarray(np.rint(unit(colour) * 255).astype(np.uint8)), profile, notes)
            ):
                colour = np.asarray(srgb)
        elif raw == "LA;16B":  # grey high, grey low, alpha high, alpha low
            with _reopened(data, path, "RGBA") as bytewise:
                pairs = _join(np.asarray(bytewise)[..., ::2], np.asarray(bytewise)[..., 1::2])
            colour, alpha = _grey_to_srgb(pairs[..., 0], profile, notes), pairs[..., 1]
        elif im.mode == "F" or im.mode.startswith("I"):
            grey = _deep_grey(im, tags, path)
            if "transparency" in im.info:
                alpha = np.where(np.asarray(im) == im.info["transparency"], 0, 65535).astype(np.uint16)
            colour = _grey_to_srgb(grey, profile, notes)
        elif im.mode in ("1", "L", "LA", "La"):
            both = np.asarray(_converted(im, "LA" if im.has_transparency_data else "L", data, path))
            grey, alpha = (both, None) if both.ndim == 2 else (both[..., 0], both[..., 1])
            colour = _grey_to_srgb(grey, profile, notes)
        else:
            whole: Image.Image = im
            if im.has_transparency_data:
                whole = _converted(im, "RGBA", data, path)
                alpha = np.asarray(whole.getchannel("A"))
            if im.mode == "LAB":
                profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
            plain = im if im.mode in ("LAB", "CMYK") else _converted(whole, "RGB", data, path)
            srgb = _to_srgb(plain, profile, notes) if profile else None
            colour = np.asarray(srgb or _converted(plain, "RGB", data, path))
        turns, mirrored = _ORIENTATIONS.get(_orientation(im), (0, False))
    if colour.ndim == 2:
        colour = colour[..., None]
    colour = np.rot90(colour, turns)
    alpha = None if alpha is None else np.rot90(alpha, turns)
    if mirrored:
        colour, alpha = colour[:, ::-1], None if alpha is None else alpha[:, ::-1]
    return colour, alpha, tuple(notes)


def _rawmode(im: Image.Image) -> str:
    """How the samples lie in the file, in Pillow's words; empty where it does not say."""
    args: Any = im.tile[0].args if isinstance(im, ImageFile.ImageFile) and im.tile else ""
    raw = args[0] if isinstance(args, tuple) and args else args
    return raw if isinstance(raw, str) else ""


@contextlib.contextmanager
def _reopened(data: bytes, path: Path, rawmode: str) -> Iterator[Image.Image]:
    """The same file, its samples taken for something else."""
    with _translated(data, path):
        im = _open(data)
        im.tile = [
            tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
            for tile in im.tile
        ]
        im.load()
    with im:
        yield im


def _converted(im: Image.Image, mode: str, data: bytes, path: Path) -> Image.Image:
    """A picture in another of Pillow's modes, which a file with a broken palette or transparency may not allow."""
    with _translated(data, path):
        return im.convert(mode)


def _join(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """uint16 from its two bytes."""
    joined: np.ndarray = high.astype(np.uint16) << 8 | low
    return joined


def _deep_grey(im: Image.Image, tags: Any, path: Path) -> np.ndarray:
    """Grey of more than 8 bits as uint16, or as float32 in [0, 1].

    White is the largest value of the file's bits, and 1 for floats. 32-bit whole numbers have no agreed white: 65535 if
    no value is larger, else the type's largest.
    """
    grey = np.asarray(im)
    bits, sample_format = (int(tags.get(tag, (default,))[0]) for tag, default in ((258, 16), (339, 1)))
    if im.mode == "F":
        if not np.isfinite(grey).all() or grey.max() > 16:
            raise NSTError(f"{path} has float values up to {grey.max():g}: they should lie between 0 and 1")
        white = 1.0
    elif im.mode != "I" or bits <= 16:
        white = 2.0 ** (bits - (sample_format == 2)) - 1
    else:
        grey = grey.view(np.uint32) if sample_format == 1 else np.maximum(grey, 0)
        white = 65535.0 if grey.max() <= 65535 else float(np.iinfo(grey.dtype).max)
    unit = np.clip(grey.astype(np.float64) / white, 0, 1).astype(np.float32)
    return 1 - unit if tags.get(262) == 0 else unit  # 0: WhiteIsZero, which Pillow honours in 8 bits only


def _grey_to_srgb(grey: np.ndarray, profile: bytes | None, notes: list[str]) -> np.ndarray:
    """[H, W] → [H, W] or, through a colour profile's curve with all its bits, float32 [H, W, 3]."""
    if not profile:
        return grey
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    srgb = _to_srgb(ramp, profile, notes)
    if srgb is None:
        return grey
    curves = unit(np.asarray(srgb)[0])
    at = np.linspace(0, 1, 256)
    return np.stack([np.interp(unit(grey), at, curves[:, c]).astype(np.float32) for c in range(3)], axis=-1)


def _to_srgb(im: Image.Image, profile: bytes, notes: list[str]) -> Image.Image | None:
    """An L, RGB, CMYK or LAB picture through its ICC profile; None where it is sRGB already or cannot be used.

    Relative colorimetric with black point compensation, as browsers do. A broken profile, or one for other channels
    than the picture's, is left out with a note.
    """
    modes = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = modes.get(source.profile.xcolor_space, "")
        if im.mode == "L" and mode == "RGB":
            im = im.convert("RGB")
        if mode != im.mode:
            raise ValueError(f"it is made for {source.profile.xcolor_space.strip()}, the picture is {im.mode}")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode == "RGB":
            steps = np.linspace(0, 255, 9).round().astype(np.uint8)
            lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
            change = np.asarray(ImageCms.applyTransform(Image.fromarray(lattice), transform)).astype(int) - lattice
            if np.abs(change).max() <= 1:
                return None
        return ImageCms.applyTransform(im, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        notes.append(f"its colour profile cannot be used ({reason(error)}); taken without it")
        return None


def _orientation(im: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF data are broken."""
    try:
        return int(im.getexif().get(274, 1))
    except Exception:  # a broken EXIF block is no reason to refuse a picture
        return 1


def unit(plane: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float → float32 in [0, 1]."""
    if np.issubdtype(plane.dtype, np.integer):
        return plane.astype(np.float32) / np.float32(np.iinfo(plane.dtype).max)
    return plane.astype(np.float32)


def limit() -> str:
    """``MAX_PIXELS`` in words, for messages."""
    return f"{MAX_PIXELS // 1_000_000} million pixels"


def reason(error: Exception) -> str:
    """One short line from an exception."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
