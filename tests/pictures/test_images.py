"""`nst_jax.images`: every format, colour space and mistake, from small files made in their real formats."""

import errno
import hashlib
import io
import os
import struct
import zlib

import numpy as np
import pytest
from picture_files import cmyk_profile, grey_profile, png, rgb_profile, tiff
from PIL import Image, ImageCms, ImageFile, ImageOps

from nst_jax.errors import NSTError
from nst_jax.pictures import decoding, encoding, images, samples
from nst_jax.pictures.encoding import check_output
from nst_jax.pictures.images import (
    Picture,
    fit_size,
    load_image,
    read_metadata,
    resize,
    save_image,
    to_uint8,
)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def write(tmp_path):
    """write(name, bytes or Pillow picture, **save options) → path"""

    def do(name: str, content, **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, **options)
        return path

    return do


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def pixel(picture: Picture) -> list[int]:
    """The first pixel in 8 bits."""
    return to_uint8(picture.pixels[0, 0]).tolist()


def srgb_of(linear: float) -> float:
    """The sRGB curve, IEC 61966-2-1."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.bmp"])
def test_lossless_formats_are_read_exactly(write, name):
    values = noise(5, 7)
    path = write(name, Image.fromarray(values), **({"lossless": True} if name == "a.webp" else {}))
    picture = load_image(path)
    assert picture.pixels.dtype == np.float32 and picture.pixels.shape == (5, 7, 3)
    np.testing.assert_allclose(picture.pixels, values / 255, atol=1e-6)
    assert picture.alpha is None and picture.size == (7, 5) and picture.path == path and picture.notes == ()
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_format_is_told_by_content_not_by_name(write):
    path = write("really_a_png.jpg", png(1, 1, 8, 2, bytes((10, 20, 30))))
    assert pixel(load_image(str(path))) == [10, 20, 30]


def test_jpeg_is_read(write):
    values = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    picture = load_image(write("a.jpg", Image.fromarray(values), quality=95))
    np.testing.assert_allclose(picture.pixels * 255, values, atol=3)


def test_first_frame_of_a_gif(write):
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "lime")]
    path = write("a.gif", frames[0], save_all=True, append_images=frames[1:])
    with Image.open(path) as im:
        assert im.n_frames == 2
    assert pixel(load_image(path)) == [255, 0, 0]


def test_multi_picture_jpeg_of_a_phone(write):
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    path = write("a.jpg", first, format="MPO", save_all=True, append_images=[second])
    assert pixel(load_image(path))[0] > 250


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_orientation(write, orientation, name):
    values = np.zeros((16, 32, 3), np.uint8)
    values[:8, :16], values[:8, 16:], values[8:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[274] = orientation
    im = Image.fromarray(values)
    path = write(name, im, exif=exif, **({"quality": 100, "subsampling": 0} if name == "a.jpg" else {}))
    picture = load_image(path)
    # where the red, green, blue and black quarters come to lie: rows of the upright picture, by the EXIF standard
    layout = {
        1: "RG/BK", 2: "GR/KB", 3: "KB/GR", 4: "BK/RG", 5: "RB/GK", 6: "BR/KG", 7: "KG/BR", 8: "GK/RB",
    }[orientation]  # fmt: skip
    letters = {"R": (1, 0, 0), "G": (0, 1, 0), "B": (0, 0, 1), "K": (0, 0, 0)}
    height, width = (16, 32) if orientation < 5 else (32, 16)
    assert picture.size == (width, height) and picture.pixels.shape == (height, width, 3)
    for row, line in enumerate(layout.split("/")):
        for column, letter in enumerate(line):
            y, x = height // 4 + row * height // 2, width // 4 + column * width // 2
            np.testing.assert_allclose(picture.pixels[y, x], letters[letter], atol=0.1)
    with Image.open(path) as opened:
        theirs = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    np.testing.assert_allclose(picture.pixels * 255, theirs, atol=0.01)


def test_orientation_turns_alpha_and_16_bits_too(write):
    samples = np.zeros((2, 3, 4), ">u2")
    samples[..., 3] = 65535
    samples[0, 0] = (65535, 257, 1, 40000)
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
    picture = load_image(write("a.png", png(3, 2, 16, 6, samples.tobytes(), (b"eXIf", exif))))
    assert picture.pixels.shape == (3, 2, 3) and picture.alpha.shape == (3, 2)
    np.testing.assert_allclose(picture.pixels[0, 1], np.array([65535, 257, 1]) / 65535, atol=1e-7)
    np.testing.assert_allclose(picture.alpha[0, 1], 40000 / 65535, atol=1e-7)


def test_broken_exif_is_no_reason_to_refuse(write):
    path = write("a.png", png(1, 1, 8, 2, bytes((10, 20, 30)), (b"eXIf", b"II*\0\x08\0\0\0\xff\xff\x12\x01")))
    assert pixel(load_image(path)) == [10, 20, 30]


# ---------------------------------------------------------------- colour modes


def test_grey(write):
    picture = load_image(write("a.png", Image.fromarray(noise(4, 5, 1)[..., 0])))
    np.testing.assert_allclose(picture.pixels, np.repeat(noise(4, 5, 1), 3, -1) / 255, atol=1e-6)


def test_one_bit(write):
    bits = np.eye(3, dtype=bool)
    assert load_image(write("a.png", Image.fromarray(bits))).pixels[..., 1].tolist() == bits.astype(float).tolist()


def test_grey_with_alpha(write):
    path = write("a.png", png(2, 1, 8, 4, bytes((100, 51, 200, 255))))
    picture = load_image(path)
    np.testing.assert_allclose(picture.pixels[0, :, 0] * 255, [100, 200], atol=1e-4)
    np.testing.assert_allclose(picture.alpha, [[0.2, 1]], atol=1e-6)


def test_palette_with_transparency(write):
    im = Image.new("P", (3, 1))
    im.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    im.putdata([0, 1, 2])
    picture = load_image(write("a.png", im, transparency=bytes((255, 0, 128))))
    np.testing.assert_allclose(picture.alpha, [[1, 0, 128 / 255]], atol=1e-6)
    np.testing.assert_allclose(picture.pixels[0, [0, 2]], [[1, 0, 0], [0, 0, 1]], atol=1e-6)
    picture = load_image(write("b.png", im, transparency=1))
    assert picture.alpha.tolist() == [[1, 0, 1]]
    picture = load_image(write("c.gif", im, transparency=1))
    assert picture.alpha.tolist() == [[1, 0, 1]]
    assert load_image(write("d.png", im)).alpha is None


def test_transparent_colour_of_rgb_and_grey(write):
    rows = bytes((1, 2, 3, 4, 5, 6))
    assert load_image(write("a.png", png(2, 1, 8, 2, rows, (b"tRNS", bytes((0, 1, 0, 2, 0, 3)))))).alpha.tolist() == [
        [0, 1]
    ]
    rows16 = struct.pack(">6H", 1, 2, 3, 1, 2, 4)  # differ in the low byte only
    key = struct.pack(">3H", 1, 2, 4)
    assert load_image(write("b.png", png(2, 1, 16, 2, rows16, (b"tRNS", key)))).alpha.tolist() == [[1, 0]]
    grey16 = struct.pack(">2H", 700, 701)
    assert load_image(write("c.png", png(2, 1, 16, 0, grey16, (b"tRNS", struct.pack(">H", 701))))).alpha.tolist() == [
        [1, 0]
    ]


def test_alpha_that_hides_nothing_is_none(write):
    assert load_image(write("a.png", Image.new("RGBA", (2, 2), (1, 2, 3, 255)))).alpha is None


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_without_a_profile(write, name):
    """(1 − C)(1 − K); a JPEG holds the inks inverted, with Adobe's marker."""
    path = write(name, Image.new("CMYK", (16, 16), (255, 0, 51, 51)), **({"quality": 100} if name == "a.jpg" else {}))
    if name == "a.jpg":
        with Image.open(path) as im:
            assert "adobe" in im.info
    np.testing.assert_allclose(load_image(path).pixels[8, 8], [0, 0.8, 0.64], atol=0.012)


