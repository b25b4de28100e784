"""Colours kept: statistics against independent computations, pictures that break roots, whole runs and sweeps."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg
from support import compiled_by, random_filters, simple_config, smooth_picture

from nst_jax.cli import stylize as command
from nst_jax.cli import sweep as sweep_command
from nst_jax.errors import NSTError
from nst_jax.pictures import colors, images
from nst_jax.pictures.images import Picture
from nst_jax.runs import inputs, report
from nst_jax.runs.progress import Stop
from nst_jax.runs.result import notes_of
from nst_jax.runs.start import start_image, start_picture
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps import folder, grid
from nst_jax.sweeps.lanes import prepare_lanes

METHODS = ("luminance", "cholesky", "pca", "histogram")
LUMA = np.array([0.299, 0.587, 0.114])


def coloured(seed, height=40, width=50):
    """A picture whose channels are correlated, of small deviation, so that matching it stays within [0, 1]."""
    mix = np.random.default_rng(seed).normal(size=(3, 3)) * 0.12
    return (smooth_picture(height, width, seed) - 0.5) @ mix + np.random.default_rng(seed + 9).uniform(0.4, 0.6, 3)


def statistics(pixels, where=slice(None)):
    flat = pixels.reshape(-1, 3)[where]
    return flat.mean(0), np.cov(flat.T, bias=True)


SOURCE, TARGET = coloured(0), coloured(1, 30, 70)


# ---------------------------------------------------------------- statistics


@pytest.mark.parametrize("method", ["cholesky", "pca"])
def test_mean_and_covariance_are_the_targets(method):
    matched = colors.match(SOURCE, TARGET, method)
    assert 0 < matched.min() < matched.max() < 1  # so they are after clipping
    assert np.abs(statistics(SOURCE)[1] - statistics(TARGET)[1]).max() > 1e-3
    for ours, theirs in zip(statistics(matched), statistics(TARGET), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_the_maps_are_the_papers():
    (_, source), (_, target) = statistics(SOURCE), statistics(TARGET)

    def linear(method):
        change = np.linalg.lstsq(
            (SOURCE - SOURCE.mean((0, 1))).reshape(-1, 3),
            (colors.match(SOURCE, TARGET, method) - TARGET.mean((0, 1))).reshape(-1, 3),
        )
        return change[0].T

    expected = scipy.linalg.sqrtm(target) @ np.linalg.inv(scipy.linalg.sqrtm(source))
    np.testing.assert_allclose(linear("pca"), expected, atol=1e-8)
    lower = [np.linalg.cholesky(colors.YIQ @ each @ colors.YIQ.T) for each in (target, source)]
    in_yiq = colors.YIQ @ linear("cholesky") @ np.linalg.inv(colors.YIQ)
    np.testing.assert_allclose(in_yiq, lower[0] @ np.linalg.inv(lower[1]), atol=1e-8)
    np.testing.assert_allclose(in_yiq[0, 1:], 0, atol=1e-9)  # light and dark come from light and dark alone


def test_luminance_has_the_targets_mean_and_deviation_and_no_colour():
    matched = colors.match(SOURCE, TARGET, "luminance")
    np.testing.assert_array_equal(matched, np.repeat(matched[..., :1], 3, -1))
    np.testing.assert_allclose(matched[..., 0].mean(), (TARGET @ LUMA).mean(), rtol=1e-6)
    np.testing.assert_allclose(matched[..., 0].std(), (TARGET @ LUMA).std(), rtol=1e-6)
    assert np.corrcoef(matched[..., 0].ravel(), (SOURCE @ LUMA).ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("source", [SOURCE, coloured(0, 30, 70)], ids=["another size", "the same size"])
def test_the_histogram_is_the_targets(source):
    """Quantiles of R, G and B to 1e-3, and nothing beyond the target's range."""
    matched = colors.match(source, TARGET, "histogram")
    shares = np.linspace(0, 1, 101)
    for channel in range(3):
        ours, theirs = (np.quantile(each[..., channel], shares) for each in (matched, TARGET))
        np.testing.assert_allclose(ours[1:-1], theirs[1:-1], atol=1e-3)
        assert TARGET[..., channel].min() <= matched[..., channel].min() <= matched[..., channel].max()
        assert matched[..., channel].max() <= TARGET[..., channel].max()
    if source.shape == TARGET.shape:
        np.testing.assert_allclose(np.sort(matched, None), np.sort(TARGET, None), atol=1e-12)
    np.testing.assert_allclose(statistics(matched)[0], statistics(TARGET)[0], atol=1e-3)
    np.testing.assert_allclose(statistics(matched)[1], statistics(TARGET)[1], atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_matched_with_itself_stays(method):
    expected = colors.grey(SOURCE) if method == "luminance" else SOURCE
    np.testing.assert_allclose(colors.match(SOURCE, SOURCE, method), expected, atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_alpha_hides_does_not_count(method):
    hidden, half = np.ones((40, 50)), np.ones((30, 70))
    hidden[:, :10], half[:, 50:] = 0, 0
    spoilt, spoilt_target = SOURCE.copy(), TARGET.copy()
    spoilt[:, :10], spoilt_target[:, 50:, 0], spoilt_target[:, 50:, 1:] = [1, 0, 1], 1, 0
    matched = colors.match(spoilt, spoilt_target, method, hidden, half)
    expected = colors.match(SOURCE[:, 10:], TARGET[:, :50], method)
    np.testing.assert_allclose(matched[:, 10:], expected, atol=1e-5)
    assert np.abs(matched[:, 10:] - colors.match(spoilt, spoilt_target, method)[:, 10:]).max() > 0.01


def test_half_hidden_pixels_count_half():
    """As if all others were there twice."""
    alpha = np.ones((40, 50))
    alpha[:20] = 0.5
    twice = np.concatenate([SOURCE, SOURCE[20:]])
    for method in METHODS:
        matched = colors.match(SOURCE, SOURCE, method, target_weights=alpha)
        np.testing.assert_allclose(matched, colors.match(SOURCE, twice, method), atol=2e-4)


# ---------------------------------------------------------------- grey and flat pictures

GREY, GREY_TARGET = colors.grey(SOURCE), colors.grey(TARGET)
ONE, OTHER_ONE = np.full((40, 50, 3), [0.2, 0.5, 0.3]), np.full((30, 70, 3), [0.7, 0.1, 0.4])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [TARGET, GREY_TARGET, OTHER_ONE], ids=["colours", "grey", "one colour"])
@pytest.mark.parametrize("source", [SOURCE, GREY, ONE], ids=["colours", "grey", "one colour"])
def test_pictures_without_colours_break_nothing(source, target, method):
    matched = colors.match(source, target, method)
    assert np.isfinite(matched).all()
    middle = np.median(target, (0, 1)) if method == "histogram" else target.mean((0, 1))
    middle = np.repeat(middle @ LUMA, 3) if method == "luminance" else middle
    if source is ONE or target is OTHER_ONE:
        np.testing.assert_allclose(matched, np.broadcast_to(middle, matched.shape), atol=1e-5)
    elif method == "histogram":
        np.testing.assert_allclose(np.median(matched, (0, 1)), middle, atol=1e-3)
    else:
        np.testing.assert_allclose(matched.mean((0, 1)), middle, atol=1e-9)
    if target is GREY_TARGET:
        np.testing.assert_allclose(matched, colors.grey(matched), atol=2e-6)
    if source is GREY and target is TARGET and method == "cholesky":
        assert (matched @ LUMA).std() == pytest.approx((TARGET @ LUMA).std(), rel=1e-6)


@pytest.mark.parametrize("method", METHODS[:3])
def test_grain_is_not_made_into_colours(method):
    """What varies by less than a step of 8 bits gets no more than the gain for ``FLAT``."""
    grain = np.random.default_rng(0).normal(0, 1e-4, ONE.shape)
    matched = colors.match(ONE + grain, TARGET, method)
    deviation = np.sqrt(np.linalg.eigvalsh(statistics(matched)[1])[-1])
    assert deviation < 1.1 * 1e-4 * np.sqrt(np.linalg.eigvalsh(statistics(TARGET)[1])[-1] / colors.FLAT)


# ---------------------------------------------------------------- luminance and chroma


def test_luminance_is_the_images_and_chroma_the_contents():
    content, image = smooth_picture(20, 30, 0), smooth_picture(20, 30, 1)
    both = colors.with_chroma(image, content)
    assert both.dtype == np.float32
    assert 0 <= both.min() <= both.max() <= 1
    np.testing.assert_allclose(both @ LUMA, image @ LUMA, atol=1e-6)
    ours, theirs = ((each @ colors.YIQ.T)[..., 1:] for each in (both, content))
    share = np.sum(ours * theirs, -1) / np.sum(theirs**2, -1)
    assert 0 <= share.min() <= share.max() < 1 + 1e-5
    assert np.mean(share > 1 - 1e-4) > 0.3  # most fit as they are
    np.testing.assert_allclose(ours, share[..., None] * theirs, atol=1e-5)  # of the same hue
    reduced = both[share < 0.999]
    np.testing.assert_allclose(np.minimum(reduced.min(-1), 1 - reduced.max(-1)), 0, atol=1e-6)  # no more than needed


def test_the_content_with_its_own_chroma_is_the_content():
    content = smooth_picture(20, 30, 0)
    np.testing.assert_allclose(colors.with_chroma(content, content), content, atol=1e-6)
    np.testing.assert_allclose(colors.with_chroma(colors.grey(content), content), content, atol=1e-6)


def test_black_and_white_have_no_chroma_and_lanes_share_one():
    content = smooth_picture(20, 30, 0)
    content[:3] = 1
    for value in (0, 1):
        image = np.full_like(content, value)
        np.testing.assert_allclose(colors.with_chroma(image, content), image, atol=1e-6)
    lanes = np.stack([smooth_picture(20, 30, seed) for seed in (1, 2)])
    for lane, both in zip(lanes, colors.with_chroma(lanes, content), strict=True):
        np.testing.assert_array_equal(both, colors.with_chroma(lane, content))


# ---------------------------------------------------------------- runs

CONTENT, STYLE = smooth_picture(34, 48, 0), smooth_picture(52, 40, 1)
PLAIN = {"padding": "zeros", "style_octaves": 1}  # what the reference computes
CONFIG = simple_config(
    **PLAIN, network="vgg19", size=48, style_size=52, steps=3, scales=1, history=3, style_weight=5.0, tv_weight=10.0
)


@pytest.fixture
def palette(tmp_path):
    """A picture's file."""
    path = tmp_path / "palette.png"
    images.save_image(path, coloured(5))
    return path


def run(content=CONTENT, style=STYLE, **changes):
    on_progress = changes.pop("on_progress", lambda progress: None)
    config = dataclasses.replace(CONFIG, **changes)
    return stylize(content, style, config, weights=random_filters("vgg19"), on_progress=on_progress)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS[1:])
