"""Damaged picture files: whatever the bytes are, pixels or one NSTError come of them.

    python tests/picture_fuzz.py --count 50000 --seed 1

Files of every format are changed at random and read in this process. A crash ends it, a file that takes longer than
``--patience`` seconds too, each with another exit status than 0. Any exception but NSTError is a fault; its file
is written into this folder.
"""

import argparse
import contextlib
import faulthandler
import io
import resource
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pillow_heif
import tifffile
from picture_files import png_of_samples, rgb_profile, tiff_of
from PIL import Image

from nst_jax.errors import NSTError
from nst_jax.pictures import samples
from nst_jax.pictures.images import load_image

GIBIBYTE = 2**30


def seeds():
    """{name: bytes}: small whole files, as various as possible."""
    colour = np.random.default_rng(0).integers(0, 256, (24, 20, 4), dtype=np.uint8)
    image, exif = Image.fromarray(colour[..., :3]), Image.Exif()
    exif[274], exif[270] = 6, "words"
    told = {"exif": exif, "icc_profile": rgb_profile()}
    files = {}

    def saved(name, format_name, picture=image, **options):
        file = io.BytesIO()
        picture.save(file, format_name, **options)
        files[name] = file.getvalue()

    saved("jpeg", "JPEG", **told)
    saved("progressive", "JPEG", progressive=True)
    saved("inks", "JPEG", image.convert("CMYK"))
    saved("png", "PNG", Image.fromarray(colour), **told)
    saved("palette", "PNG", image.quantize(16), transparency=3)
    saved("frames", "PNG", save_all=True, append_images=[image.rotate(9)])
    saved("webp", "WEBP", **told)
    saved("lossless", "WEBP", Image.fromarray(colour), lossless=True)
    saved("gif", "GIF", save_all=True, append_images=[image.rotate(9)])
    saved("avif", "AVIF", **told)
    saved("avif alpha", "AVIF", Image.fromarray(colour))
    for name, mode in (("bmp", "RGB"), ("grey bmp", "L"), ("bits", "1")):
        saved(name, "BMP", image.convert(mode))
    saved("masked bmp", "BMP", Image.fromarray(colour))
    saved("tga", "TGA", compression="tga_rle")
    saved("ppm", "PPM")
    saved("ico", "ICO", sizes=[(16, 16)])
    saved("qoi", "QOI")
    saved("jp2", "JPEG2000")
    with contextlib.suppress(ImportError):
        import pillow_jxl  # noqa: F401 (registers itself with Pillow)

        saved("jxl", "JXL")
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=50)
    files["heic"] = file.getvalue()
    files["16 bits"] = png_of_samples(colour[..., :3].astype(int) * 257, 16, 2, False, (b"gAMA", b"\0\1\x86\xa0"))
    files["interlaced"] = png_of_samples(colour[..., :1] >> 4, 4, 0, True, (b"tRNS", b"\0\3"))
    files["photoshop"] = (
        b"8BPS\0\1"
        + bytes(6)
        + bytes((0, 3, 0, 0, 0, 24, 0, 0, 0, 20, 0, 8, 0, 3))
        + bytes(12)
        + (b"\0\0" + np.moveaxis(colour[..., :3], -1, 0).tobytes())
    )
    for number, options in enumerate(
        [{}, {"compression": "lzw", "predictor": True}, {"compression": "deflate", "tile": (16, 16)},
         {"compression": "zstd"}, {"compression": "jpeg"}, {"compression": "webp"}, {"compression": "packbits"},
         {"bigtiff": True, "byteorder": ">"}, {"planarconfig": "separate", "tile": (16, 16)}]
    ):  # fmt: skip
        file = io.BytesIO()
        samples = colour[..., :3]
        tifffile.imwrite(
            file,
            np.moveaxis(samples, -1, 0) if "planarconfig" in options else samples,
            photometric="rgb",
            rowsperstrip=None if "tile" in options else 7,
            **options,
        )
        files[f"tiff {number}"] = file.getvalue()
    file = io.BytesIO()
    tifffile.imwrite(file, colour.astype(np.float16) / 255, photometric="rgb", extrasamples=["assocalpha"])
    files["float tiff"] = file.getvalue()
    table = {320: (3, list(range(0, 768)))}
    files["palette tiff"] = tiff_of(colour[..., 0].tobytes(), 20, 24, [8], 3, table, ">")
    files["lab tiff"] = tiff_of(colour[..., :3].tobytes(), 20, 24, [8] * 3, 8, {274: (1, [6])})
    return files


def damaged(whole, rng):
    """The bytes with one to three changes: bytes, fields set to extremes, parts cut out, doubled, or moved."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data))) if rng.random() < 0.5 else int(rng.integers(min(len(data), 256)))
        match rng.integers(7):
            case 0 | 1:
                data[at] = rng.integers(256)
            case 2:
                data[at] ^= 1 << rng.integers(8)
            case 3:
                extreme = [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\1\0"]
                data[at : at + 4] = extreme[rng.integers(len(extreme))]
            case 4:
                del data[at : at + int(rng.integers(1, 64))]
            case 5:
                data[at:at] = data[at : at + int(rng.integers(1, 64))]
            case 6:
                del data[max(at, 1) :]
        data = data or bytearray(b"\0")
    return bytes(data)


def main():
    """Reads ``--count`` damaged files, and tells how many gave pixels; status 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=20.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (8 * GIBIBYTE, 8 * GIBIBYTE))
    samples.MAX_PIXELS = 10**6  # headers that became large would take seconds
    whole, rng, read, faults = seeds(), np.random.default_rng(options.seed), 0, 0
    for name, data in whole.items():
        assert load_image(io.BytesIO(data)).pixels.size, name
    for number in range(options.count):
        name = list(whole)[number % len(whole)]
        data = damaged(whole[name], rng)
        faulthandler.dump_traceback_later(options.patience, exit=True)
        try:
            pixels = load_image(io.BytesIO(data), longest_side=16).pixels
            assert np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1, "pixels out of range"
            read += 1
        except NSTError as error:
            assert len(str(error).splitlines()) == 1, str(error)
        except Exception:
            Path(f"fault-{options.seed}-{number}.bin").write_bytes(data)
            print(f"file {number} of seed {options.seed}, a damaged {name}:")
            traceback.print_exc(limit=-3, file=sys.stdout)
            faults += 1
        faulthandler.cancel_dump_traceback_later()
    refused = options.count - read - faults
    print(f"{options.count} damaged files of {len(whole)} kinds: {read} read, {refused} refused, {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
