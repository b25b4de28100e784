"""Every kind of picture file, made here from known samples or compared with a decoder that nst_jax does not use for it:
format x depth x channels x byte order x layout x compression x transparency; all in memory, and tiny.
"""

import io
import itertools
import struct

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import pyvips
import tifffile
from picture_files import packed, png_of_samples, tiff_of
from PIL import Image

from nst_jax.pictures.images import load_image

H, W = 19, 21
CASES = {"TIFF": 0, "PNG": 0, "others": 0}


def samples_of(dtype, channels, seed=0):
    """[H, W, C]: smooth, all of the type's range, and in alpha nothing that is wholly hidden."""
    steps = np.linspace(0, 1, H * W * channels).reshape(channels, W, H).T
    values = np.clip(steps + np.random.default_rng(seed).normal(0, 0.05, steps.shape), 0, 1)
    if channels in (2, 4):
        values[..., -1] = np.clip(values[..., -1], 0.2, 0.9)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def compare(data, colour, alpha=None, atol=2e-4, size=(W, H)):
    """What is read from a file's bytes is this: colour [H, W, 1 or 3], alpha [H, W] or None, in [0, 1]."""
    picture = load_image(io.BytesIO(data))
    assert picture.size == size
    visible = np.ones(picture.pixels.shape[:2], bool) if alpha is None else alpha > 1e-3
    colour = np.broadcast_to(np.asarray(colour, np.float64), picture.pixels.shape)
    np.testing.assert_allclose(picture.pixels[visible], colour[visible], atol=atol)
    if alpha is None or alpha.min() == 1:
        assert picture.alpha is None
    else:
        np.testing.assert_allclose(picture.alpha, alpha, atol=atol)
    return picture


def in_unit(samples):
    """Samples of any type as float64 in [0, 1]."""
    if samples.dtype.kind in "bf":
        return samples.astype(np.float64)
    return np.clip(samples / np.float64(np.iinfo(samples.dtype).max), 0, 1)


# ---------------------------------------------------------------- TIFF

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"]
COMPRESSIONS = [None, "packbits", "lzw", "deflate", "zstd", "lzma", "webp", "jpegxl", "jpeg2000", "predictor"]
LAYOUTS = {"strip": {}, "strips": {"rowsperstrip": 4}, "tiles": {"tile": (16, 16)}}


def tiffs(dtype):
    """(description, bytes, samples) of every TIFF that tifffile writes of a type of samples."""
    for channels, order, planar, compression, layout in itertools.product(
        (1, 2, 3, 4), "<>", ("contig", "separate"), COMPRESSIONS, LAYOUTS
    ):
        if planar == "separate" and channels == 1 or dtype == "?" and (channels > 1 or compression == "predictor"):
            continue
        lossless = {"webp": {"lossless": True}, "jpegxl": {"lossless": True}, "jpeg2000": {"reversible": True}}
        options = {"compression": "deflate" if compression == "predictor" else compression, **LAYOUTS[layout]}
        if compression in lossless:
            if dtype not in ("u1", "u2")[: 1 + (compression != "webp")] or channels == 2 or planar == "separate":
                continue
            if (compression == "webp" and channels < 3) or (dtype == "u2" and order == ">"):
                continue
            options["compressionargs"] = lossless[compression]
        samples = samples_of(dtype, channels)
        shaped = samples[..., 0] if channels == 1 else np.moveaxis(samples, -1, 0) if planar == "separate" else samples
        file = io.BytesIO()
        tifffile.imwrite(
            file,
            shaped,
            byteorder=order,
            bigtiff=(channels + (layout == "tiles")) % 2 == 0,
            photometric="rgb" if channels > 2 else "minisblack",
            planarconfig=planar if channels > 1 else None,
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
            predictor=compression == "predictor" or None,
            metadata=None,
            **options,
        )
        yield f"{dtype} x {channels} {order} {planar} {compression} {layout}", file.getvalue(), samples