def test_cmyk_through_its_profile(write):
    for cyan, lightness in ((0, 0), (255, 255)):
        path = write(f"{cyan}.tif", Image.new("CMYK", (2, 2), (cyan, 0, 0, 0)), icc_profile=cmyk_profile())
        picture = load_image(path)
        assert picture.notes == ()
        np.testing.assert_allclose(picture.pixels[0, 0] * 255, lightness, atol=2)


def test_ycbcr_and_lab_tiff(write):
    assert pixel(
        load_image(write("y.tif", Image.new("RGB", (4, 4), (200, 100, 50)).convert("YCbCr")))
    ) == pytest.approx([200, 100, 50], abs=2)
    # L* = 54.29, a* = 80.81, b* = 69.89 (D50) is sRGB's red; L* = 50, a* = b* = 0 has the grey 118.9
    lab = np.array([[[round(54.29 * 2.55), 81, 70], [round(50 * 2.55), 0, 0]]], np.uint8)
    picture = load_image(write("lab.tif", tiff(lab, photometric=8)))
    np.testing.assert_allclose(picture.pixels[0] * 255, [[255, 0, 0], [119, 119, 119]], atol=6)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
def test_16_bit_tiff_keeps_its_bits(write, order, deflate):
    samples = np.random.default_rng(1).integers(0, 65536, (3, 4, 4)).astype(order + "u2")
    samples[0, 0, 3] = 65535
    for channels, photometric in ((3, 2), (4, 2)):
        part = np.ascontiguousarray(samples[..., :channels])
        picture = load_image(write(f"{channels}.tif", tiff(part, photometric, deflate=deflate)))
        np.testing.assert_allclose(picture.pixels, samples[..., :3] / 65535, atol=2e-6)
        if channels == 4:
            np.testing.assert_allclose(picture.alpha, samples[..., 3] / 65535, atol=1e-6)
    grey = np.ascontiguousarray(samples[..., 0])
    for photometric in (
        (0, 1) if order == "<" else (1,)
    ):  # white is zero (Pillow knows little-endian ones), black is zero
        picture = load_image(write(f"grey{photometric}.tif", tiff(grey, photometric, deflate=deflate)))
        unit = grey / 65535
        np.testing.assert_allclose(picture.pixels[..., 2], unit if photometric else 1 - unit, atol=1e-6)


