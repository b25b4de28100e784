"""Files to float arrays and back: orientation, colour profiles, alpha, bit depth, sizes.

A picture inside the library is float32, RGB, sRGB-encoded, [0, 1], shape [H, W, 3]. Whatever is wrong with a file
becomes one :class:`~nst_jax.errors.NSTError`; no Pillow exception or warning gets out of here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import operator
import os
import secrets
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from nst_jax.errors import NSTError

READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
READABLE_NAMES = "JPEG, PNG, WebP, TIFF, BMP or GIF"
WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MAX_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # the formats' own limits
MAX_PIXELS = 178_000_000  # just below the size at which Pillow itself refuses to open a file
MAX_FILE_BYTES = 2 << 30
MAX_EXIF_TEXT = 60_000  # a JPEG's EXIF segment ends at 64 KiB

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


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """One picture as read from a file.

    Attributes:
        pixels: float32 [H, W, 3], RGB, sRGB, [0, 1], upright; not premultiplied by alpha.
        alpha: float32 [H, W], 0 (hidden) to 1 (opaque), or None where the whole picture is opaque.
        path: the file, as it was named.
        sha256: of the file's bytes, in hexadecimal.
        size: (width, height) in the file, as displayed, before any resizing.
        notes: what the user may want to know, one line each (for example a colour profile that could not be used).
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    path: Path
    sha256: str
    size: tuple[int, int]
    notes: tuple[str, ...] = ()


