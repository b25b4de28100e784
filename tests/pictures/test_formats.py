"""What files of each format have beside samples: colour, turns, frames, extras; and how damage is told from kind."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from picture_files import png, rgb_profile, tiff_of
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from nst_jax.errors import NSTError
from nst_jax.pictures import decoding
from nst_jax.pictures.images import load_image, to_uint8

PROJECT = Path(__file__).resolve().parents[2]
SQUARES = np.zeros((16, 32, 3), np.uint8)
SQUARES[:8, :16], SQUARES[:8, 16:], SQUARES[8:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def read(data, **options):
    return load_image(io.BytesIO(data), **options)


def saved(image, format_name, **options):
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def flat(colour, *chunks):
    """A PNG of one colour."""
    return png(4, 4, 8, 2, bytes(colour) * 16, *chunks)


def refusal(data):
    """The one line with which a file is refused."""
    with pytest.raises(NSTError) as caught:
        read(data)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# ---------------------------------------------------------------- colour


def test_linear_gamma_is_undone():
    """gAMA 1 is linear light; 0.45455 is what programs write for sRGB; sRGB, a profile and cICP go before it."""
    linear, usual = struct.pack(">I", 100_000), struct.pack(">I", 45_455)
    lifted = to_uint8(read(flat((55, 55, 55), (b"gAMA", linear))).pixels[0, 0])
    assert lifted.tolist() == [128] * 3
    kept = [
        [(b"gAMA", usual)],
        [(b"sRGB", b"\0"), (b"gAMA", linear)],
        [(b"cICP", bytes((1, 13, 0, 1))), (b"gAMA", linear)],
    ]
    packed = (b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(2.2)))
    for chunks in kept:
        assert to_uint8(read(flat((55, 55, 55), *chunks)).pixels[0, 0]).tolist() == [55] * 3
    with_profile = read(flat((55, 55, 55), packed, (b"gAMA", linear)))
    np.testing.assert_array_equal(with_profile.pixels, read(flat((55, 55, 55), packed)).pixels)


def test_gamma_keeps_16_bits():
    samples = np.array([[[30000, 30010, 30020]]], ">u2")
    seen = read(png(1, 1, 16, 2, samples.tobytes(), (b"gAMA", struct.pack(">I", 100_000)))).pixels[0, 0]
    wanted = 1.055 * (np.array([30000, 30010, 30020]) / 65535) ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(seen, wanted, atol=1e-6)


def test_primaries_of_a_gamma_chunk():
    """Red and green swapped."""
    corners = [value * 1000 for value in (312.7, 329, 300, 600, 640, 330, 150, 60)]
    chunks = [(b"cHRM", struct.pack(">8I", *(round(value / 10) for value in corners)))]
    chunks = [
        (b"gAMA", struct.pack(">I", 50_000)),
        (b"cHRM", struct.pack(">8I", *(round(v * 100) for v in (312.7, 329, 300, 600, 640, 330, 150, 60)))),
    ]
    np.testing.assert_allclose(read(flat((255, 0, 0), *chunks)).pixels[0, 0], [0, 1, 0], atol=5e-3)


@pytest.mark.parametrize("corners", [(0,) * 8, (1, 1, 1, 1, 1, 1, 1, 1), (31270, 32900, 0, 0, 0, 0, 0, 0)])
def test_impossible_primaries_are_left_out_with_a_note(corners):
    picture = read(flat((9, 99, 199), (b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", struct.pack(">8I", *corners))))
    assert to_uint8(picture.pixels[0, 0]).tolist() == [9, 99, 199]
    assert picture.notes == ("its gAMA or cHRM cannot be meant; taken as sRGB",)


def test_display_p3_by_code_points():
    """sRGB's red in Display P3 is (234, 51, 35), by the matrices of CSS Color 4."""
    picture = read(flat((234, 51, 35), (b"cICP", bytes((12, 13, 0, 1)))))
    np.testing.assert_allclose(picture.pixels[0, 0], [1, 0, 0], atol=0.012)
    assert picture.notes == ()


@pytest.mark.parametrize("transfer, name", [(16, "PQ"), (18, "HLG")])
def test_hdr_has_a_note(transfer, name):
    assert f"HDR picture ({name})" in read(flat((9, 9, 9), (b"cICP", bytes((9, transfer, 0, 1))))).notes[0]


