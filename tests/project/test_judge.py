"""The judge without a network: its bands, its figures where they can be known, and its controls."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from support import smooth_picture

from benchmarks import __main__ as command
from benchmarks import judge, strokes
from nst_jax.pictures import images

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
NECKARFRONT, NIGHT = "paper_neckarfront_tuebingen", "paper_starry_night_vangogh_1889"
#: Of ../shared/design/quality.md: strokes, structure and colours of another judge. None: it did not tell.
TOLD = {
    "tries/unpainted": (2.19, 0.97, 0.006),
    f"crowson/{NECKARFRONT}-{NIGHT}-256": (1.08, 0.43, 0.019),
    "tries/w2": (1.10, 0.32, 0.019),
    "tries/w2-start": (1.05, 0.34, 0.019),
    "tries/w2-start-detail": (1.06, 0.59, 0.019),
    "tries/w2-start-detail-content0.004": (0.87, 0.42, 0.016),
    "tries/sqrt2-40-content0.008": (0.97, 0.62, 0.017),
    "tries/sqrt2-40-content0.002": (0.84, 0.42, 0.012),
    "tries/sqrt2-20-content0.004": (0.96, 0.65, 0.014),
}
CROWSONS = {
    ("swiss_house", "gauguin_tahiti"): (0.98, 0.51, 1.0),
    ("zebra", "delaunay_portrait_metzinger_1906"): (1.00, 0.34, 1.1),
    ("temple", "paper_shipwreck_minotaur_turner"): (0.99, 0.53, 1.0),
}


@pytest.fixture(scope="module")
def pair():
    """A photograph and a painting of the example pictures, [192, 256, 3] and [200, 256, 3]."""
    return tuple(
        images.load_image(EXAMPLES / f"{each}.jpg", longest_side=256).pixels for each in ("townhouses", "swirls")
    )


@pytest.fixture(scope="module")
def painted(pair):
    """The photograph in the painting's colours, painted by the painting's hand, with its strokes along its flow."""
    colours = judge.recoloured(*pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        swirls = importlib.import_module("swirls")
        evening = swirls._evening
        patch.setattr(swirls, "_evening", lambda sheet: (images.resize(colours, *sheet.shape), evening(sheet)[1]))
        picture = swirls.swirls(256)
    return images.resize(picture, *pair[0].shape[:2])


@pytest.fixture(scope="module")
def rows(pair, painted):
    """The rows of the table of that result, by the pictures' names."""
    return {row["picture"]: row for row in judge.judged(*pair, {"painted": painted})}


def wave(height, width, down, right):
    """A plane [1, height, width] of a cosine with so many radians a pixel."""
    return np.cos(down * np.arange(height)[:, None] + right * np.arange(width))[None].astype("f4")


# ---------------------------------------------------------------- bands


@pytest.mark.parametrize(
    ("scale", "orientation", "angle"), [(0, 0, 0.0), (1, 1, np.pi / 4), (2, 2, np.pi / 2), (1, 3, 3 * np.pi / 4)]
)
def test_a_wave_lies_in_its_band_alone_with_steady_magnitude(scale, orientation, angle):
    frequency = np.pi / 2 / 2**scale  # where that scale's filter is whole and the next one's has ended
    found = list(strokes.bands(wave(96, 130, frequency * np.sin(angle), frequency * np.cos(angle)), 3))
    assert [band.shape[1:] for band in found] == [(4, 96, 130), (4, 48, 65), (4, 24, 33)]
    inner = [np.abs(band[0, :, 6:-6, 6:-6]) for band in found]
    assert inner[scale][orientation].mean() == pytest.approx(1, abs=0.03)
    assert inner[scale][orientation].std() < 0.05  # real and imaginary part are a quarter of a period apart
    beside = [inner[scale][(orientation + turn) % 4].mean() for turn in (1, 2, 3)]
    np.testing.assert_allclose(beside, np.cos(np.pi / 4) ** 3 * np.array([1, 0, 1]), atol=0.05)
    assert max(each.mean() for other, each in enumerate(inner) if other != scale) < 0.06


