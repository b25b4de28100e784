"""Files of up to 400 megapixels in a gibibyte, each read in a process of its own; and the cases that once failed."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from picture_files import chunk

from nst_jax.errors import NSTError
from nst_jax.pictures.images import load_image

SIDE = 13_300
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
CODE = """
import re, sys
from nst_jax.errors import NSTError
from nst_jax.pictures.images import load_image
try:
    picture = load_image(sys.argv[1], longest_side=256)
    print(*picture.size, picture.pixels.shape[1], round(float(picture.pixels.mean() * 255), 1))
except NSTError as error:
    print(error)
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])  # ru_maxrss has the parent's in it
"""


def png(path, depth, colour_type, interlaced=False, side=SIDE):
    """A PNG of ``side`` squared pixels whose bytes are all 0x55, packed into some kilobytes."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    rows = (b"\0" + b"\x55" * ((side * channels * depth + 7) // 8)) * 100
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)  # can be repeated, as nothing looks back beyond it
    check = 1
    for _ in range(side // 100):
        check = zlib.adler32(rows, check)
    data = b"\x78\x01" + packed * (side // 100) + b"\3\0" + struct.pack(">I", check)
    header = struct.pack(">IIBBBBB", side, side, depth, colour_type, 0, 0, int(interlaced))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def tiff(path, compression, planar):
    """A TIFF of 16-bit colour whose bytes are all 0x55, in twenty strips, or in twenty for each plane."""
    rows = SIDE // 20
    strip = b"\x55" * (rows * SIDE * (2 if planar else 6))
    packed = zlib.compress(strip, 1) if compression == "deflate" else imagecodecs.zstd_encode(strip)
    tifffile.imwrite(
        path,
        iter([packed] * (60 if planar else 20)),
        shape=(3, SIDE, SIDE) if planar else (SIDE, SIDE, 3),
        dtype=np.uint16,
        photometric="rgb",
        planarconfig="separate" if planar else "contig",
        rowsperstrip=rows,
        compression=compression,
        metadata=None,
    )


LARGE = {
    "1 bit": lambda path: png(path, 1, 0),
    "400 megapixels": lambda path: png(path, 1, 0, side=20_000),
    "16-bit grey": lambda path: png(path, 16, 0),
    "8-bit colour and alpha": lambda path: png(path, 8, 6),
    "16-bit colour and alpha": lambda path: png(path, 16, 6),
    "TIFF by libvips": lambda path: tiff(path, "deflate", False),
    "TIFF by tifffile": lambda path: tiff(path, "zstd", True),
}


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGE)
def test_memory_is_that_of_the_picture_asked_for(tmp_path, kind):
    path = tmp_path / "large"
    LARGE[kind](path)
    done = subprocess.run([sys.executable, "-c", CODE, path], capture_output=True, text=True, check=True)
    told, peak = done.stdout.splitlines()
    width, height, reduced, mean = told.split()
    side = 20_000 if kind == "400 megapixels" else SIDE
    assert (int(width), int(height), int(reduced)) == (side, side, 256), told
    assert abs(float(mean) - (127.5 if kind in ("1 bit", "400 megapixels") else 85)) < 1
    assert int(peak) < 300 * 1024, f"{int(peak) / 1024:.0f} MiB"  # a gibibyte is promised


@LINUX
@pytest.mark.slow
def test_what_does_not_fit_is_refused_before_it_is_decoded(tmp_path):
    """An interlaced PNG of 16-bit RGBA has to be decoded whole; here it may take half of what that needs."""
    png(tmp_path / "large", 16, 6, interlaced=True)
    code = f"from nst_jax.pictures import decoding; decoding.free_bytes = lambda: {2**30}\n{CODE}"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "large"], capture_output=True, text=True, check=True)
    told, peak = done.stdout.splitlines()
    assert "takes about" in told and "it is interlaced, and so has to be decoded whole" in told
    assert int(peak) < 300 * 1024


WANTED = {  # mean colours, or words of the refusal
    "planar16.tif": (124, 115, 108), "raw_preview.dng": "camera raw", "be_i16_deflate.tif": (124, 124, 124),
    "colormap8.tif": (124, 124, 124), "ori6_byte.tif": (124, 115, 108), "bigtiff_be.tif": (124, 115, 108),
    "webp_in_tiff.tif": (124, 115, 108), "x.ppm": (124, 115, 108), "x.j2k": (124, 115, 108),
    "x.avif": (124, 115, 108), "xmp_ori6.jpg": (124, 115, 108), "cicp_p3.png": (217, 42, 52),
    "gama_1.png": (229, 133, 133), "ztxt_2mb.png": (200, 60, 60), "wide1bit.png": (127.5, 127.5, 127.5),
}  # fmt: skip


@pytest.mark.parametrize("name", WANTED)
def test_cases_that_once_failed(shared, name):
    path = shared / "cases" / name
    if not path.is_file():
        pytest.skip("no such case")
    if isinstance(WANTED[name], str):
        with pytest.raises(NSTError, match=WANTED[name]):
            load_image(path)
    else:
        picture = load_image(path, longest_side=256)
        np.testing.assert_allclose(picture.pixels.mean((0, 1)) * 255, WANTED[name], atol=1)
        assert picture.size == ((24, 32) if name == "ori6_byte.tif" else picture.size)


@pytest.mark.parametrize("name, hidden", [("grey4_trns.png", 16 / 256), ("a1555.bmp", 0.5)])
def test_cases_with_alpha(shared, name, hidden):
    path = shared / "cases" / name
    if not Path(path).is_file():
        pytest.skip("no such case")
    assert load_image(path).alpha.mean() == pytest.approx(1 - hidden, abs=1e-3)