@pytest.mark.parametrize("name", ["AVIF", "HEIC", "JPEG2000", "TIFF", "WEBP"])
def test_profiles(name):
    """Red and green swapped."""
    image, options = Image.new("RGB", (32, 32), (255, 0, 0)), {"icc_profile": rgb_profile(2.2, swapped=True)}
    if name == "HEIC":
        file = io.BytesIO()
        pillow_heif.from_pillow(image).save(file, quality=95, **options)
        data = file.getvalue()
    elif name == "JPEG2000":  # Pillow writes none: put into the header by hand
        data = saved(image, name)
        at = data.index(b"colr")
        box = b"colr\2\0\0" + options["icc_profile"]
        old = int.from_bytes(data[at - 4 : at], "big")
        more = len(box) + 4 - old
        head = data.index(b"jp2h") - 4
        size = int.from_bytes(data[head : head + 4], "big") + more
        data = (
            data[:head]
            + struct.pack(">I", size)
            + data[head + 4 : at - 4]
            + struct.pack(">I", len(box) + 4)
            + box
            + data[at - 4 + old :]
        )
    else:
        data = saved(image, name, **options)
    np.testing.assert_allclose(read(data).pixels[16, 16], [0, 1, 0], atol=0.05)


def test_code_points_of_an_avif():
    """Display P3 told by a ``colr`` box alone."""
    data = saved(Image.new("RGB", (32, 32), (234, 51, 35)), "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"colrnclx") + 8
    data = data[:at] + struct.pack(">2H", 12, 13) + data[at + 4 :]
    np.testing.assert_allclose(read(data).pixels[16, 16], [1, 0, 0], atol=0.03)


# ---------------------------------------------------------------- turns


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_turns_of_what_telephones_write(name, orientation):
    """Red, green, blue and black quarters come to lie as in a PNG of the same orientation."""
    exif = Image.Exif()
    exif[274] = orientation
    there = read(saved(Image.fromarray(SQUARES), "PNG", exif=exif))
    if name == "HEIC":
        file = io.BytesIO()
        heif = pillow_heif.from_pillow(Image.fromarray(SQUARES))
        heif.info["exif"] = exif.tobytes()  # written as turns of the format
        heif.save(file, quality=95)
        data = file.getvalue()
        assert b"irot" in data or b"imir" in data or orientation == 1
    else:
        data = saved(Image.fromarray(SQUARES), name, exif=exif, quality=95)
    here = read(data)
    assert here.size == there.size
    np.testing.assert_allclose(here.pixels[4::8, 4::8], there.pixels[4::8, 4::8], atol=0.2)


def test_xmp_alone_turns_nothing():
    """libvips and ImageMagick do not look there either, and programs that turn a picture forget it there."""
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    xmp += b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    data = saved(Image.fromarray(SQUARES), "JPEG")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp + data[2:]
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif()[274] == 6  # as Pillow has it
    assert read(data).size == (32, 16)


# ---------------------------------------------------------------- more than one picture


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_has_a_note(name):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if name == "WEBP" else {}
    picture = read(saved(frames[0], name, save_all=True, append_images=frames[1:], **options))
    assert to_uint8(picture.pixels[9, 9]).tolist() == [255, 0, 0]
    pages = "pages" if name == "TIFF" else "frames"
    assert picture.notes == (f"it is the first of 3 {pages}; the others are not used",)
    assert read(saved(frames[0], name, **options)).notes == ()


def test_several_pictures_of_a_heic():
    file = io.BytesIO()
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red"))
    heif.add_from_pillow(Image.new("RGB", (64, 64), "lime"))
    heif.save(file, quality=90, primary_index=1)
    picture = read(file.getvalue())
    np.testing.assert_allclose(picture.pixels[32, 32], [0, 1, 0], atol=0.05)
    assert picture.notes == ("it is the main one of 2 pictures; the others are not used",)


def test_a_thumbnail_before_the_picture_is_passed_over():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(SQUARES[::4, ::4].copy(), photometric="rgb", subfiletype=1, metadata=None)
        writer.write(SQUARES, photometric="rgb", metadata=None)
    picture = read(file.getvalue())
    assert picture.size == (32, 16) and picture.notes == ()


def test_many_pages_are_not_all_looked_at():
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((99, 16, 16), np.uint8), photometric="minisblack", metadata=None)
    assert read(file.getvalue()).notes == ("it is the first of 64 pages or more; the others are not used",)


