"""What Pillow reads well: JPEG, WebP, GIF, TGA, PPM, ICO, Photoshop's composite, most BMPs, and JPEG XL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageFile

from nst_jax.pictures.kinds import EXTRAS, translated, without_extra
from nst_jax.pictures.samples import Origin, Samples, deep_white, exif_orientation, first_of

#: Pillow's names of the formats that it reads here, by ours.
PILLOW = {
    "JPEG": "JPEG", "WebP": "WEBP", "BMP": "BMP", "GIF": "GIF", "JPEG 2000": "JPEG2000", "Photoshop": "PSD",
    "TGA": "TGA", "ICO": "ICO", "PPM": "PPM", "JPEG XL": "JXL",
}  # fmt: skip
#: Bytes a pixel that decoders take for themselves, beside the picture that they give.
DECODERS = {"WebP": 8, "JPEG 2000": 16, "JPEG XL": 24}


def read_pillow(origin: Origin, most: int) -> Samples:
    """Any of ``PILLOW``'s formats, decoded whole; a JPEG reduced by its decoder where ``most`` allows it."""
    if origin.kind in EXTRAS:
        with contextlib.suppress(ImportError):
            import pillow_jxl  # noqa: F401 (registers itself with Pillow)
    Image.init()
    if PILLOW[origin.kind] not in Image.OPEN:
        raise without_extra(origin.path, origin.kind)
    with translated(origin.path, origin.kind):
        origin.file.seek(0)
        try:
            image = Image.OPEN[PILLOW[origin.kind]][0](origin.file, "")
        except SyntaxError as error:
            if isinstance(error.__cause__, KeyError):  # from its table of modes
                raise NotImplementedError(f"colour mode and bits {error}") from None
            raise
    whole = image.size
    working, why = _pillow_memory(origin, image)
    if origin.kind == "JPEG" and most > 1:
        image.draft(None, (-(-image.width // most), -(-image.height // most)))
    found = of_pillow(image, origin)
    found.scale, found.whole = max(1, round(whole[0] / image.width)), whole
    found.working, found.why = working + 4 * image.width * image.height, why
    if origin.kind in ("GIF", "WebP"):
        with translated(origin.path, origin.kind):
            first_of(getattr(image, "n_frames", 1), "frames", found.notes)
    return found


def _pillow_memory(origin: Origin, image: ImageFile.ImageFile) -> tuple[int, str]:
    """Bytes that the decoder of a picture takes beside the picture, and why if they are many."""
    pixels = image.width * image.height
    if origin.kind == "JPEG" and image.info.get("progressive"):
        layers: Any = getattr(image, "layer", [])
        most = [max((layer[at] for layer in layers), default=1) for at in (1, 2)]
        share = sum(layer[1] * layer[2] for layer in layers) / max(1, most[0] * most[1]) if layers else 3
        return round(2 * pixels * share), "it is a progressive JPEG, which has to be decoded whole"
    return DECODERS.get(origin.kind, 0) * pixels, f"{origin.kind} has to be decoded whole"


def of_pillow(image: Image.Image, origin: Origin) -> Samples:
    """A picture of Pillow's, which need not have been decoded yet."""
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.mode == "CMYK" or image.mode == "F" or image.mode.startswith("I"):
        mode = image.mode
    elif origin.kind == "TGA" and origin.head[16] == 32 and not origin.head[17] & 15:
        mode = "RGB"  # its fourth channel is no alpha
    elif image.has_transparency_data:
        mode += "A"

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            image.load()
            whole = _from_lab(image) if image.mode == "LAB" else image
            deep = _deep_white(image, origin) if mode[0] in "FI" else 0
        for top in range(0, image.height, rows):
            with translated(origin.path, origin.kind):
                part = whole.crop((0, top, image.width, min(image.height, top + rows)))
                if not deep:
                    part = part.convert(mode)
            strip = np.asarray(part).reshape(part.height, part.width, -1)
            yield np.clip(strip / np.float32(deep), 0, 1).astype(np.float32) if deep else strip

    return Samples(
        image.width,
        image.height,
        "cmyk" if mode == "CMYK" else "rgb" if mode.startswith("RGB") else "grey",
        strips,
        alpha=len(mode) - 1 if mode.endswith("A") else None,
        profile=None if image.mode == "LAB" else image.info.get("icc_profile"),
        orientation=exif_orientation(image.info.get("exif")),
    )


def _deep_white(image: Image.Image, origin: Origin) -> float:
    """The value of white in a grey picture of more than 8 bits. 32-bit whole numbers have no agreed one: 65535 if no
    value is larger, else the type's largest."""
    if image.mode.startswith("I;16"):
        return 65535.0
    values = np.asarray(image)
    return deep_white(float(values.min()), float(values.max()), values.dtype, origin)


def _from_lab(image: Image.Image) -> Image.Image:
    """Pillow's LAB as RGB."""
    spaces = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(*spaces, inMode="LAB", outMode="RGB")) or image


def description(origin: Origin) -> str | dict[str, str]:
    """What a file's writer says in words: a PNG's texts, or the EXIF field ImageDescription; "" for nothing."""
    if origin.kind not in PILLOW and origin.kind not in ("PNG", "TIFF"):
        return ""
    Image.init()
    with contextlib.suppress(Exception):  # pixels were read well; what Pillow thinks of the words does not matter
        origin.file.seek(0)
        image = Image.OPEN[PILLOW.get(origin.kind, origin.kind)][0](origin.file, "")
        if origin.kind == "PNG":  # what stands before the pixels: ``text`` would decode them all
            texts = getattr(image, "png").im_text  # noqa: B009 (the type does not know it)
            return {str(key): str(value) for key, value in texts.items()}
        return str(image.getexif().get(270, ""))
    return ""
