"""Pictures of any size are read, resized and written in strips, and come out as they would in one go."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nst_jax.errors import NSTError
from nst_jax.pictures import decoding, encoding, images, resampling
from nst_jax.pictures.encoding import most_bytes, to_levels
from nst_jax.pictures.images import load_image, read_metadata, save_image
from nst_jax.pictures.resampling import Resampled, resize

RANDOM = np.random.default_rng(0)
#: Values of a result, of which some are beyond the range, and some as far as floats reach.
VALUES = RANDOM.uniform(-0.1, 1.1, (41, 53, 3)).astype("f4")
VALUES[0, :3, 0] = np.finfo("f4").max, -np.finfo("f4").max, 0.5 / 255
ALPHA = RANDOM.uniform(0.2, 1, (41, 53)).astype("f4")


@pytest.fixture
def narrow(monkeypatch):
    """Strips of a few rows alone."""
    for module in (decoding, encoding, resampling, images):
        monkeypatch.setattr(module, "STRIP", 150)


def in_one_go(plane, height, width, box=None):
    """[H, W] as Pillow resizes it."""
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS, box))


@pytest.mark.parametrize("height, width", [(17, 20), (90, 20), (17, 90), (90, 90), (41, 30), (30, 53)])
@pytest.mark.parametrize("box", [None, (0.0, 0.0, 52.3, 40.6), (0.7, 1.2, 53.0, 41.0)])
def test_strips_are_resized_as_the_whole_is(narrow, height, width, box):
    """To the last bit where both sides become smaller, or both larger."""
    values = np.clip(VALUES, 0, 1)
    made = Resampled((41, 53), (height, width), 3, box)
    for top in range(0, 41, 7):
        made.add(values[top : top + 7])
    image = made.done()
    assert image.flags.c_contiguous
    bound = 0 if box is None and (height > 41) == (width > 53) else 3e-7  # a box makes 53 of 52.3
    for channel in range(3):
        whole = in_one_go(values[..., channel], height, width, box)
        np.testing.assert_allclose(image[..., channel], whole, rtol=0, atol=bound)


@pytest.mark.parametrize("size", [(41, 53), (20, 26)])
@pytest.mark.parametrize("turns, mirrored", [(0, True), (1, False), (2, True), (3, True)])
def test_strips_are_turned_as_the_whole_is(narrow, size, turns, mirrored):
    made = Resampled((41, 53), size, 3, None, turns, mirrored)
    for top in range(0, 41, 7):
        made.add(VALUES[top : top + 7])
    image = made.done()
    whole = np.stack([in_one_go(VALUES[..., channel], *size) for channel in range(3)], axis=-1)
    turned = np.rot90(whole, turns)
    np.testing.assert_array_equal(image, turned[:, ::-1] if mirrored else turned)
    assert image.flags.c_contiguous


@pytest.mark.parametrize("longest_side", [None, 30, 80])
@pytest.mark.parametrize("name, orientation", [("a.png", 1), ("a.tif", 1), ("a.png", 6), ("a.jpg", 3)])
def test_a_file_is_read_in_strips_as_in_one_go(tmp_path, monkeypatch, name, orientation, longest_side):
    image = Image.fromarray(to_levels(VALUES if "jpg" in name else np.concatenate([VALUES, ALPHA[..., None]], -1)))
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / name, exif=exif)
    whole = load_image(tmp_path / name, longest_side=longest_side, enlarge=True)
    for module in (decoding, resampling):
        monkeypatch.setattr(module, "STRIP", 150)
    strips = load_image(tmp_path / name, longest_side=longest_side, enlarge=True)
    np.testing.assert_array_equal(strips.pixels, whole.pixels)
    assert (strips.alpha is None) == (whole.alpha is None) == ("jpg" in name)
    if whole.alpha is not None:
        np.testing.assert_array_equal(strips.alpha, whole.alpha)


def test_resizing_leaves_what_it_is_given_alone(narrow):
    given = np.clip(VALUES, 0, 1)
    before = given.copy()
    for size in ((41, 53), (20, 60)):
        image = resize(given, *size)
        image[:] = 2
        np.testing.assert_array_equal(given, before)


def samples(path):
    """A file's samples as another decoder reads them, [H, W, C]."""
    if path.suffix == ".tif":
        return tifffile.imread(path)
    if path.suffix == ".png" and path.read_bytes()[24] == 16:
        import imagecodecs

        return imagecodecs.png_decode(path.read_bytes())
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("extension", ["png", "tif"])
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_levels_are_those_of_the_floats_to_the_last_bit(tmp_path, extension, depth, alpha):
    """libvips rounds as ``to_levels`` does, whose 8 bits have always been what is written."""
    path = tmp_path / f"a.{extension}"
    save_image(path, VALUES, alpha, {"nst_jax": '{"é": "☃"}'}, depth=depth)
    whole = VALUES if alpha is None else np.concatenate([VALUES, alpha[..., None]], axis=-1)
    expected = np.floor(np.clip(whole, 0, 1) * np.float32(2**depth - 1) + np.float32(0.5))
    found = samples(path)
    assert found.dtype == f"u{depth // 8}"
    np.testing.assert_array_equal(found, expected)
    read = load_image(path)
    np.testing.assert_array_equal(to_levels(read.pixels, depth), expected[..., :3])
    assert read.notes == () and read_metadata(path) == {"nst_jax": '{"é": "☃"}'}
    rows = np.concatenate(list(images.rows_of(path, depth)))
    np.testing.assert_array_equal(rows[..., : whole.shape[2]], expected)
    with Image.open(path) as image:
        assert image.info["icc_profile"] == encoding._srgb_profile()