@pytest.mark.parametrize("dtype", DTYPES)
def test_tiff(dtype):
    for what, data, samples in tiffs(dtype):
        values, channels = in_unit(samples), samples.shape[2]
        try:
            compare(
                data,
                values[..., : 1 if channels < 3 else 3],
                values[..., -1] if channels in (2, 4) else None,
                atol=1e-3 if dtype == "f2" else 2e-4,
            )
        except Exception as error:
            raise AssertionError(what) from error
        CASES["TIFF"] += 1


@pytest.mark.parametrize("order, big", [*itertools.product("<>", (False, True))])
@pytest.mark.parametrize("depth", [1, 2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", [0, 1])
def test_tiff_grey_of_few_or_odd_bits(depth, photometric, order, big):
    samples = np.rint(in_unit(samples_of("f8", 1)) * (2**depth - 1)).astype(int)
    rows = [packed(row, depth) for row in samples]
    if depth == 16 and order == "<":
        rows = [samples.astype("<u2").tobytes()]
    shares = samples / (2**depth - 1)
    compare(
        tiff_of(b"".join(rows), W, H, [depth], photometric, order=order, big=big), shares if photometric else 1 - shares
    )


@pytest.mark.parametrize("order, eight", [*itertools.product("<>", (False, True))])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_tiff_palette(depth, order, eight):
    """A colour map whose values are all below 256 is one of 8 bits."""
    indices = np.random.default_rng(0).integers(0, 2**depth, (H, W, 1))
    colours = np.random.default_rng(1).integers(0, 256, (2**depth, 3))
    table = (colours if eight else colours * 257).T.ravel().tolist()
    data = b"".join(packed(row, depth) for row in indices)
    compare(
        tiff_of(data, W, H, [depth], 3, {320: (3, table)}, order), colours[indices[..., 0]] / 255, atol=1 / 255 + 1e-6
    )


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("kind, meaning", [*itertools.product((0, 1, 2), (2, 4))])
def test_tiff_alpha_of_each_kind(dtype, kind, meaning):
    """0: unspecified, no alpha; 1: colour is multiplied by it; 2: it is not."""
    samples = samples_of(dtype, meaning)
    values = in_unit(samples)
    file = io.BytesIO()
    if kind == 1:
        values[..., :-1] *= values[..., -1:]
        samples = (
            (values * (1 if dtype == "f4" else np.iinfo(dtype).max)).round(0 if dtype != "f4" else 9).astype(dtype)
        )
        values = in_unit(samples)
    photometric = "rgb" if meaning == 4 else "minisblack"
    tifffile.imwrite(file, samples, photometric=photometric, planarconfig="contig", extrasamples=[kind], metadata=None)
    colour, alpha = values[..., :-1], values[..., -1]
    if kind == 1:
        colour = np.clip(colour / alpha[..., None], 0, 1)
    compare(file.getvalue(), colour, alpha if kind else None, atol=1 / 255 if kind == 1 else 2e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tag_type", [1, 3, 4])
def test_tiff_orientation_of_each_type(orientation, tag_type):
    """libvips turns it by the tag, whatever its type; so do we."""
    samples = samples_of("u1", 3)
    data = tiff_of(samples.tobytes(), W, H, [8] * 3, 2, {274: (tag_type, [orientation])})
    turned = pyvips.Image.new_from_buffer(
        tiff_of(samples.tobytes(), W, H, [8] * 3, 2, {274: (3, [orientation])}), ""
    ).autorot()
    compare(data, turned.numpy() / 255, size=(turned.width, turned.height))


@pytest.mark.parametrize("compression", [None, "jpeg", "lzw"])
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_tiff_ycbcr(compression, subsampling):
    """A flat colour, so that how chroma is interpolated does not matter."""
    flat = np.broadcast_to(np.array([200, 100, 50], np.uint8), (16, 16, 3)).copy()
    luma, blue, red = Image.new("RGB", (1, 1), (200, 100, 50)).convert("YCbCr").getpixel((0, 0))
    if compression == "jpeg":
        file = io.BytesIO()
        options = {"subsampling": subsampling, "compressionargs": {"level": 95}}
        tifffile.imwrite(file, flat, photometric="rgb", compression="jpeg", metadata=None, **options)
        data = file.getvalue()
    else:
        across, down = subsampling
        block = bytes([luma] * (across * down) + [blue, red]) * (256 // (across * down))
        packed_block = imagecodecs.lzw_encode(block) if compression else block
        tags = {530: (3, list(subsampling)), 259: (3, [5 if compression else 1])}
        data = tiff_of(packed_block, 16, 16, [8] * 3, 6, tags)
    compare(data, flat / 255, atol=3 / 255, size=(16, 16))


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "lzw", "zstd"])
def test_tiff_cmyk(dtype, planar, compression):
    samples = samples_of(dtype, 4)
    inks = in_unit(samples)
    shaped = np.moveaxis(samples, -1, 0) if planar == "separate" else samples
    file = io.BytesIO()
    tifffile.imwrite(file, shaped, photometric="separated", planarconfig=planar, compression=compression, metadata=None)
    compare(file.getvalue(), (1 - inks[..., :3]) * (1 - inks[..., 3:]))


# ---------------------------------------------------------------- PNG


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(
    "depth, colour_type",
    [*((depth, 0) for depth in (1, 2, 4, 8, 16)), *((depth, 3) for depth in (1, 2, 4, 8)),
     *((depth, kind) for depth in (8, 16) for kind in (2, 4, 6))],
)  # fmt: skip
@pytest.mark.parametrize("height, width", [(H, W), (1, W), (3, 2)])
def test_png(depth, colour_type, transparent, interlaced, height, width):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    largest = 2**depth - 1
    samples = np.random.default_rng(depth).integers(0, largest + 1, (height, width, channels))
    samples[0, 0] = 0
    samples[0, 1] = largest
    chunks, alpha = [], None
    if colour_type == 3:
        colours = np.random.default_rng(1).integers(0, 256, (largest + 1, 4)).astype(np.uint8)
        colours[:, 3] |= 16
        chunks = [(b"PLTE", colours[:, :3].tobytes())]
        chunks += [(b"tRNS", colours[: largest // 2 + 1, 3].tobytes())] if transparent else []
        colours[largest // 2 + 1 :, 3] = 255
        colour = colours[samples[..., 0], :3] / 255
        alpha = colours[samples[..., 0], 3] / 255 if transparent else None
    else:
        colour = samples[..., : 1 if colour_type in (0, 4) else 3] / largest
        if colour_type in (4, 6):
            samples[..., -1] |= 1
            colour, alpha = samples[..., :-1] / largest, samples[..., -1] / largest
        elif transparent:
            key = [largest] * channels
            chunks = [(b"tRNS", struct.pack(f">{channels}H", *key))]
            alpha = np.where((samples == key).all(-1), 0.0, 1.0)
    if transparent and colour_type in (4, 6):
        return  # has alpha already
    compare(png_of_samples(samples, depth, colour_type, interlaced, *chunks), colour, alpha, size=(width, height))
    CASES["PNG"] += 1


# ---------------------------------------------------------------- the rest

BMP_LAYOUTS = {
    "565": (16, (0xF800, 0x07E0, 0x001F, 0)),
    "555": (16, (0x7C00, 0x03E0, 0x001F, 0)),
    "1555": (16, (0x7C00, 0x03E0, 0x001F, 0x8000)),
    "4444": (16, (0x0F00, 0x00F0, 0x000F, 0xF000)),
    "8888": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    "8880": (32, (0xFF0000, 0xFF00, 0xFF, 0)),
    "rgba": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "2101010": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)),
}


@pytest.mark.parametrize("layout", BMP_LAYOUTS)
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("version", [40, 56, 108, 124])
def test_bmp_with_masks(layout, down, version):
    depth, masks = BMP_LAYOUTS[layout]
    if version == 40 and masks[3]:
        masks = (*masks[:3], 0)
    shares, words = [], np.zeros((H, W), np.int64)
    for channel, mask in zip(np.moveaxis(in_unit(samples_of("f8", 4)), -1, 0), masks, strict=True):
        if mask:
            low = mask & -mask
            values = np.rint(np.maximum(channel, 0.5 if mask == masks[3] else 0) * (mask // low)).astype(np.int64)
            words |= values * low
            shares.append(values / (mask // low))
    rows = words.astype(f"<u{depth // 8}")
    padding = b"\0" * (-W * depth // 8 % 4)
    body = b"".join(row.tobytes() + padding for row in (rows if down else rows[::-1]))
    header = struct.pack("<IiiHHIIiiII", version, W, -H if down else H, 1, depth, 3, len(body), 0, 0, 0, 0)
    header += struct.pack("<4I", *masks)[: 12 if version == 40 else 16]
    header = header.ljust(version, b"\0")
    start = 14 + len(header)
    data = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + body
    compare(data, np.stack(shares[:3], axis=-1), shares[3] if masks[3] else None)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize(
    "name", ["BMP", "GIF", "TGA", "TGA rle", "PPM", "QOI", "ICO", "PNG", "TIFF", "WEBP", "JPEG2000", "JXL"]
)
def test_formats_without_loss(name, mode):
    """Written by Pillow from known samples."""
    if mode in {"BMP": ("RGBA", "LA"), "GIF": ("LA",), "PPM": ("LA", "P"), "QOI": ("1", "L", "P", "LA"),
                "ICO": ("1", "L", "P", "LA"), "WEBP": ("1",), "JPEG2000": ("1", "P"), "JXL": ("1", "P"),
                "TGA": (), "TGA rle": ("1",)}.get(name, ()):  # fmt: skip
        return
    if name == "PPM" and mode == "RGBA":
        return
    image = Image.fromarray(samples_of("u1", 4 if name == "GIF" else len(mode) if mode != "P" else 3).squeeze())
    image = image if image.mode == mode else image.convert(mode) if mode != "P" else image.quantize(17)
    if name == "GIF":
        image = image.convert("RGB").quantize(255) if mode in ("RGB", "RGBA") else image
    file = io.BytesIO()
    options = {
        "TGA rle": {"compression": "tga_rle"},
        "WEBP": {"lossless": True, "exact": True},
        "JXL": {"lossless": True},
    }
    if name == "ICO":
        options["ICO"] = {"sizes": [image.size]}
    if name == "JXL":
        pytest.importorskip("pillow_jxl")
    image.save(file, name.split()[0], **options.get(name, {}))
    wanted = np.asarray(image.convert("RGBA")) / 255
    compare(file.getvalue(), wanted[..., :3], wanted[..., 3] if mode in ("RGBA", "LA") and name != "GIF" else None)
    CASES["others"] += 1


@pytest.mark.parametrize("magic, largest", [*itertools.product((b"P2", b"P3", b"P5", b"P6"), (15, 255, 1023, 65535))])
def test_ppm(magic, largest):
    channels = 3 if magic in (b"P3", b"P6") else 1
    values = np.rint(in_unit(samples_of("f8", channels)) * largest).astype(int)
    body = " ".join(map(str, values.ravel())).encode()
    if magic in (b"P5", b"P6"):
        body = values.astype(">u2" if largest > 255 else "u1").tobytes()
    compare(magic + b"\n# made here\n%d %d\n%d\n" % (W, H, largest) + body, values / largest, atol=1 / 255)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive, subsampling", [*itertools.product((False, True), (0, 1, 2))])
def test_jpeg(mode, progressive, subsampling):
    """As libjpeg decodes it by way of imagecodecs; CMYK against the inks."""
    samples = samples_of("u1", {"L": 1, "RGB": 3, "CMYK": 4}[mode])
    file = io.BytesIO()
    Image.frombytes(mode, (W, H), samples.tobytes()).save(
        file, "JPEG", quality=98, progressive=progressive, subsampling=subsampling
    )
    if mode == "CMYK":
        inks = 1 - imagecodecs.jpeg8_decode(file.getvalue()) / 255.0  # Adobe's are inverted
        compare(file.getvalue(), (1 - inks[..., :3]) * (1 - inks[..., 3:]), atol=2 / 255)
    else:
        theirs = imagecodecs.jpeg8_decode(file.getvalue()).reshape(H, W, -1)
        compare(file.getvalue(), theirs / 255, atol=2 / 255)


@pytest.mark.parametrize("bits, channels", [*itertools.product((8, 10, 12), (1, 3, 4))])
def test_avif(bits, channels):
    """Made by imagecodecs from samples of 8, 10 or 12 bits, and decoded by it too."""
    largest = 2**bits - 1
    samples = np.rint(in_unit(samples_of("f8", channels)) * largest).astype("u1" if bits == 8 else "u2")
    data = imagecodecs.avif_encode(samples.squeeze(), bitspersample=bits, level=100, pixelformat="444")
    theirs = imagecodecs.avif_decode(data) / largest
    if channels == 1 and theirs.ndim == 3:
        theirs = theirs[..., :3]
    theirs = theirs.reshape(H, W, -1)
    alpha = theirs[..., 3] if theirs.shape[2] == 4 and channels == 4 else None
    compare(data, theirs[..., :3], alpha, atol=2.1 / 255)


@pytest.mark.parametrize("bits, channels", [*itertools.product((8, 10, 12), (1, 3, 4))])
def test_heic(bits, channels, monkeypatch):
    """Against the samples, which 4:4:4 at the best quality changes little."""
    samples = samples_of("u1" if bits == 8 else "u2", channels)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels] + ("" if bits == 8 else ";16")
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    file = io.BytesIO()
    pillow_heif.from_bytes(mode, (W, H), samples.tobytes()).save(file, quality=100, chroma=444)
    values = in_unit(samples)
    compare(
        file.getvalue(), values[..., : 1 if channels == 1 else 3], values[..., 3] if channels == 4 else None, 6 / 255
    )


@pytest.mark.parametrize("dtype, channels, codec", [*itertools.product(("u1", "u2"), (1, 3, 4), ("jp2", "j2k"))])
def test_jpeg_2000(dtype, channels, codec):
    """Pillow gives colour of 16 bits in 8."""
    samples = samples_of(dtype, channels)
    data = imagecodecs.jpeg2k_encode(samples.squeeze(), reversible=True, codecformat=codec)
    values = in_unit(samples)
    compare(data, values[..., : 1 if channels == 1 else 3], values[..., 3] if channels == 4 else None, atol=1 / 255)


@pytest.mark.parametrize("lossless, channels", [*itertools.product((False, True), (3, 4))])
def test_webp(lossless, channels):
    data = imagecodecs.webp_encode(samples_of("u1", channels), level=90, lossless=lossless)
    theirs = imagecodecs.webp_decode(data) / 255
    compare(data, theirs[..., :3], theirs[..., 3] if channels == 4 else None)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("rle", [False, True])
def test_photoshop_composite(mode, rle):
    channels = {"L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    samples = samples_of("u1", channels)
    planes = np.moveaxis(samples, -1, 0)
    header = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", channels, H, W, 8, {"L": 1, "CMYK": 4}.get(mode, 3))
    body = b"\0\0" + planes.tobytes()
    if rle:
        rows = [[bytes([W - 1]) + row.tobytes() for row in plane] for plane in planes]  # one literal run each
        counts = [len(row) for plane in rows for row in plane]
        body = b"\0\1" + struct.pack(f">{len(counts)}H", *counts) + b"".join(b"".join(plane) for plane in rows)
    data = header + bytes(12) + body
    values = in_unit(samples)
    if mode == "CMYK":  # Photoshop's inks are inverted
        compare(data, values[..., :3] * values[..., 3:])
    else:
        compare(data, values[..., : min(3, channels)], values[..., 3] if channels == 4 else None)


def test_the_matrix_is_as_large_as_it_says():
    """Counted where cases are generated in a loop; run with the whole file."""
    if not all(CASES.values()):
        pytest.skip("only a part of the matrix was run")
    assert CASES["TIFF"] > 2500 and CASES["PNG"] > 100 and CASES["others"] > 40