def test_a_run_takes_paintings_of_the_photographs_colours(narrow_vgg, method):
    """Each of them, and nothing is compiled for it."""
    other = smooth_picture(52, 40, 2)
    pair = [np.clip(colors.match(each, CONTENT, method), 0, 1) for each in (STYLE, other)]
    expected = run(style=pair)
    made = []
    assert compiled_by(lambda: made.append(run(style=[STYLE, other], keep_colors=method))) == 0
    (result,) = made
    np.testing.assert_array_equal(result.image, expected.image)
    assert result.losses == expected.losses
    assert np.abs(result.image - run(style=[STYLE, other]).image).max() > 0.01


@pytest.mark.slow
def test_luminance_is_painted_in_grey_and_given_out_in_colours(narrow_vgg):
    """Also where the run stops, and in every picture on the way, at each scale."""
    shallow = {  # fmt: skip
        "content_layers": ("conv2_1",),
        "style_layers": ("conv1_1", "conv3_1"),
        "scales": 2,
        "coarse_steps": (2,),
    }
    seen = []

    def on_progress(progress):
        seen.append(progress.image())
        if progress.step == 4:
            raise Stop

    result = run(keep_colors="luminance", on_progress=on_progress, **shallow)
    grey_style = np.clip(colors.match(STYLE, CONTENT, "luminance"), 0, 1).astype("f4")
    alone = run(content=colors.grey(CONTENT), style=grey_style, **{**shallow, "steps": 2})
    # Not the same bits: reducing clips, and grey made grey again is rounded again.
    np.testing.assert_allclose(result.image, colors.with_chroma(alone.image, CONTENT), atol=0.01)
    assert result.losses == pytest.approx(alone.losses, rel=0.01)
    assert (result.ended, result.image.shape) == ("stopped", CONTENT.shape)
    np.testing.assert_array_equal(seen[-1], result.image)
    assert [len(image) for image in seen] == [17, 17, 34, 34]
    for image in seen:
        content = images.resize(CONTENT, *image.shape[:2])
        np.testing.assert_allclose(image, colors.with_chroma(image, content), atol=1e-5)