@pytest.mark.parametrize("extension", ["jpg", "webp"])
def test_lossy_formats_are_written_from_strips_as_from_the_whole(tmp_path, monkeypatch, extension):
    for name, strip in (("whole", 2**20), ("strips", 150)):
        monkeypatch.setattr(encoding, "STRIP", strip)
        save_image(tmp_path / f"{name}.{extension}", np.clip(VALUES, 0, 1), ALPHA)
    assert (tmp_path / f"whole.{extension}").read_bytes() == (tmp_path / f"strips.{extension}").read_bytes()


def test_arrays_of_every_kind_are_written(tmp_path):
    """Not in one piece, of float64, or of whole numbers 0 and 1."""
    turned = np.clip(VALUES, 0, 1).transpose(1, 0, 2)
    for number, pixels in enumerate((turned, turned.astype("f8"), (turned > 0.5).astype(int), turned[::2, ::-1])):
        save_image(tmp_path / f"{number}.png", pixels)
        np.testing.assert_array_equal(samples(tmp_path / f"{number}.png"), to_levels(np.asarray(pixels, "f4")))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.webp"])
def test_formats_of_8_bits_are_refused_more(tmp_path, name):
    with pytest.raises(NSTError, match=r"with 16 bits a channel: its format has 8; use \.png or \.tiff, or --depth 8"):
        save_image(tmp_path / name, VALUES, depth=16)
    with pytest.raises(NSTError, match="--depth is 12: give 8 or 16"):
        save_image(tmp_path / "a.png", VALUES, depth=12)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("room, mark", [(2**32, b"II*\0"), (1000, b"II+\0")])
def test_a_tiff_that_an_ordinary_one_cannot_hold_is_a_bigtiff(tmp_path, monkeypatch, room, mark):
    monkeypatch.setattr(encoding, "ORDINARY_TIFF", room)
    save_image(tmp_path / "a.tif", VALUES, ALPHA, {"nst_jax": "{}"}, depth=16)
    assert (tmp_path / "a.tif").read_bytes()[:4] == mark
    np.testing.assert_array_equal(samples(tmp_path / "a.tif")[..., :3], to_levels(VALUES, 16))
    assert read_metadata(tmp_path / "a.tif") == {"nst_jax": "{}"}