# ---------------------------------------------------------------- extras


def raw(**tags):
    """A TIFF such as cameras write: its first page a thumbnail, the picture elsewhere."""
    more = {254: (4, [1]), 330: (4, [8]), **{int(key[1:]): value for key, value in tags.items()}}
    return tiff_of(bytes(300), 10, 10, [8] * 3, 2, more)


RAWS = {
    "NEF": raw(),
    "DNG": raw(_50706=(1, [1, 4, 0, 0])),
    "colour filter": tiff_of(bytes(100), 10, 10, [8], 32803),
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(64),
    "RAF": b"FUJIFILMCCD-RAW 0201" + bytes(64),
    "RW2": b"IIU\0\x08\0\0\0" + bytes(64),
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(64),
}


@pytest.mark.parametrize("name", RAWS)
def test_camera_raws_are_no_thumbnails(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)  # as where the extra is not installed
    words = refusal(RAWS[name])
    assert "is a camera raw file: install what reads it (pip install 'nst_jax[raw]'), or develop it" in words


@pytest.mark.parametrize("name", RAWS)
def test_raws_that_libraw_does_not_know(name):
    pytest.importorskip("rawpy")
    assert "camera raw" in refusal(RAWS[name]) or "damaged" in refusal(RAWS[name])


def test_a_raw_is_developed(monkeypatch):
    """By LibRaw, to 16 bits, turned as the camera was held."""

    class Raw:
        class sizes:
            iwidth, iheight, flip = 10, 6, 6

        def postprocess(self, **options):
            assert options == {"use_camera_wb": True, "output_bps": 16}
            return np.full((10, 6, 3), 30000, np.uint16)

    rawpy = pytest.importorskip("rawpy")
    monkeypatch.setattr(rawpy, "imread", lambda file: Raw())
    picture = read(RAWS["DNG"])
    assert picture.size == (6, 10)
    np.testing.assert_allclose(picture.pixels, 30000 / 65535, atol=1e-6)


def test_jpeg_xl_names_its_extra(monkeypatch):
    data = b"\xff\x0a" + bytes(50)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.delitem(Image.OPEN, "JXL", raising=False)
    assert "is a JPEG XL file: install what reads it (pip install 'nst_jax[jxl]'), or save it as" in refusal(data)


# ---------------------------------------------------------------- whole, but of a kind that is not read


@pytest.mark.parametrize(
    "data",
    [
        tiff_of(bytes(300), 10, 10, [8] * 3, 2, {259: (3, [34676])}),  # SGI's logarithms
        tiff_of(bytes(600), 10, 10, [16] * 3, 2, {339: (3, [6] * 3)}),  # complex numbers
        tiff_of(bytes(300), 10, 10, [8] * 3, 32844),  # LogL
        b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 32, 3) + bytes(14 + 192),  # 32 bits
    ],
)
def test_what_is_whole_is_not_called_damaged(data):
    words = refusal(data)
    assert "of a kind that cannot be read" in words and "damaged" not in words and "save it as 8-bit JPEG" in words


def test_long_texts_in_a_png_do_not_matter():
    """Pillow stops at a megabyte of text."""
    text = (b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2_000_000))
    assert to_uint8(read(flat((1, 2, 3), text)).pixels[0, 0]).tolist() == [1, 2, 3]


def test_a_tga_whose_fourth_channel_is_no_alpha():
    header = bytes((0, 0, 2)) + bytes(9) + struct.pack("<2H", 2, 2) + bytes((32, 32))
    picture = read(header + bytes((3, 2, 1, 0)) * 4)
    assert picture.alpha is None and to_uint8(picture.pixels[0, 0]).tolist() == [1, 2, 3]
    picture = read(header[:-1] + bytes((40,)) + bytes((3, 2, 1, 51)) * 4)
    np.testing.assert_allclose(picture.alpha, 0.2, atol=1e-6)


