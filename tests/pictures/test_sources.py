"""What stands for a picture in a call of the library: files, open files, arrays, Pillow's pictures; and misuses."""

import io

import numpy as np
import pytest
from PIL import Image
from support import random_filters, simple_config, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.pictures.images import Picture, load_image
from nst_jax.pictures.sources import as_list, as_picture
from nst_jax.runs.stylize import stylize

VALUES = np.random.default_rng(0).integers(1, 256, (9, 7, 4), dtype=np.uint8)


def as_read(source):
    return as_picture(source, 9, enlarge=False)


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "f2", "f4", "f8"])
def test_arrays(channels, dtype):
    """[H, W] is grey; 2 and 4 channels end with alpha."""
    share = VALUES[..., : max(1, channels)] / 255
    values = share.astype(dtype) if "f" in dtype else np.rint(share * np.iinfo(dtype).max).astype(dtype)
    picture = as_read(values[..., 0] if not channels else values)
    colour = share[..., :1] if channels < 3 else share[..., :3]
    np.testing.assert_allclose(picture.pixels, np.broadcast_to(colour, (9, 7, 3)), atol=6e-4)
    assert (picture.alpha is not None) == (channels in (2, 4)) and picture.size == (7, 9)
    if channels in (2, 4):
        np.testing.assert_allclose(picture.alpha, share[..., -1], atol=6e-4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_pictures_of_pillow_s(mode):
    image = Image.fromarray(VALUES[..., :3]).convert("L" if mode in ("I;16", "F") else "RGB")
    if mode == "F":
        image = Image.fromarray(np.asarray(image, np.float32) / 255)
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    elif mode == "I":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.int32) * 257)
    else:
        image = image.convert(mode)
    assert image.mode == mode
    deep = mode in ("I", "F", "I;16")
    wanted = np.asarray(Image.fromarray(VALUES[..., :3]).convert("L").convert("RGB") if deep else image.convert("RGB"))
    picture = as_read(image)
    np.testing.assert_allclose(picture.pixels, wanted / 255, atol=1e-2)
    assert picture.path.name == "picture" and len(picture.sha256) == 64


def test_a_picture_of_pillow_s_is_read_as_its_file_is(tmp_path):
    """Turned upright, and with what it hides filled in."""
    exif = Image.Exif()
    exif[274] = 6
    values = VALUES.copy()
    values[:3, :, 3] = 0
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    there = load_image(tmp_path / "a.png", longest_side=8)
    with Image.open(tmp_path / "a.png") as image:
        here = as_picture(image, 8, enlarge=False)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    np.testing.assert_array_equal(here.alpha, there.alpha)
    assert here.size == there.size == (9, 7) and here.path.name == "a.png"


def test_open_files_and_bytes_in_memory(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(VALUES).save(path)
    there = as_read(path)
    with open(path, "rb") as file:
        here = as_read(file)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    assert here.sha256 == there.sha256 == as_read(io.BytesIO(path.read_bytes())).sha256
    assert here.path == path
    skipped = io.BytesIO(b"before" + path.read_bytes())
    skipped.seek(6)  # it is read from where it stands
    np.testing.assert_array_equal(as_read(skipped).pixels, there.pixels)


def closed():
    file = io.BytesIO(b"x")
    file.close()
    return file


class Stubborn:
    def __array__(self, *_, **__):
        raise RuntimeError("needs a gradient")


@pytest.mark.parametrize(
    "source, words",
    [
        (np.zeros((9, 7, 5)), r"shape \[9, 7, 5\].*1 \(grey\), 2 .*3 \(RGB\) or 4"),
        (np.zeros((0, 7, 3)), "shape"),
        (np.zeros((2, 9, 7, 3)), "shape"),
        (np.zeros(7), "shape"),
        (np.full((9, 7, 3), np.nan), "outside"),
        (np.full((9, 7, 3), 2.0), "outside.*divide by 255"),
        (np.full((9, 7, 3), -0.1), "outside"),
        (np.zeros((9, 7, 3), np.int64), "type int64.*uint8, uint16, or floats"),
        (np.zeros((9, 7, 3), bool), "type bool"),
        (np.zeros((9, 7, 3), complex), "type complex128"),
        (np.array([[object()]]), "no picture"),
        (7, "int is no picture"),
        (None, "NoneType is no picture"),
        (object(), "object is no picture"),
        (io.StringIO("text"), "as text: open it in binary"),
        (io.BytesIO(b""), "is empty"),
        (io.BytesIO(b"a letter"), "is not a picture"),
        (closed(), "cannot be read: I/O operation on closed file"),
        (Stubborn(), "cannot be read.*needs a gradient"),
        (Image.new("RGB", (0, 3)), "no pixels"),
    ],
)
def test_misuses_are_one_line(source, words):
    with pytest.raises(NSTError, match=words) as caught:
        as_read(source)
    assert "\n" not in str(caught.value)


def test_one_source_or_several():
    image, array, file = Image.new("RGB", (2, 2)), np.zeros((2, 2, 3)), io.BytesIO()
    picture = Picture(array, None, "a", "b", (2, 2))
    for one in ("a.png", image, array, file, picture):
        (found,) = as_list(one)
        assert found is one
    assert as_list((image, file)) == [image, file]
    with pytest.raises(NSTError, match="int is no picture"):
        as_list(3)


def test_a_run_takes_them_all(narrow_vgg):
    """Photograph and paintings of every kind; the same picture comes of the same pixels."""
    values = [np.rint(smooth_picture(34, 48, seed) * 255).astype(np.uint8) for seed in range(3)]
    few = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",)}
    config = simple_config(size=48, style_size=48, steps=2, scales=1, history=3, **few)

    def made(content, styles):
        return stylize(content, styles, config, weights=random_filters("vgg19")).image

    file = io.BytesIO()
    Image.fromarray(values[0]).save(file, "PNG")
    file.seek(0)
    several = made(file, [Image.fromarray(values[1]), values[2].astype(np.uint16) * 257])
    np.testing.assert_allclose(several, made(values[0], values[1:]), atol=1e-5)
    single = made(values[0] / 255, Image.fromarray(values[1]))
    np.testing.assert_allclose(single, made(values[0], values[1]), atol=1e-5)