def test_16_bit_png_keeps_its_bits(write):
    samples = np.random.default_rng(2).integers(1, 65536, (3, 4, 4)).astype(">u2")
    for colour_type, channels in ((0, [0]), (2, [0, 1, 2]), (4, [0, 3]), (6, [0, 1, 2, 3])):
        rows = np.ascontiguousarray(samples[..., channels]).tobytes()
        picture = load_image(write(f"{colour_type}.png", png(4, 3, 16, colour_type, rows)))
        colours = samples[..., [0, 0, 0] if colour_type in (0, 4) else [0, 1, 2]]
        np.testing.assert_allclose(picture.pixels, colours / 65535, atol=2e-6)
        if colour_type in (4, 6):
            np.testing.assert_allclose(picture.alpha, samples[..., 3] / 65535, atol=1e-6)


def test_deep_grey_tiff(write):
    floats = np.array([[0, 0.123456, 1, 1.5]], "<f4")
    picture = load_image(write("f.tif", tiff(floats, 1, sample_format=3)))
    np.testing.assert_allclose(picture.pixels[0, :, 0], [0, 0.123456, 1, 1], atol=1e-7)
    small = np.array([[0, 30000, 65535]], "<u4")  # 32 bits that hold a 16-bit picture
    np.testing.assert_allclose(load_image(write("i.tif", tiff(small, 1))).pixels[0, :, 0], small[0] / 65535, atol=1e-6)
    large = np.array([[0, 2**31, 2**32 - 1]], "<u4")
    np.testing.assert_allclose(load_image(write("u.tif", tiff(large, 1))).pixels[0, :, 0], [0, 0.5, 1], atol=1e-6)
    signed = np.array([[-5, 0, 32767]], "<i2")
    np.testing.assert_allclose(load_image(write("s.tif", tiff(signed, 1, 2))).pixels[0, :, 0], [0, 0, 1], atol=1e-6)


@pytest.mark.parametrize("value", [255.0, np.nan, np.inf])
def test_float_tiff_out_of_range_is_refused(write, value):
    path = write("f.tif", tiff(np.array([[0, value]], "<f4"), 1, sample_format=3))
    with pytest.raises(NSTError, match=r"float values .* between 0 and 1"):
        load_image(path)