@pytest.mark.parametrize("init", ["content", "style", "noise", "file"])
def test_luminance_starts_from_a_grey_picture(palette, init):
    options = {"keep_colors": "luminance", "init": str(palette) if init == "file" else init}
    config = dataclasses.replace(CONFIG, **options).for_network("vgg19")
    photograph, paintings = inputs.load_pictures(CONTENT, STYLE, config)
    paintings = inputs.recolored(paintings, photograph, None, config)
    file = start_picture(config)
    start = start_image(inputs.Pictures(photograph, paintings, file), (34, 48), config)
    np.testing.assert_allclose(start, colors.grey(start), atol=1e-6)
    assert start.std() > 0.01
    plain = dataclasses.replace(config, keep_colors="none")
    coloured = inputs.Pictures(photograph, [Picture(STYLE, None, palette, "", (40, 52))], file)
    coloured_start = start_image(coloured, (34, 48), plain)
    assert np.abs(coloured_start - colors.grey(coloured_start)).max() > 0.01


@pytest.mark.slow
def test_a_palette_alone_means_pca_and_is_an_input(narrow_vgg, palette, tmp_path):
    result = run(palette=palette)
    assert result.config.keep_colors == "pca"
    pixels = images.load_image(palette).pixels
    expected = run(style=np.clip(colors.match(STYLE, images.resize(pixels, 38, 48), "pca"), 0, 1))
    np.testing.assert_allclose(result.image, expected.image, atol=0.02)
    assert np.abs(result.image - run(keep_colors="pca").image).max() > 0.05
    report.save(tmp_path / "out.png", result)
    for told in (result.inputs, report.report(result)["inputs"]):
        assert [entry["role"] for entry in told] == ["content", "style", "palette"]
        assert (told[2]["path"], told[2]["size"], len(told[2]["sha256"])) == (str(palette), [50, 40], 64)
    assert report.report(result)["config"]["palette"] == str(palette)
    assert "palette" in images.read_metadata(tmp_path / "out.png")["nst_jax"]