def test_c_libraries_write_nothing_to_the_terminal(tmp_path):
    """libtiff, libpng, libjpeg and libheif print warnings if they are let; what Python warns of is the caller's."""
    webp = io.BytesIO()
    tifffile.imwrite(webp, SQUARES, photometric="rgb", compression="webp", metadata=None)
    files = [
        webp.getvalue()[:-9],
        webp.getvalue(),
        tiff_of(bytes(768), 16, 16, [8] * 3, 2, {65000: (3, [7] * 9), 259: (3, [5])}),
        flat((1, 2, 3), (b"iCCP", b"x\0\0broken"))[:-20],
        saved(Image.fromarray(SQUARES), "JPEG")[:-40],
        saved(Image.fromarray(SQUARES), "AVIF")[:-40],
        tiff_of(bytes(768), 16, 16, [8] * 3, 2, {257: (4, [2**31 - 9])}),
        png(2**31 - 1, 2**31 - 1, 8, 2, b""),
    ]
    for number, data in enumerate(files):
        (tmp_path / f"{number}.bin").write_bytes(data)
    code = (
        "import sys; from nst_jax.pictures.images import load_image; from nst_jax.errors import NSTError\n"
        "for path in sys.argv[1:]:\n    try: load_image(path)\n    except NSTError as error: print(error)"
    )
    paths = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, *paths], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 7, done


# ---------------------------------------------------------------- memory


def test_memory_is_planned_from_the_header(monkeypatch):
    """A progressive JPEG and an interlaced PNG are decoded whole; what does not fit is refused before that."""
    monkeypatch.setattr(decoding, "STRIP", 2**10)
    monkeypatch.setattr(decoding, "WHOLE", 2**10)
    picture = Image.fromarray(np.zeros((600, 800, 3), np.uint8))
    interlaced = bytearray(saved(picture, "PNG"))
    interlaced[28] = 1  # its pixels are damaged by that, and never looked at
    interlaced[29:33] = struct.pack(">I", zlib.crc32(interlaced[12:29]))
    progressive = saved(picture, "JPEG", progressive=True)
    for data, why in ((progressive, "it is a progressive JPEG"), (bytes(interlaced), "it is interlaced")):
        monkeypatch.setattr(decoding, "free_bytes", lambda: 2**20)
        with pytest.raises(NSTError, match=rf"800 x 600 pixels and takes about .* free: {why}.*; save a smaller one"):
            read(data, longest_side=64)
        monkeypatch.setattr(decoding, "free_bytes", lambda: 2**30)
        with contextlib.suppress(NSTError):
            read(data, longest_side=64)


def test_a_large_picture_is_reduced_while_it_is_decoded(monkeypatch):
    """As Lanczos alone would do it, nearly; with alpha, turns and sides that no square fits."""
    steps = np.linspace(0, 6, 301)
    wave = (np.sin(steps[:, None] * np.linspace(1, 5, 403)) + 1) / 2
    values = np.stack([wave, wave**2, 1 - wave, np.clip(wave * 2, 0.2, 1)], axis=-1)
    image = Image.fromarray(to_uint8(values))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        data = saved(image, "PNG", exif=exif)
        monkeypatch.undo()
        there = read(data, longest_side=29)
        monkeypatch.setattr(decoding, "WHOLE", 1000)
        monkeypatch.setattr(decoding, "STRIP", 5000)
        here = read(data, longest_side=29)
        assert here.size == there.size and here.pixels.shape == there.pixels.shape
        np.testing.assert_allclose(here.pixels, there.pixels, atol=0.04)
        np.testing.assert_allclose(here.alpha, there.alpha, atol=0.04)


def test_a_large_jpeg_is_reduced_by_its_decoder(monkeypatch):
    image = Image.fromarray(SQUARES.repeat(20, 0).repeat(20, 1)[3:, 5:])
    data = saved(image, "JPEG", quality=95)
    there = read(data, longest_side=23)
    monkeypatch.setattr(decoding, "WHOLE", 1000)
    drafts = []
    draft = JpegImageFile.draft
    monkeypatch.setattr(JpegImageFile, "draft", lambda self, *size: drafts.append(size) or draft(self, *size))
    here = read(data, longest_side=23)
    assert drafts and here.size == there.size == (635, 317)
    np.testing.assert_allclose(here.pixels, there.pixels, atol=0.04)


# ---------------------------------------------------------------- any bytes


def test_damaged_files_of_every_kind(tmp_path):
    """600 of them, in a process of its own: a crash or a hang would be its end."""
    command = [sys.executable, PROJECT / "tests" / "picture_fuzz.py", "--count", "600", "--seed", "3"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert "600 damaged files" in done.stdout and done.stdout.endswith(" 0 faults\n")