def test_bands_hold_all_of_white_noise_between_their_ends():
    noise = np.random.default_rng(0).normal(size=(1, 256, 256)).astype("f4")
    energy = np.array([np.square(np.abs(band)).mean(axis=(0, 2, 3)) for band in strokes.bands(noise, 3)])
    # twice cos³ of the angle, squared, summed over the orientations: 5 in half the plane, none in the other half
    shares = [np.square(strokes._below(256, 256, 2.0**-each)).mean() for each in range(4)]
    wanted = -np.diff(shares) * 5 / 2
    np.testing.assert_allclose(energy.sum(axis=1), wanted, rtol=0.06)
    np.testing.assert_allclose(energy[0], energy[0].mean(), rtol=0.05)


def test_autocorrelation_is_the_sum_over_the_pixels_where_both_are():
    field = np.random.default_rng(0).normal(size=(2, 1, 5, 7))
    for down, right in strokes.LAGS:
        products = [
            field[:, :, row, column] * field[:, :, row + down, column + right]
            for row in range(5 - down)
            for column in range(7)
            if 0 <= column + right < 7
        ]
        np.testing.assert_allclose(strokes.autocorrelation(field, down, right), np.mean(products, axis=0))
    assert len(strokes.LAGS) == 12 and {(0, 1), (1, -2), (2, 2)} < set(strokes.LAGS)


# ---------------------------------------------------------------- figures