@pytest.mark.parametrize("depth, room", [(8, 43_000), (16, 30_000)])
def test_where_bigtiff_begins(depth, room):
    """Four to three; beyond ``room`` pixels across, what is not packed may take more than 4 GB."""
    for width, big in ((room, False), (room + 2000, True)):
        assert (most_bytes("TIFF", (width * 3 // 4, width), False, depth) > encoding.ORDINARY_TIFF) == big


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.webp"])
def test_no_file_is_larger_than_was_thought(tmp_path, name):
    noise = RANDOM.uniform(size=(300, 200, 3)).astype("f4")
    for depth in (8, 16) if name[2] in "pt" else (8,):
        save_image(tmp_path / name, noise, noise[..., 0], {"nst_jax": "x" * 20_000}, depth=depth)
        most = most_bytes(encoding.WRITABLE[Path(name).suffix], (300, 200), True, depth)
        assert most / 4 < (tmp_path / name).stat().st_size <= most


FULL = """
import os, resource, sys
import numpy as np
from nst_jax.errors import NSTError
from nst_jax.pictures import images
pixels = np.random.default_rng(0).uniform(size=(200, 300, 3)).astype("f4")
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
for name in ("a.png", "a.tif", "a.jpg", "a.webp"):
    try:
        images.save_image(os.path.join(sys.argv[1], name), pixels)
    except NSTError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_disk_that_is_full_midway_is_told_as_the_system_tells_it(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    names = ("a.png", "a.tif", "a.jpg", "a.webp")
    assert done.stdout.splitlines() == [f"cannot write {tmp_path / name}: File too large" for name in names]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("quality", [90, 95, 100])
def test_a_jpeg_of_noise_is_written(tmp_path, quality):
    """Of more bytes than Pillow thinks that there can be."""
    noise = RANDOM.uniform(size=(200, 300, 3)).astype("f4")
    save_image(tmp_path / "a.jpg", noise, quality=quality)
    assert (tmp_path / "a.jpg").stat().st_size > 1.5 * 200 * 300
    assert np.abs(load_image(tmp_path / "a.jpg").pixels - noise).mean() < 0.05


def test_words_are_read_without_the_pixels(tmp_path, monkeypatch):
    """What was written stands before them."""
    save_image(tmp_path / "a.png", VALUES, metadata={"nst_jax": "☃", "other": "x"})
    data = (tmp_path / "a.png").read_bytes()
    assert 33 < data.index(b"iTXt") < data.index(b"tEXt") < data.index(b"IDAT")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("the pixels are decoded once more"))
    assert read_metadata(tmp_path / "a.png") == {"nst_jax": "☃", "other": "x"}


def test_a_picture_that_has_been_written_is_forgotten(tmp_path):
    """libvips keeps nothing of the array."""
    pixels = np.clip(VALUES, 0, 1)
    before = sys.getrefcount(pixels)
    for name in ("a.png", "a.tif"):
        save_image(tmp_path / name, pixels)
    assert sys.getrefcount(pixels) == before


def test_an_open_file_of_too_many_bytes_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", 300)
    for name in ("a.png", "a.webp"):
        Image.fromarray(to_levels(RANDOM.uniform(size=(20, 20, 3)))).save(tmp_path / name)
    assert load_image(tmp_path / "a.png").size == (20, 20)  # it is decoded from the file
    for refused in (tmp_path / "a.webp", io.BytesIO((tmp_path / "a.png").read_bytes())):
        with pytest.raises(NSTError, match="of such a .* file at most 2 GB can be read: give the name of a PNG, TIFF"):
            load_image(refused)


PEAK = """
import json, re, sys
import numpy as np
from nst_jax.pictures import images
what, path, depth = sys.argv[1], sys.argv[2], int(sys.argv[3])
if what == "write":
    pixels = np.full((7000, 9000, 3), 0.25, np.float32)
    pixels[::3] = 0.75
    images.save_image(path, pixels, depth=depth)
else:
    pixels = images.load_image(path).pixels
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(json.dumps([pixels.shape, 1024 * peak - pixels.nbytes]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.slow
@pytest.mark.parametrize("name, depth", [("a.png", 8), ("a.tif", 16)])
def test_63_megapixels_take_their_array_and_little_more(tmp_path, name, depth):
    for what in ("write", "read"):
        words = [sys.executable, "-c", PEAK, what, str(tmp_path / name), str(depth)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
        shape, beside = json.loads(done.stdout)
        assert shape == [7000, 9000, 3]
        assert beside < 200e6, f"{what}: {beside / 1e6:.0f} MB beside the array"
    assert re.match(rb"\x89PNG|II", (tmp_path / name).read_bytes()[:4])