# ---------------------------------------------------------------- colour profiles


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a.webp"])
def test_profile_with_swapped_primaries(write, name):
    im = Image.new("RGB", (16, 16), (255, 0, 0))
    options = {"a.jpg": {"quality": 100, "subsampling": 0}, "a.webp": {"lossless": True}}.get(name, {})
    picture = load_image(write(name, im, icc_profile=rgb_profile(2.2, swapped=True), **options))
    np.testing.assert_allclose(picture.pixels[8, 8], [0, 1, 0], atol=0.03)


def test_linear_profile_has_the_srgb_curve_applied(write):
    for name, content in (
        ("rgb.png", Image.new("RGB", (2, 2), (128, 64, 191))),
        ("rgba.png", Image.new("RGBA", (2, 2), (128, 64, 191, 77))),
        ("p.png", Image.new("RGB", (2, 2), (128, 64, 191)).convert("P", palette=Image.Palette.ADAPTIVE)),
    ):
        picture = load_image(write(name, content, icc_profile=rgb_profile(1.0)))
        expected = [srgb_of(v / 255) for v in (128, 64, 191)]
        np.testing.assert_allclose(picture.pixels[0, 0], expected, atol=1.01 / 255)
        assert (picture.alpha is not None) == (name == "rgba.png")


def test_profile_on_16_bit_colour(write):
    rows = struct.pack(">3H", 32768, 16384, 49152)
    packed = (b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(1.0)))
    picture = load_image(write("a.png", png(1, 1, 16, 2, rows, packed)))
    np.testing.assert_allclose(picture.pixels[0, 0], [srgb_of(v) for v in (0.5, 0.25, 0.75)], atol=1.01 / 255)


def test_grey_profiles_keep_the_bits(write):
    """A grey curve, or an RGB profile on a grey picture: both are curves, and applied in float."""
    for profile in (grey_profile(1.0), rgb_profile(1.0)):
        picture = load_image(write("8.png", Image.new("L", (1, 1), 128), icc_profile=profile))
        np.testing.assert_allclose(picture.pixels[0, 0], srgb_of(128 / 255), atol=1.01 / 255)
        samples = np.array([[32768, 32800]], ">u2")  # the same value in 8 bits
        packed = (b"iCCP", b"x\0\0" + zlib.compress(profile))
        picture = load_image(write("16.png", png(2, 1, 16, 0, samples.tobytes(), packed)))
        np.testing.assert_allclose(picture.pixels[0, 0], srgb_of(0.5), atol=1.01 / 255)
        assert picture.pixels[0, 1, 0] > picture.pixels[0, 0, 0]