def load_image(path: str | os.PathLike[str], *, longest_side: int | None = None, enlarge: bool = False) -> Picture:
    """Read a JPEG, PNG, WebP, TIFF or BMP, or the first frame of a GIF, as sRGB.

    Resizing is done on sRGB values (as the peers and browsers do) with colour weighted by alpha, so that what is
    hidden does not bleed; pixels with alpha 0 get the mean visible colour, whatever they hid.

    Args:
        path: the file.
        longest_side: pixels; the picture is reduced to it with its aspect ratio kept. None keeps the file's size.
        enlarge: also enlarge a picture that is smaller than ``longest_side``.

    Raises:
        NSTError: a file that cannot be used, or a ``longest_side`` below 1 or beyond ``MAX_PIXELS``.
    """
    path = Path(path)
    data = _read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        colour, alpha, notes = _decode(data, path)
    height, width = colour.shape[:2]
    size = (height, width)
    if longest_side is not None:
        wanted = fit_size(height, width, longest_side)
        if enlarge or max(wanted) < max(size):
            size = wanted
    if alpha is not None and alpha.min() == np.iinfo(alpha.dtype).max:
        alpha = None
    if alpha is not None and alpha.max() == 0:
        raise NSTError(f"{path} is wholly transparent: remove its alpha channel or use a picture with something in it")
    weight = None if alpha is None else _unit(alpha)
    planes = []
    for channel in range(colour.shape[2]):  # one at a time: a large picture is never float as a whole
        plane = _unit(colour[..., channel])
        planes.append(_resample(plane if weight is None else plane * weight, *size))
    pixels = np.stack(planes * (3 // len(planes)), axis=-1)
    if weight is not None:
        weight = np.clip(_resample(weight, *size), 0, 1)
        hidden = weight < 1e-4
        pixels /= np.where(hidden, 1, weight)[..., None]
        pixels[hidden] = np.average(pixels.reshape(-1, 3), axis=0, weights=np.where(hidden, 0, weight).ravel())
    pixels = np.clip(pixels, 0, 1)
    return Picture(pixels, weight, path, hashlib.sha256(data).hexdigest(), (width, height), notes)


def fit_size(height: int, width: int, longest_side: int) -> tuple[int, int]:
    """(height, width) of the same aspect ratio whose longest side is ``longest_side``; each at least 1.

    Raises:
        NSTError: ``longest_side`` is no whole number of at least 1, or the result has more than ``MAX_PIXELS``.
    """
    try:
        side = operator.index(longest_side)
    except TypeError:
        side = 0
    if side < 1:
        raise NSTError(f"size {longest_side!r} is not possible: use a whole number of pixels, at least 1")
    longest = max(height, width)
    fitted = tuple(max(1, (2 * n * side + longest) // (2 * longest)) for n in (height, width))  # rounds half up
    if fitted[0] * fitted[1] > MAX_PIXELS:
        raise NSTError(f"size {side} gives {fitted[1]} x {fitted[0]} pixels: at most {_limit()} are possible")
    return fitted[0], fitted[1]


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W, C] or [H, W] in [0, 1] → float32 [height, width(, C)] in [0, 1]: antialiased Lanczos, in float."""
    pixels = np.asarray(pixels, np.float32)
    if pixels.ndim == 2:
        return np.clip(_resample(pixels, height, width), 0, 1)
    return np.stack([resize(pixels[..., channel], height, width) for channel in range(pixels.shape[-1])], axis=-1)


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """[...] in [0, 1] → uint8, clipped and rounded to nearest; ValueError where a value is NaN or infinite."""
    pixels = np.asarray(pixels)
    if not np.isfinite(pixels).all():
        raise ValueError("the picture has values that are not finite")
    return np.floor(np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)


def check_output(path: str | os.PathLike[str], size: tuple[int, int] | None = None) -> None:
    """Before a run: can a picture be written to ``path``?

    Args:
        path: the file to write; its extension tells the format. It may exist, and is then replaced by a save.
        size: (height, width) of the picture, where known; WebP and JPEG have a largest side.

    Raises:
        NSTError: unknown extension, a directory, a missing or write-protected folder, a side beyond the format's.
    """
    path = Path(path)
    format_name = WRITABLE.get(path.suffix.lower())
    try:
        target = Path(os.path.realpath(path))
        is_directory, has_folder = target.is_dir(), target.parent.is_dir()
    except (OSError, ValueError) as error:
        raise NSTError(f"cannot write {str(path)!r}: {_reason(error)}") from None
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


def save_image(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    alpha: np.ndarray | None = None,
    metadata: Mapping[str, str] | None = None,
    quality: int = 95,
) -> None:
    """Write an 8-bit sRGB picture whose format is told by the extension: PNG, JPEG, WebP or TIFF.

    The file is complete or not there: it is written under a temporary name in the same folder, then moved. The same
    arguments give the same bytes. An sRGB profile is embedded.

    Args:
        path: where to; an existing file is replaced, and a symbolic link is followed.
        pixels: [H, W, 3] in [0, 1] (clipped), not premultiplied.
        alpha: [H, W] in [0, 1] or None. PNG, WebP and TIFF keep it; a JPEG has none and is composited on white.
        metadata: strings, which :func:`read_metadata` gives back. PNG text chunks, or else one JSON object in the EXIF
            field ImageDescription (there at most ``MAX_EXIF_TEXT`` bytes).
        quality: 1 to 100, for JPEG (never with reduced colour resolution) and WebP.

    Raises:
        NSTError: as :func:`check_output`, and when the disk is full or the metadata too long.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise NSTError(f"pixels must be [H, W, 3], not {list(pixels.shape)}")
    if alpha is not None and np.shape(alpha) != pixels.shape[:2]:
        raise NSTError(f"alpha must be {list(pixels.shape[:2])} as the pixels are, not {list(np.shape(alpha))}")
    if not 1 <= quality <= 100:
        raise NSTError(f"quality {quality} is not possible: use 1 to 100")
    check_output(path, pixels.shape[:2])
    target = Path(os.path.realpath(path))
    encoded = _encode(WRITABLE[target.suffix.lower()], pixels, alpha, dict(metadata or {}), quality)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise NSTError(f"cannot write {path}: {_reason(error)}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata that :func:`save_image` wrote; empty where there is none; NSTError where the file is no picture."""
    path = Path(path)
    data = _read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(data, path) as im:
            im.load()
            if isinstance(getattr(im, "text", None), dict):
                return {str(key): str(value) for key, value in im.text.items()}  # type: ignore[attr-defined]
            try:
                found = json.loads(im.getexif().get(270, ""))
            except (ValueError, TypeError):
                return {}
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _read(path: Path) -> bytes:
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
        raise NSTError(f"{path} cannot be read: {_reason(error)}") from None
    except ValueError as error:
        if isinstance(error, NSTError):
            raise
        raise NSTError(f"{str(path)!r} is no path: {_reason(error)}") from None


@contextlib.contextmanager
def _opened(data: bytes, path: Path) -> Iterator[ImageFile.ImageFile]:
    """The Pillow picture of some bytes; whatever goes wrong in the block is an NSTError that says so."""
    try:
        with Image.open(io.BytesIO(data), formats=READABLE) as im:
            if im.width * im.height > MAX_PIXELS:
                raise NSTError(f"{path} claims {im.width} x {im.height} pixels: at most {_limit()} can be read")
            yield im
    except NSTError:
        raise
    except Image.DecompressionBombError:
        raise NSTError(f"{path} claims too many pixels: at most {_limit()} can be read") from None
    except UnidentifiedImageError:
        kinds = (name for magic, name in _FOREIGN.items() if magic in data[: 8 + len(magic)])
        what = next((f"is a {name} file" for name in kinds), "is not a picture")
        if data.startswith((b"\xff\xd8", b"\x89PNG", b"RIFF", b"II*", b"MM\0*", b"BM", b"GIF8")):
            what = "is damaged, or of a kind that cannot be read"
        raise NSTError(f"{path} {what}: save it as 8-bit {READABLE_NAMES}") from None
    except MemoryError:
        raise NSTError(f"{path} does not fit into memory: use a smaller picture") from None
    except Exception as error:  # decoders raise nearly anything on broken bytes
        raise NSTError(f"{path} is damaged or cut off ({_reason(error)}): copy or download it again") from None


def _decode(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Upright sRGB from a file's bytes: colour [H, W, 1 or 3], alpha [H, W] or None, notes.

    uint8 and uint16 are [0, their maximum]; float32 is [0, 1].
    """
    with _opened(data, path) as im:
        raw = _rawmode(im)
        im.load()
        tags: Any = getattr(im, "tag_v2", {})
        profile = im.info.get("icc_profile")
        alpha: np.ndarray | None = None
        notes: list[str] = []
        if raw in _LOW_BYTES:
            with _reopened(data, _LOW_BYTES[raw]) as low:
                colour = _join(np.asarray(im), np.asarray(low))
            colour, alpha = colour[..., :3], colour[..., 3] if colour.shape[2] == 4 else None
            if alpha is None and "transparency" in im.info:
                alpha = np.where((colour == im.info["transparency"]).all(-1), 0, 65535).astype(np.uint16)
            if profile and (srgb := _to_srgb(Image.fromarray(to_uint8(_unit(colour))), profile, notes)):
                colour = np.asarray(srgb)
        elif raw == "LA;16B":  # grey high, grey low, alpha high, alpha low
            with _reopened(data, "RGBA") as bytewise:
                pairs = _join(np.asarray(bytewise)[..., ::2], np.asarray(bytewise)[..., 1::2])
            colour, alpha = _grey_to_srgb(pairs[..., 0], profile, notes), pairs[..., 1]
        elif im.mode == "F" or im.mode.startswith("I"):
            grey = _deep_grey(im, tags, path)
            if "transparency" in im.info:
                alpha = np.where(np.asarray(im) == im.info["transparency"], 0, 65535).astype(np.uint16)
            colour = _grey_to_srgb(grey, profile, notes)
        elif im.mode in ("1", "L", "LA", "La"):
            both = np.asarray(im.convert("LA" if im.has_transparency_data else "L"))
            grey, alpha = (both, None) if both.ndim == 2 else (both[..., 0], both[..., 1])
            colour = _grey_to_srgb(grey, profile, notes)
        else:
            if im.has_transparency_data:
                alpha = np.asarray(im.convert("RGBA").getchannel("A"))
            if im.mode == "LAB":
                profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
            plain = im if im.mode in ("LAB", "CMYK") else im.convert("RGB")
            srgb = _to_srgb(plain, profile, notes) if profile else None
            colour = np.asarray(srgb or plain.convert("RGB"))
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
def _reopened(data: bytes, rawmode: str) -> Iterator[Image.Image]:
    """The same file, its samples taken for something else."""
    with Image.open(io.BytesIO(data), formats=READABLE) as im:
        im.tile = [
            tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
            for tile in im.tile
        ]
        im.load()
        yield im


def _join(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """uint16 from its two bytes."""
    return high.astype(np.uint16) << 8 | low


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
    curves = _unit(np.asarray(srgb)[0])
    at = np.linspace(0, 1, 256)
    return np.stack([np.interp(_unit(grey), at, curves[:, c]).astype(np.float32) for c in range(3)], axis=-1)


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
        notes.append(f"its colour profile cannot be used ({_reason(error)}); taken without it")
        return None


def _orientation(im: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF data are broken."""
    try:
        return int(im.getexif().get(274, 1))
    except Exception:  # a broken EXIF block is no reason to refuse a picture
        return 1


def _unit(plane: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float → float32 in [0, 1]."""
    if np.issubdtype(plane.dtype, np.integer):
        return plane.astype(np.float32) / np.float32(np.iinfo(plane.dtype).max)
    return plane.astype(np.float32)


def _resample(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 [H, W] → [height, width] by Lanczos; may overshoot [0, 1]."""
    if plane.shape == (height, width):
        return plane
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def _encode(
    format_name: str, pixels: np.ndarray, alpha: np.ndarray | None, metadata: dict[str, str], quality: int
) -> bytes:
    """A whole picture file in memory."""
    pixels = np.asarray(pixels, np.float32)
    if alpha is not None:
        alpha = np.clip(np.asarray(alpha, np.float32), 0, 1)[..., None]
        both = [pixels * alpha + (1 - alpha)] if format_name == "JPEG" else [pixels, alpha]
        pixels = np.concatenate(both, axis=-1)
    im = Image.fromarray(to_uint8(pixels))
    options: dict[str, Any] = {"icc_profile": _srgb_profile()}
    if format_name == "PNG":
        options["pnginfo"] = info = PngInfo()
        for key, value in metadata.items():
            info.add_text(key, value)
    elif metadata:
        text = json.dumps(metadata)
        if len(text) > MAX_EXIF_TEXT:
            raise NSTError(f"{len(text)} bytes of metadata do not fit into {format_name}: save as .png")
        exif = Image.Exif()
        exif[270] = text
        options["exif"] = exif
    if format_name == "JPEG":
        options |= {"quality": quality, "subsampling": 0, "optimize": True}
    elif format_name == "WEBP":
        options |= {"quality": quality, "exact": True}
    elif format_name == "TIFF":
        options |= {"compression": "tiff_adobe_deflate"}
    buffer = io.BytesIO()
    im.save(buffer, format_name, **options)
    return buffer.getvalue()


def _srgb_profile() -> bytes:
    """An sRGB ICC profile, without the date that would make every file differ."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes((7, 208, 0, 1, 0, 1)) + bytes(6) + profile[36:]


def _limit() -> str:
    return f"{MAX_PIXELS // 1_000_000} million pixels"


def _reason(error: Exception) -> str:
    """One short line from an exception."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
