"""Which kind of file some first bytes belong to, and the one line for each way in which a file cannot be read.

A kind is told by content, never by a name. Nothing here decodes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from nst_jax.errors import NSTError

READABLE_NAMES = "JPEG, PNG, WebP, TIFF, BMP or GIF"
#: The kinds that are read, by their first bytes; those of ISO files and of TGA, which has none, are told below.
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF",
    b"MM\0+": "TIFF", b"BM": "BMP", b"GIF87a": "GIF", b"GIF89a": "GIF", b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xffO\xffQ": "JPEG 2000", b"8BPS": "Photoshop", b"qoif": "QOI", b"\0\0\1\0": "ICO", b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL", b"IIRO": "camera raw", b"IIRS": "camera raw", b"MMOR": "camera raw",
    b"IIU\0": "camera raw", b"FUJIFILMCCD-RAW": "camera raw", b"FOVb": "camera raw", b"\0MRM": "camera raw",
}  # fmt: skip
#: Pictures and other files that people have, and that are not read.
FOREIGN = {
    b"%PDF": "PDF", b"%!PS": "PostScript", b"v/1\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR", b"gimp xcf": "GIMP", b"DDS ": "DDS", b"icns": "Apple icon", b"II\xbc\x01": "JPEG XR",
    b"\xd7\xcd\xc6\x9a": "WMF", b"\x01\0\0\0\x58\0\0\0": "EMF", b"SIMPLE  =": "FITS", b"\x1aE\xdf\xa3": "WebM film",
    b"PK\x03\x04": "ZIP", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR", b"AT&TFORM": "DjVu",
    b"\x89HDF\r\n\x1a\n": "HDF5", b"\x93NUMPY": "NumPy", b"P7\n": "PAM",
}  # fmt: skip
#: What the third word of an ISO file says of it.
BRANDS = {
    b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC",
    b"hevc": "HEIC", b"hevx": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"crx ": "camera raw", b"jxl ": "JPEG XL",
    b"qt  ": "QuickTime film",
}  # fmt: skip
#: Kinds that are read where an extra is installed: its name, and what to do without it.
EXTRAS = {
    "JPEG XL": ("jxl", f"save it as {READABLE_NAMES}"),
    "camera raw": ("raw", "develop it into a TIFF or JPEG"),
}
#: Words in a decoder's complaint about a file that is whole, but of a kind that the decoder does not have.
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|not implemented|not available|not configured|not handled|unknown|unrecognized|"
    r"cannot (handle|interpret|decode this)|not a whole number|not \d bands|out of range for|requires the",
    re.IGNORECASE,
)


def kind_of(head: bytes) -> tuple[str, bool]:
    """What a file with these first bytes is, and whether that is a kind which is read; "" for no picture."""
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *re.findall(rb"(?s)....", head[16 : int.from_bytes(head[:4], "big")])]
        if b"avif" in brands and brands[0] in (b"mif1", b"msf1"):
            return "AVIF", True
        name = next((BRANDS[brand] for brand in brands if brand in BRANDS), "MPEG-4 film")
        return name, not name.endswith("film")
    if head[:4] == b"RIFF":
        return ("WebP", True) if head[8:12] == b"WEBP" or len(head) < 12 else ("RIFF", False)
    if head[:4] in (b"II*\0", b"MM\0*") and head[8:10] == b"CR":
        return "camera raw", True
    for names, read in ((MAGIC, True), (FOREIGN, False)):
        if found := next((name for magic, name in names.items() if head.startswith(magic)), ""):
            return found, read
    if re.match(rb"P([1-6]\s|[fF]\s)", head):
        return "PPM", True
    if head[128:132] == b"DICM":
        return "DICOM", False
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if re.match(rb"(<\?xml|<!--|<!doctype svg|<svg)", start) and (b"<svg" in start or b"<!doctype svg" in start):
        return "SVG", False
    if start.startswith((b"<!doctype html", b"<html")):
        return "web page (HTML)", False
    return ("TGA", True) if _like_tga(head) else ("", False)


def _like_tga(head: bytes) -> bool:
    """Whether these may be the first bytes of a TGA: it has no mark there, so each field has to be a possible one."""
    if len(head) < 18:
        return False
    mapped, kind, depth, map_depth = head[1], head[2], head[16], head[7]
    known = {1: (8,), 9: (8,), 2: (16, 24, 32), 10: (16, 24, 32), 3: (1, 8, 16), 11: (1, 8, 16)}
    palette = mapped == 1 and map_depth in (15, 16, 24, 32) if kind in (1, 9) else mapped == 0
    return palette and depth in known.get(kind, ()) and any(head[12:14]) and any(head[14:16]) and head[17] < 64


def unreadable(path: Path, kind: str) -> NSTError:
    """For a file of a kind that is not read, or that is no picture."""
    what = f"is {article(kind)} {kind} file" if kind else "is not a picture"
    return NSTError(f"{path} {what}: save it as 8-bit {READABLE_NAMES}")


def without_extra(path: Path, kind: str) -> NSTError:
    """For a file of a kind that an extra reads, which is not installed."""
    extra, otherwise = EXTRAS[kind]
    return NSTError(
        f"{path} is {article(kind)} {kind} file: install what reads it (pip install 'nst_jax[{extra}]'), or {otherwise}"
    )


@contextlib.contextmanager
def translated(path: Path, kind: str) -> Iterator[None]:
    """Whatever a decoder raises on a file in the block, as an NSTError. Nothing but decoders belongs in it."""
    try:
        yield
    except NSTError:
        raise
    except MemoryError:
        raise NSTError(f"{path} does not fit into memory: use a smaller picture") from None
    except Exception as error:  # decoders raise nearly anything on broken bytes
        why = reason(error)
        if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(why):
            otherwise = EXTRAS.get(kind, ("", f"save it as 8-bit {READABLE_NAMES}"))[1]
            what = f"is {article(kind)} {kind} of a kind that cannot be read ({why})"
            raise NSTError(f"{path} {what}: {otherwise}") from None
        raise NSTError(f"{path} is damaged or cut off ({why}): copy or download it again") from None


def article(word: str) -> str:
    """An indefinite article, as the word is spoken."""
    return "an" if word.startswith(("AVIF", "SVG", "ICO", "EMF", "HDF5", "Apple", "OpenEXR", "MPEG", "RAR")) else "a"


def reason(error: Exception) -> str:
    """One short line from an exception."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if error.args and isinstance(error.args[0], bytes):  # as LibRaw has it
        text = error.args[0].decode(errors="replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200] or type(error).__name__