def test_srgb_profile_changes_nothing(write):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = noise(16, 16)
    picture = load_image(write("a.png", Image.fromarray(values), icc_profile=profile))
    np.testing.assert_allclose(picture.pixels, values / 255, atol=1e-6)
    packed = (b"iCCP", b"x\0\0" + zlib.compress(profile))
    for colour_type, values in ((2, [700, 30001, 65000]), (0, [30001])):  # nor are 16 bits lost to it
        picture = load_image(
            write("b.png", png(1, 1, 16, colour_type, struct.pack(f">{len(values)}H", *values), packed))
        )
        np.testing.assert_allclose(picture.pixels[0, 0] * 65535, values * (3 // len(values)), atol=0.1)


def test_lab_profile_on_a_lab_picture(write):
    lab = np.array([[[round(50 * 2.55), 0, 0]]], np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with Image.open(io.BytesIO(tiff(lab, photometric=8))) as im:
        path = write("lab.tif", im, icc_profile=profile)
    np.testing.assert_allclose(load_image(path).pixels[0, 0] * 255, 119, atol=2)


@pytest.mark.parametrize("profile", [b"this is no profile", rgb_profile()[:200], grey_profile(1.0), cmyk_profile()])
def test_unusable_profile_is_left_out_with_a_note(write, profile):
    picture = load_image(write("a.png", Image.new("RGB", (2, 2), (10, 20, 30)), icc_profile=profile))
    assert pixel(picture) == [10, 20, 30]
    assert len(picture.notes) == 1 and "colour profile" in picture.notes[0]


# ---------------------------------------------------------------- sizes


def test_fit_size():
    assert fit_size(768, 1024, 512) == (384, 512)
    assert fit_size(1024, 768, 512) == (512, 384)
    assert fit_size(3, 1000, 100) == (1, 100)
    assert fit_size(1, 3, 1) == (1, 1)
    assert fit_size(405, 1000, 100) == (41, 100)  # 40.5 rounds up
    assert fit_size(7, 7, np.int64(9)) == (9, 9)


@pytest.mark.parametrize("side", [0, -1, 2.5, "512", float("nan"), 10**9])
def test_absurd_sizes(write, side):
    path = write("a.png", Image.new("RGB", (4, 4)))
    with pytest.raises(NSTError, match="size") as caught:
        load_image(path, longest_side=side, enlarge=True)
    assert "\n" not in str(caught.value)


def test_longest_side_reduces_and_enlarges_only_if_asked(write):
    path = write("a.png", Image.new("RGB", (40, 20)))
    assert load_image(path, longest_side=10).pixels.shape == (5, 10, 3)
    assert load_image(path, longest_side=80).pixels.shape == (20, 40, 3)
    assert load_image(path, longest_side=80, enlarge=True).pixels.shape == (40, 80, 3)
    assert load_image(path, longest_side=10).size == (40, 20)


def test_a_picture_that_is_not_enlarged_is_refused_for_no_size(write):
    path = write("a.png", Image.new("RGB", (40, 30)))
    assert load_image(path, longest_side=2_000_000).pixels.shape == (30, 40, 3)
    with pytest.raises(NSTError, match="size 2000000 gives 2000000 x 1500000 pixels"):
        load_image(path, longest_side=2_000_000, enlarge=True)


def test_resize_antialiases_and_keeps_flat_pictures_flat():
    fine = np.zeros((64, 64), np.float32)
    fine[::2] = 1  # a grating beyond the new grid's resolution becomes grey
    np.testing.assert_allclose(resize(fine, 16, 16)[2:-2], 0.5, atol=0.02)
    np.testing.assert_allclose(resize(np.full((30, 20, 3), 0.3), 7, 11), 0.3, atol=1e-6)


def test_resize_keeps_what_the_smaller_grid_can_show():
    """A grating at 0.6 of the new grid's limit keeps nine tenths of its contrast; a bilinear filter leaves seven."""
    x = np.arange(256)
    grating = 0.5 + 0.4 * np.sin(2 * np.pi * x * 0.6 * 32 / 256)[None].repeat(8, 0)
    small = resize(grating, 1, 64)[0, 8:-8]
    assert np.ptp(small) > 0.9 * 0.8


def test_resize_is_not_rounded_to_8_bits_and_is_clipped():
    ramp = np.linspace(0.5, 0.5 + 1 / 255, 256, dtype=np.float32)[None].repeat(4, 0)
    assert len(np.unique(resize(ramp, 4, 128)[0])) == 128
    edge = np.zeros((8, 32), np.float32)
    edge[:, 16:] = 1
    big = resize(edge, 16, 64)
    assert big.dtype == np.float32 and big.min() == 0 and big.max() == 1


def test_resize_is_separable_per_channel_and_exact_at_the_same_size():
    values = noise(9, 8, 4) / np.float32(255)
    np.testing.assert_array_equal(resize(values, 9, 8), values)
    np.testing.assert_array_equal(resize(values, 5, 6)[..., 2], resize(values[..., 2], 5, 6))


def test_hidden_colours_do_not_bleed(write):
    values = np.zeros((32, 32, 4), np.uint8)
    values[..., 1] = 255  # hidden: green
    values[:, :13] = (255, 0, 0, 255)  # seen: red
    path = write("a.png", Image.fromarray(values))
    for side in (32, 8):
        picture = load_image(path, longest_side=side)
        np.testing.assert_allclose(picture.pixels, np.broadcast_to([1, 0, 0], picture.pixels.shape), atol=1e-3)
        assert 0 < picture.alpha.mean() < 1 and picture.alpha.min() == 0 and picture.alpha.max() == 1


# ---------------------------------------------------------------- bad input


def refused(path, words: str) -> None:
    """One line that names the file and has these words."""
    for function in (load_image, read_metadata):
        with pytest.raises(NSTError, match=words) as caught:
            function(path)
        message = str(caught.value)
        assert "\n" not in message and os.path.basename(path) in message and "BytesIO" not in message


def test_missing(tmp_path):
    refused(tmp_path / "none.png", "does not exist: check the spelling")
    refused(tmp_path / "none" / "none.png", "does not exist")


def test_empty(write):
    refused(write("a.jpg", b""), "is empty")


def test_directory(tmp_path):
    refused(tmp_path, "is a directory: name a picture in it")


def test_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "no ordinary file")


def test_null_byte_and_overlong_name():
    with pytest.raises(NSTError):
        load_image("a\0.png")
    with pytest.raises(NSTError, match="cannot be read|does not exist"):
        load_image("a" * 5000 + ".png")


def test_no_permission(write, monkeypatch):
    path = write("a.png", Image.new("RGB", (2, 2)))

    def deny(self, **_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.stat", deny)
    refused(path, "permissions")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission_for_real(write):
    path = write("a.png", Image.new("RGB", (2, 2)))
    path.chmod(0)
    refused(path, "permissions")


def test_not_a_picture(write):
    refused(
        write("a.png", b"Dear reader,\nthis is a letter."),
        "is not a picture: save it as 8-bit JPEG, PNG, WebP, TIFF, BMP or GIF",
    )


@pytest.mark.parametrize(
    "head, name",
    [
        (b"%PDF-1.7\n", "a PDF"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0", "a QuickTime film"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a comment -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b"v/1\x01", "an OpenEXR"),
        (b"RIFF\0\0\0\0WAVE", "a RIFF"),
        (bytes(128) + b"DICM", "a DICOM"),
    ],
)
def test_other_formats_are_refused_by_name(write, head, name):
    refused(write("a.jpg", head + bytes(100)), rf"is {name}( \(HTML\))? file: save it as 8-bit JPEG, PNG")


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_truncated(write, format_name):
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(buffer, format_name)
    whole = buffer.getvalue()
    load_image(write("whole", whole))
    for share in (0.3, 0.6, 0.9):
        refused(write("cut", whole[: int(share * len(whole))]), "damaged or cut off")
    refused(write("head", whole[:9]), "damaged|not a picture")


def test_damaged_in_the_middle(write):
    data = bytearray(png(64, 64, 8, 2, noise(64, 64).tobytes()))
    data[5000:5100] = bytes(100)
    refused(write("a.png", bytes(data)), "damaged or cut off")


def test_many_damages_give_one_clear_line(write, monkeypatch):
    """Whatever the bytes are: a picture or an NSTError, and nothing else."""
    monkeypatch.setattr(samples, "MAX_PIXELS", 10**6)  # headers that became large would take seconds
    rng = np.random.default_rng(3)
    for format_name in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[274] = 6
        options = {} if format_name in ("BMP", "GIF") else {"exif": exif, "icc_profile": rgb_profile()}
        Image.fromarray(noise(12, 9)).save(buffer, format_name, **options)
        whole = buffer.getvalue()
        for trial in range(60):
            data = bytearray(whole)
            for at in rng.integers(0, len(data), 1 + trial % 5):
                data[at] = rng.integers(256)
            try:
                load_image(write("a", bytes(data)), longest_side=8)
            except NSTError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("side", "told"),
    [(14_200, "takes about"), (100_000, "takes about"), (2**31 - 1, "pixels.*at most 100,000,000,000 can be read")],
)
def test_bombs_are_refused_from_the_header(write, monkeypatch, side, told):
    for module in (decoding, images):
        monkeypatch.setattr(module, "free_bytes", lambda: 2**24)
    refused(write("a.png", png(side, side, 8, 2, b"")), told)


def test_large_but_possible_pictures_pass_without_a_warning(write, monkeypatch):
    """Pillow would warn from MAX_IMAGE_PIXELS on and refuse from twice of it; only the limit of this module counts."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90)
    path = write("a.png", Image.new("RGB", (10, 10)))
    assert load_image(path).size == (10, 10)
    monkeypatch.setattr(samples, "MAX_PIXELS", 99)
    refused(path, "10 x 10 pixels")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    refused(path, "10 x 10 pixels")


def test_a_fault_of_our_own_is_not_called_a_damaged_file(write, monkeypatch):
    def broken(*_):
        raise KeyError("ours")

    monkeypatch.setattr(decoding, "_srgb", broken)
    with pytest.raises(KeyError, match="ours"):
        load_image(write("a.png", Image.new("RGB", (10, 10))))


def test_wholly_transparent(write):
    path = write("a.png", Image.new("RGBA", (2, 2), (1, 2, 3, 0)))
    with pytest.raises(NSTError, match="wholly transparent: remove its alpha"):
        load_image(path)


# ---------------------------------------------------------------- writing


def test_to_uint8():
    assert to_uint8(np.array([-1, 0, 0.4999 / 255, 0.5001 / 255, 1, 7])).tolist() == [0, 0, 0, 1, 255, 255]
    every = np.arange(256) / np.float32(255)
    assert to_uint8(every).tolist() == list(range(256))
    with pytest.raises(ValueError, match="not finite"):
        to_uint8(np.array([np.nan]))


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.tif", "a.tiff", "a.webp", "a.jpg", "a.jpeg"])
def test_save_and_load(tmp_path, name):
    pixels = resize(noise(4, 6) / 255, 32, 48)
    alpha = np.linspace(0.1, 1, 32 * 48, dtype=np.float32).reshape(32, 48)
    metadata = {"nst_jax": '{"seed": 1, "style": "Düfte ☃.jpg"}', "Software": "nst_jax"}
    path = tmp_path / name
    save_image(path, pixels, alpha, metadata)
    assert read_metadata(path) == metadata
    picture = load_image(path)
    assert picture.notes == () and [p.name for p in tmp_path.iterdir()] == [name]
    if "jp" in name:  # on white
        assert picture.alpha is None
        np.testing.assert_allclose(picture.pixels, pixels * alpha[..., None] + 1 - alpha[..., None], atol=0.06)
    else:
        np.testing.assert_allclose(picture.alpha, alpha, atol=0.51 / 255)
        np.testing.assert_allclose(picture.pixels, pixels, atol=0.2 if "webp" in name else 0.51 / 255)
    with Image.open(path) as im:
        assert im.format == {"j": "JPEG", "p": "PNG", "P": "PNG", "t": "TIFF", "w": "WEBP"}[name[2]]
        profile = ImageCms.ImageCmsProfile(io.BytesIO(im.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_save_is_deterministic(tmp_path, monkeypatch):
    pixels = noise(8, 8) / 255
    real = ImageCms.ImageCmsProfile.tobytes
    for extension in encoding.WRITABLE:
        names = [tmp_path / f"{n}{extension}" for n in "ab"]
        save_image(names[0], pixels, metadata={"a": "b"})
        monkeypatch.setattr(  # as on another day
            ImageCms.ImageCmsProfile, "tobytes", lambda self: real(self)[:24] + bytes(12) + real(self)[36:]
        )
        save_image(names[1], pixels, metadata={"a": "b"})
        monkeypatch.undo()
        assert names[0].read_bytes() == names[1].read_bytes()


def test_quality_and_full_colour_resolution(tmp_path):
    pixels = noise(64, 64) / 255
    save_image(tmp_path / "low.jpg", pixels, quality=20)
    save_image(tmp_path / "high.jpg", pixels)
    assert (tmp_path / "low.jpg").stat().st_size < 0.6 * (tmp_path / "high.jpg").stat().st_size
    with Image.open(tmp_path / "high.jpg") as im:
        assert [layer[1:3] for layer in im.layer] == [(1, 1)] * 3
    for quality in (0, 101):
        with pytest.raises(NSTError, match="quality"):
            save_image(tmp_path / "a.jpg", pixels, quality=quality)


def test_metadata_of_other_files(write):
    exif = Image.Exif()
    assert read_metadata(write("none.jpg", Image.new("RGB", (2, 2)))) == {}
    for text in ("a holiday", '"text"', "[1]"):
        exif[270] = text
        assert read_metadata(write("other.jpg", Image.new("RGB", (2, 2)), exif=exif)) == {}


def test_metadata_too_long_for_exif(tmp_path):
    with pytest.raises(NSTError, match="save as .png"):
        save_image(tmp_path / "a.jpg", np.zeros((2, 2, 3)), metadata={"a": "x" * 70_000})
    save_image(tmp_path / "a.png", np.zeros((2, 2, 3)), metadata={"a": "x" * 70_000})
    assert read_metadata(tmp_path / "a.png") == {"a": "x" * 70_000}


def test_wrong_shapes_are_refused(tmp_path):
    for pixels, alpha in (
        (np.zeros((4, 4)), None),
        (np.zeros((4, 4, 4)), None),
        (np.zeros((4, 4, 3)), np.zeros((4, 5))),
    ):
        with pytest.raises(NSTError, match="must be"):
            save_image(tmp_path / "a.png", pixels, alpha)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_for_a_picture_with_nan(tmp_path):
    with pytest.raises(ValueError, match="finite"):
        save_image(tmp_path / "a.png", np.full((2, 2, 3), np.nan))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch, where):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "write":
        real = io.open

        class Full(io.BytesIO):
            def write(self, data):
                real(temporary, "ab").close()
                return full()

        temporary = tmp_path / "seen"

        def opened(name, *arguments, **options):
            nonlocal temporary
            temporary = name
            return Full()

        monkeypatch.setattr(images, "open", opened, raising=False)
    else:
        monkeypatch.setattr(images.os, where, full)
    with pytest.raises(NSTError, match="cannot write .*a.png: No space left on device"):
        save_image(path, np.zeros((2, 2, 3)))
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_interrupted_while_writing_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(images.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_image(tmp_path / "a.png", np.zeros((2, 2, 3)))
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_permissions_are_ordinary(tmp_path):
    (tmp_path / "far").mkdir()
    for target in ("store", "store.jpg"):  # the format is that of the name that was given
        (tmp_path / f"{target}.png").symlink_to(tmp_path / target)
        save_image(tmp_path / f"{target}.png", np.zeros((2, 2, 3), np.float32), depth=16)
        assert (tmp_path / target).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    (tmp_path / "link.png").symlink_to(tmp_path / "far" / "real.png")
    save_image(tmp_path / "link.png", np.zeros((2, 2, 3)))
    assert (tmp_path / "link.png").is_symlink() and load_image(tmp_path / "far" / "real.png").size == (2, 2)
    (tmp_path / "plain").touch()
    assert (tmp_path / "far" / "real.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "name, words",
    [
        ("a", r"no extension.*\.png, \.jpg"),
        ("a.gif", r"no extension.*use one of \.png"),
        ("none/a.png", "does not exist; make it first"),
        (".", "is a directory: name a file in it"),
        ("dir.png", "is a directory"),
        ("a\0.png", "cannot write"),
        ("pipe.png", "no ordinary file"),
        ("x" * 5000 + ".png", "cannot write"),
    ],
)
def test_bad_outputs(tmp_path, name, words):
    (tmp_path / "dir.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    path = f"{tmp_path}/{name}"
    for action in (lambda: check_output(path), lambda: save_image(path, np.zeros((2, 2, 3)))):
        with pytest.raises(NSTError, match=words) as caught:
            action()
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dir.png", "pipe.png"]


@pytest.mark.parametrize("which, words", [("folder", "folder .* not writable"), ("file", "write-protected")])
def test_write_protection(tmp_path, monkeypatch, which, words):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    protected = tmp_path if which == "folder" else path
    real = os.access
    monkeypatch.setattr(encoding.os, "access", lambda p, mode: str(p) != str(protected) and real(p, mode))
    with pytest.raises(NSTError, match=words):
        check_output(path)
    assert path.read_bytes() == b"old"


def test_check_output_writes_nothing_and_knows_the_largest_sides(tmp_path):
    check_output(tmp_path / "a.webp", (16_383, 10))
    check_output(tmp_path / "a.png", (100_000, 10))
    for name, side in (("a.webp", 16_384), ("a.jpg", 65_536)):
        with pytest.raises(NSTError, match=r"pixels a side; use \.png"):
            check_output(tmp_path / name, (10, side))
    assert list(tmp_path.iterdir()) == []