def test_strokes_know_nothing_of_the_palette():
    picture, painting = smooth_picture(96, 120, 0), smooth_picture(110, 100, 1)
    judged = strokes.Strokes(painting, 3)
    assert judged(0.1 + 0.4 * picture) == pytest.approx(judged(picture), rel=1e-3)
    assert judged(picture) > judged(painting)
    planes = strokes.normalised(picture)
    np.testing.assert_allclose(planes.std(axis=(1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(planes.mean(axis=(1, 2)), 0, atol=1e-5)


def test_a_painting_s_crops_are_its_floor():
    painting = smooth_picture(110, 100, 1)
    judged = strokes.Strokes(painting, 3)
    every = [judged(crop) for crop in strokes.crops(painting)]
    assert len(every) == 25 and judged.floor == pytest.approx(np.mean(every)) and 0.6 < judged.floor < 0.8
    assert {crop.shape for crop in strokes.crops(painting)} == {(66, 60, 3)}


def test_statistics_have_their_sizes_and_correlations_are_such():
    found = strokes.statistics(smooth_picture(70, 96, 0), 3)
    assert {kind: each.size for kind, each in found.items()} == {
        "energy": 3 * 3 * 4,
        "kurtosis": 3 * 3 * 4,
        "autocorrelation": 3 * 3 * 4 * 12,
        "orientations": 3 * 3 * 6,
        "planes": 3 * 3 * 4 * 4,
        "scales": 2 * 3 * 4 * 4,
        "phase": 2 * 3 * 4 * 2,
    }
    for kind in ("autocorrelation", "orientations", "planes", "scales", "phase"):
        assert np.abs(found[kind]).max() < 1.1


def test_relative_phase_tells_a_line_from_an_edge():
    columns = np.arange(128)
    line, edge = np.exp(-(((columns - 64) / 2) ** 2)), np.tanh((columns - 64) / 2)
    phases = []
    for profile in (line, edge):
        picture = np.repeat(np.repeat(profile[None, :, None], 96, 0), 3, 2).astype("f4")
        phases.append(np.array(strokes.statistics(picture, 3)["phase"]).reshape(2, 2, 3, 4)[0, :, 0, 0])
    assert phases[0][0] > 0.4 and abs(phases[0][1]) < 0.1  # in phase: real
    assert abs(phases[1][0]) < 0.1 and abs(phases[1][1]) > 0.4  # a quarter of a period off


def test_structure_is_that_of_the_photograph_whatever_the_contrast():
    photograph = smooth_picture(96, 120, 0)
    noise = np.random.default_rng(1).uniform(size=photograph.shape).astype("f4")
    assert judge.structure(photograph, photograph) == pytest.approx(1)
    assert judge.structure(0.3 + 0.6 * photograph, photograph) > 0.97
    assert judge.structure(1 - photograph, photograph) < -0.9
    assert abs(judge.structure(noise, photograph)) < 0.05
    mixed = [judge.structure((1 - share) * photograph + share * noise, photograph) for share in (0, 0.2, 0.5, 0.8)]
    assert mixed == sorted(mixed, reverse=True)
    plain = np.full_like(photograph, 0.4)
    assert judge.structure(plain, plain) == pytest.approx(1) and judge.structure(noise, plain) < 0.2


def test_a_blur_is_scipy_s():
    ndimage = pytest.importorskip("scipy.ndimage")
    field = np.random.default_rng(0).normal(size=(2, 40, 31))
    for each, wanted in zip(judge.blurred(field, 3), field, strict=True):
        np.testing.assert_allclose(each, ndimage.gaussian_filter(wanted, 3, mode="reflect", truncate=6), atol=1e-3)


def test_colours_are_apart_by_what_they_were_moved():
    picture = smooth_picture(60, 70, 0)
    assert judge.colours(picture, picture[::-1, ::-1]) < 1e-6  # where they lie does not count
    assert judge.colours(picture, np.repeat(picture, 3, axis=0)) < 2e-3  # nor how many there are
    for move in ([0.1, 0, 0], [0, 0.1, 0], [-0.1, 0.1, 0.1]):
        far = judge.colours(picture + np.float32(move), picture)
        assert far == pytest.approx(np.linalg.norm(move) / 3**0.5, rel=0.05)  # the mean of squared cosines is 1/3
    turned = picture[..., [2, 0, 1]]
    assert judge.colours(turned, picture) == pytest.approx(judge.colours(picture, turned))
    assert judge.colours(turned, picture) > 0.01


# ---------------------------------------------------------------- controls


def test_the_controls_fall_where_the_eye_puts_them(rows):
    unpainted = [rows[name] for name in ("in the painting's colours", "that, blurred", "noise in its colours")]
    own = [rows[name]["strokes"] for name in ("the painting", "a crop of the painting", "the painting's crops, mean")]
    worse = [rows["photograph"]["strokes"], *(row["strokes"] for row in unpainted)]
    assert max(own) < 0.8 * rows["painted"]["strokes"] and 1.1 * rows["painted"]["strokes"] < min(worse)
    palette, blurred, noise = unpainted
    assert palette["colours"] < 0.005 < rows["painted"]["colours"] < blurred["colours"] < rows["photograph"]["colours"]
    assert rows["photograph"]["structure"] == pytest.approx(1) and palette["structure"] > 0.9
    assert blurred["strokes"] > 2 * rows["painted"]["strokes"] < noise["strokes"] and abs(noise["structure"]) < 0.1
    assert noise["structure"] < rows["painted"]["structure"] < palette["structure"]
    assert blurred["chroma_grain"] < 0.1 and noise["chroma_grain"] > 3 and rows["the painting"]["chroma_grain"] == 1
    for name in ("the painting", "a crop of the painting"):
        assert rows[name]["structure"] is None  # of another shape


def test_recoloured_keeps_the_picture_and_takes_the_palette():
    photograph, painting = smooth_picture(80, 96, 0), smooth_picture(90, 70, 1) ** 2
    palette = judge.recoloured(photograph, painting)
    assert palette.shape == photograph.shape and palette.dtype == np.float32
    assert judge.colours(palette, painting) < 0.005 < 0.1 < judge.colours(photograph, painting)
    assert judge.structure(palette, photograph) > 0.6
    np.testing.assert_array_equal(palette, judge.recoloured(photograph, painting))


@pytest.mark.parametrize(("size", "other"), [((96, 54), (64, 96)), ((54, 96), (60, 40)), ((97, 101), (90, 96))])
def test_small_pictures_of_any_shape(size, other):
    photograph, painting = smooth_picture(*size, 0), smooth_picture(*other, 1)
    rows = judge.judged(photograph, painting, {"it": photograph[::-1]})
    assert all(np.isfinite(value) for row in rows for value in row.values() if isinstance(value, float))
    assert {"picture": "it", **judge.Judge(photograph, painting)(photograph[::-1])} == rows[0]  # the same each time


@pytest.mark.parametrize("name", ["grey", "plain"])
def test_paintings_without_colour_or_anything(name):
    photograph, painting = smooth_picture(96, 100, 0), smooth_picture(96, 100, 1)
    painting = np.repeat(painting[..., :1], 3, axis=-1) if name == "grey" else np.full_like(painting, 0.5)
    measured = judge.Judge(photograph, painting)
    assert all(np.isfinite(value) for value in measured(photograph).values())
    assert measured(painting)["strokes"] < measured(photograph)["strokes"]


# ---------------------------------------------------------------- the command


def test_the_command_prints_a_table_for_each_size(tmp_path, pair, capsys):
    for size in (96, 112):
        images.save_image(tmp_path / f"{size}.png", images.resize(pair[0], size * 3 // 4, size))
    paths = [EXAMPLES / "townhouses.jpg", EXAMPLES / "swirls.jpg", tmp_path / "96.png", tmp_path / "112.png"]
    command.main(["judge", "--pair", *map(str, paths), "--output", str(tmp_path / "told.json")])
    told = json.loads((tmp_path / "told.json").read_text())["rows"]
    assert [row["size"] for row in told] == ["96 x 72"] * 8 + ["112 x 84"] * 8
    assert told[0]["picture"] == str(paths[2]) and told[0]["structure"] > 0.99 and told[0]["style"] == "swirls"
    printed = capsys.readouterr().out
    assert printed.count("townhouses x swirls") == 2 and printed.count("the painting's crops, mean") == 2
    assert "chroma_grain" in printed and "\n96.png  " in printed


def test_the_command_without_results_shows_the_controls(capsys):
    paths = [str(EXAMPLES / "townhouses.jpg"), str(EXAMPLES / "swirls.jpg")]
    command.main(["judge", "--pair", *paths, "--size", "96"])
    assert "noise in its colours" in capsys.readouterr().out


def test_the_command_refuses_what_it_cannot_judge(tmp_path):
    images.save_image(tmp_path / "tall.png", smooth_picture(120, 96, 0))
    paths = [str(EXAMPLES / "townhouses.jpg"), str(EXAMPLES / "swirls.jpg")]
    with pytest.raises(SystemExit, match="96 x 120 pixels has not the proportions"):
        command.main(["judge", "--pair", *paths, str(tmp_path / "tall.png")])
    with pytest.raises(SystemExit, match="takes a photograph, a painting"):
        command.main(["judge", "--pair", paths[0]])


# ---------------------------------------------------------------- what it was calibrated on


def told_pair(shared, content, style):
    """The judge for that pair of the shared pictures at 256 px."""
    paths = shared / "images" / "content" / f"{content}.jpg", shared / "images" / "style" / f"{style}.jpg"
    return judge.Judge(*(images.load_image(path, longest_side=256).pixels for path in paths))


def test_it_agrees_with_what_was_told_of_one_pair(shared):
    measured = told_pair(shared, NECKARFRONT, NIGHT)
    rows = [measured(images.load_image(shared / "peers" / f"{name}.png").pixels) for name in TOLD]
    for column, (measure, least, near) in enumerate((("strokes", 0.05, 0.15), ("structure", 0.05, 0.12))):
        pairs = [(row[measure], told[column]) for row, told in zip(rows, TOLD.values(), strict=True)]
        for ours, wanted in pairs:
            assert ours == pytest.approx(wanted, abs=near)
            assert all(ours < other for other, more in pairs if more > wanted + least + 1e-9)
    np.testing.assert_allclose([row["colours"] for row in rows], [told[2] for told in TOLD.values()], atol=0.004)


@pytest.mark.parametrize(("content", "style"), CROWSONS)
def test_it_agrees_with_what_was_told_of_other_pairs(shared, content, style):
    picture = images.load_image(shared / "peers" / "crowson" / f"{content}-{style}-256.png").pixels
    row = told_pair(shared, content, style)(picture)
    figures = [row["strokes"], row["structure"], row["chroma_grain"]]
    np.testing.assert_allclose(figures, CROWSONS[content, style], atol=0.1)