def test_notes_of_the_palette_are_told(palette):
    picture = dataclasses.replace(images.load_image(palette), notes=("an odd profile",))
    assert notes_of(inputs.Pictures(None, [], palette=picture)) == [f"{palette}: an odd profile"]


@pytest.mark.slow
def test_a_texture_in_the_colours_of_a_palette(narrow_vgg, palette):
    result = run(content=None, content_layers=(), init="style", palette=palette, keep_colors="histogram", steps=0)
    pixels = images.load_image(palette).pixels
    np.testing.assert_allclose(result.image.mean((0, 1)), pixels.mean((0, 1)), atol=0.01)


def test_alpha_of_painting_and_photograph(narrow_vgg):
    """Hidden colours of either change nothing in what is asked of the painting."""

    def picture(pixels, colour):
        alpha = np.ones(pixels.shape[:2], "f4")
        alpha[:12] = 0
        hidden = np.where(alpha[..., None] > 0, pixels, np.array(colour, "f4"))
        return Picture(hidden, alpha, images.Path("cut out"), "", pixels.shape[1::-1])

    config = dataclasses.replace(CONFIG, keep_colors="cholesky").for_network("vgg19")
    first, second = (
        inputs.recolored([picture(STYLE, colour)], picture(CONTENT, colour), None, config)[0].pixels[12:]
        for colour in ([1, 0, 0], [0, 0.5, 1])
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"content": None, "content_layers": (), "init": "noise", "keep_colors": "pca"}, "give one or a --palette$"),
        ({"content": None, "content_layers": (), "init": "noise", "keep_colors": "luminance"}, "picture: give one$"),
        ({"style": [], "style_layers": (), "keep_colors": "pca"}, "changes the style pictures, and there are none"),
        ({"palette": images.Path("no such.png")}, "no such.png does not exist"),
    ],
)
def test_colours_that_cannot_be_kept(narrow_vgg, options, message):
    with pytest.raises(NSTError, match=message) as caught:
        run(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_reconstruction_keeps_its_colours_by_luminance(narrow_vgg):
    result = run(style=[], style_layers=(), keep_colors="luminance")
    np.testing.assert_allclose(result.image, colors.with_chroma(result.image, CONTENT), atol=1e-5)


# ---------------------------------------------------------------- sweeps and commands


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"keep_colors": "luminance"}, {"keep_colors": "histogram"}, {"palette": True}])
def test_lanes_keep_their_colours(tiny, palette, changes):
    changes = {key: palette if value is True else value for key, value in changes.items()}
    config = simple_config(
        network=tiny, size=24, steps=6, scales=1, optimizer="adam", style_weight=5.0, tv_weight=0.0,
        content_layers=("conv2_1",), style_layers=("conv1_1", "pool2"), **changes,
    )  # fmt: skip
    content, styles, filters = smooth_picture(20, 24, 0), [STYLE, smooth_picture(22, 24, 2)], random_filters(tiny)
    prepared = prepare_lanes(content, styles, grid.grid(config, ["a", "b"], ratios=[0.1, 1]).lanes, weights=filters)
    seen = []
    [batch] = prepared.run(range(4), prepared.plan(4), lambda progress: seen.append(progress.image()))
    for index, result in batch:
        lane = prepared.lanes[index]
        alone = stylize(content, styles[lane.style], lane.config, weights=filters)
        np.testing.assert_allclose(result.image, alone.image, atol=2e-3)
        assert result.inputs == alone.inputs
        np.testing.assert_array_equal(seen[-1][index], result.image)
    assert len({result.image.tobytes() for _, result in batch}) == 4


@pytest.mark.slow
def test_a_sweep_goes_on_with_the_same_palette_alone(tmp_path, palette, pictures, weights_file, capsys):
    words = [
        "--content", str(pictures[0]), "--style", str(pictures[1]), "--output", str(tmp_path / "sweep"),
        "--weights", str(weights_file), "--network", "vgg19", "--size", "48", "--style-size", "52", "--steps", "1",
        "--scales", "1", "--history", "3", "--ratios", "0.1", "1", "--palette", str(palette),
    ]  # fmt: skip
    assert sweep_command.main(words) == 0
    told = folder._read(tmp_path / "sweep" / "lane-000.json")
    assert told["config"]["keep_colors"] == "pca"
    assert [entry["role"] for entry in told["inputs"]] == ["content", "style", "palette"]
    moved = palette.rename(tmp_path / "moved.png")
    words[-1] = str(moved)
    assert sweep_command.main([*words, "--resume"]) == 0
    images.save_image(moved, coloured(6))
    capsys.readouterr()
    assert sweep_command.main([*words, "--resume"]) == 2
    assert "holds a sweep of other settings: the palette is another" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_keeps_colours(tmp_path, palette, pictures, weights_file, capsys):
    words = [
        "--content", str(pictures[0]), "--style", str(pictures[1]), "--output", str(tmp_path / "out.png"),
        "--weights", str(weights_file), "--network", "vgg19", "--size", "48", "--style-size", "52", "--steps", "3",
        "--scales", "1", "--history", "3",
    ]  # fmt: skip
    content = images.load_image(pictures[0]).pixels
    assert command.main([*words, "--keep-colors", "luminance", "--save-every", "2"]) == 0
    for name in ("out.png", "out-000002.png"):
        written = images.load_image(tmp_path / name).pixels
        np.testing.assert_allclose(written, colors.with_chroma(written, content), atol=2.5 / 255)
    assert command.main([*words, "--palette", str(palette)]) == 0
    capsys.readouterr()
    words[words.index("--output") + 1] = str(palette)
    assert command.main([*words, "--palette", str(palette)]) == 2
    assert f"--output is {palette}, an input of this run" in capsys.readouterr().err
