"""``stylize`` from pictures to picture, on a narrow VGG-19 with random filters; the real one is in test_real.py."""

import dataclasses

import numpy as np
import pytest
import reference
from support import compiled_by, random_filters, simple_config, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.optim import minimise
from nst_jax.options.presets import preset
from nst_jax.pictures import images
from nst_jax.pictures.images import Picture
from nst_jax.runs import inputs, pyramid, report, scales, start
from nst_jax.runs.machine import here
from nst_jax.runs.progress import Stop
from nst_jax.runs.stylize import stylize

pytestmark = pytest.mark.usefixtures("narrow_vgg")

CONTENT, STYLE = smooth_picture(34, 48, 0), smooth_picture(52, 40, 1)
#: As few shapes as possible occur in these tests: each costs seconds to compile.
PLAIN = {"padding": "zeros", "style_octaves": 1}  # what the reference computes
CONFIG = simple_config(
    **PLAIN, network="vgg19", size=48, style_size=52, steps=4, scales=1, history=3, style_weight=5.0, tv_weight=10.0
)


def run(content=CONTENT, style=STYLE, config=CONFIG, seed=0, **options):
    return stylize(content, style, config, weights=random_filters("vgg19", seed), **options)


def same(first, second):
    """Whether two float images are equal bit for bit."""
    return first.shape == second.shape and first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam"},
        {"loss": "gatys2015", "content_weight": 1e-3, "tv_weight": 0.5, "init": "noise"},
        {"loss": "gatys2016", "pooling": "max", "tv_weight": 2.0, "content_layers": ("conv3_1:2", "conv4_2:0.5")},
    ],
    ids=["default", "adam", "gatys2015", "gatys2016"],
)
def test_the_losses_told_are_those_of_the_picture(tmp_path, changes):
    """To 1e-4 from the result, and to 1 % from the file that is written, computed apart from the project."""
    config = dataclasses.replace(CONFIG, **changes)
    result = run(config=config)
    weights = random_filters("vgg19")
    expected = reference.loss_terms(weights, config, result.image, CONTENT, [STYLE])
    assert result.losses == {name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}
    assert expected["total"] > 0
    report.save(tmp_path / "out.png", result)
    written = images.load_image(tmp_path / "out.png").pixels
    from_file = reference.loss_terms(weights, config, written, CONTENT, [STYLE])
    assert result.losses["total"] == pytest.approx(from_file["total"], rel=0.01)


def test_the_loss_falls_and_the_trace_has_every_evaluation():
    result = run(config=dataclasses.replace(CONFIG, steps=12))
    totals = [row["total"] for row in result.trace]
    assert [row["step"] for row in result.trace] == list(range(1, 13))
    assert min(totals) < 0.5 * totals[0]
    assert {row["size"] for row in result.trace} == {48}
    seconds = [row["seconds"] for row in result.trace]
    assert seconds == sorted(seconds)
    assert (result.steps, result.evaluations, result.ended) == (12, 13, "")
    first = reference.loss_terms(random_filters("vgg19"), CONFIG, CONTENT, CONTENT, [STYLE])
    assert totals[0] == pytest.approx(first["total"], rel=1e-4)  # the first evaluation is at the start


@pytest.mark.parametrize("changes", [{"init": "noise", "seed": 7}, {"optimizer": "adam"}], ids=["noise", "adam"])
def test_the_same_seed_gives_the_same_picture(changes):
    config = dataclasses.replace(CONFIG, **changes)
    assert same(run(config=config).image, run(config=config).image)


def test_another_seed_gives_another_picture_from_noise():
    first, second = (run(config=dataclasses.replace(CONFIG, init="noise", seed=seed)).image for seed in (0, 1))
    assert np.abs(first - second).max() > 0.01


def test_another_picture_or_ratio_compiles_nothing():
    run()
    weights = {"style_weight": 77.0, "content_weight": 0.3, "tv_weight": 1.0, "tv_chroma": 2.0, "steps": 7}
    for options in (
        {"content": smooth_picture(34, 48, 8), "style": smooth_picture(52, 40, 9)},
        {"config": dataclasses.replace(CONFIG, **weights)},
        {"config": dataclasses.replace(CONFIG, style_layers=tuple(f"{tap}:3" for tap in CONFIG.style_layers))},
        {"seed": 3},  # another network of the same shape
        {"config": dataclasses.replace(CONFIG, init="noise", seed=3)},
    ):
        assert compiled_by(lambda options=options: run(**options)) == 0


@pytest.mark.parametrize(("shape", "expected"), [((34, 48), (34, 48)), ((24, 17), (48, 34)), ((136, 192), (34, 48))])
def test_the_result_has_the_size_and_the_contents_aspect(shape, expected):
    result = run(content=smooth_picture(*shape, 0), config=dataclasses.replace(CONFIG, steps=1))
    assert result.image.shape == (*expected, 3)
    assert result.image.dtype == np.float32
    assert 0 <= result.image.min() <= result.image.max() <= 1


def test_styles_are_reduced_but_never_enlarged():
    _, [painting] = inputs.load_pictures(CONTENT, smooth_picture(20, 26, 0), CONFIG)
    assert painting.pixels.shape == (20, 26, 3)
    _, [painting] = inputs.load_pictures(CONTENT, smooth_picture(104, 80, 0), CONFIG)
    assert painting.pixels.shape == (52, 40, 3)
    _, [painting] = inputs.load_pictures(CONTENT, STYLE, dataclasses.replace(CONFIG, style_size=0))
    assert painting.pixels.shape == (48, 37, 3)  # the result's size


@pytest.mark.slow
def test_alpha_is_kept_and_resized(tmp_path):
    alpha = np.zeros((68, 96), "f4")
    alpha[:, 30:] = 1
    path = tmp_path / "cut-out.png"
    images.save_image(path, smooth_picture(68, 96, 0), alpha)
    result = run(content=path, config=dataclasses.replace(CONFIG, steps=1))
    assert result.alpha.shape == (34, 48)
    np.testing.assert_allclose(result.alpha[:, :12], 0, atol=0.01)
    np.testing.assert_allclose(result.alpha[:, 18:], 1, atol=0.01)
    picture = Picture(smooth_picture(68, 96, 0), alpha, path, "", (96, 68))
    given = run(content=picture, config=dataclasses.replace(CONFIG, steps=1))
    np.testing.assert_allclose(given.alpha, result.alpha, atol=0.01)
    assert run(config=dataclasses.replace(CONFIG, steps=1)).alpha is None


def test_differences_of_colour_count_more_in_the_total_variation_and_there_are_fewer():
    def grain(image):
        chroma = image - image.mean(-1, keepdims=True)
        return np.abs(np.diff(chroma, axis=0)).mean(), np.abs(np.diff(image.mean(-1), axis=0)).mean()

    config = dataclasses.replace(CONFIG, steps=40, tv_weight=20.0)
    (color, light), (less, as_light) = (
        grain(run(config=dataclasses.replace(config, tv_chroma=factor)).image) for factor in (1.0, 6.0)
    )
    assert less < 0.5 * color and as_light > 0.8 * light


def test_no_steps_give_the_start(tmp_path):
    config = dataclasses.replace(CONFIG, steps=0)
    np.testing.assert_array_equal(run(config=config).image, CONTENT)
    noise = run(config=dataclasses.replace(config, init="noise", seed=3)).image
    assert 0.45 < noise.mean() < 0.55
    assert noise.std() == pytest.approx(12**-0.5, rel=0.05)
    painting = run(config=dataclasses.replace(config, init="style"))
    assert painting.image.shape == CONTENT.shape
    assert np.abs(painting.image.mean((0, 1)) - STYLE.mean((0, 1))).max() < 0.1
    path = tmp_path / "start.png"
    images.save_image(path, smooth_picture(34, 48, 5))
    given = run(config=dataclasses.replace(config, init=str(path)))
    np.testing.assert_allclose(given.image, smooth_picture(34, 48, 5), atol=0.6 / 255)
    assert given.evaluations == 1
    assert given.trace == []


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_bounded_pixels_stay_in_the_range(optimizer):
    """Before they are clipped: by Adam all, by L-BFGS all but a few, which are hardly beyond."""
    config = dataclasses.replace(CONFIG, optimizer=optimizer, steps=60, learning_rate=0.05, init="noise", tv_weight=0.0)
    beyond, results = {}, {}
    for kind in ("free", "bounded"):
        raw = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                pyramid, "clipped", lambda x, *_, raw=raw: raw.append(np.asarray(x)) or np.clip(raw[-1], 0, 1)
            )
            results[kind] = run(config=dataclasses.replace(config, pixel_range=kind))
        beyond[kind] = np.abs(raw[-1] - np.clip(raw[-1], 0, 1))
    assert (beyond["free"] > 1 / 255).mean() > 0.02
    assert (beyond["bounded"] > 1 / 255).mean() < 0.005 if optimizer == "lbfgs" else not beyond["bounded"].any()
    assert beyond["bounded"].max() < 0.05
    assert results["bounded"].losses["total"] < results["free"].losses["total"]  # clipping costs the free one more
    terms = {"content", "style", "tv", "total"}
    assert set(results["free"].trace[0]) - {"step", "seconds", "size"} == terms
    if optimizer == "lbfgs":
        terms = terms | {"range"}
        assert results["bounded"].losses["range"] == 0  # of the picture, which is clipped
        assert max(row["range"] for row in results["bounded"].trace) > 0
    assert set(results["bounded"].losses) == terms


def test_no_start_image():
    with pytest.raises(
        NSTError, match="no start image 'contents': give content, palette, style, noise, gray or a picture's file"
    ):
        run(config=dataclasses.replace(CONFIG, init="contents"))


def test_a_start_is_cut_about_its_middle_without_stretching():
    pixels = np.zeros((10, 30, 3), "f4")
    pixels[:, 10:20] = 1
    np.testing.assert_array_equal(start.cover(pixels, 10, 10), np.ones((10, 10, 3)))
    assert start.cover(pixels, 7, 5).shape == (7, 5, 3)
    assert start.cover(pixels, 21, 60).shape == (21, 60, 3)


def test_several_styles_differ_from_each_alone():
    other = smooth_picture(52, 40, 2)
    both = run(style=[STYLE, other])
    expected = reference.loss_terms(random_filters("vgg19"), CONFIG, both.image, CONTENT, [STYLE, other])
    assert both.losses["total"] == pytest.approx(expected["total"], rel=1e-4)
    assert same(both.image, run(style=(STYLE, other)).image)
    assert not same(both.image, run().image)
    assert [entry["role"] for entry in both.inputs] == ["content", "style", "style"]


@pytest.mark.slow
def test_scales_double_and_end_at_the_full_size():
    config = dataclasses.replace(CONFIG, size=70, scales=5, scale_factor=2.0, coarse_steps=(2,), steps=3)
    assert scales.scale_sizes((50, 70), config) == [(50, 70)]  # half of it would leave the layers too little
    shallow = dataclasses.replace(config, content_layers=("conv2_1",), style_layers=("conv1_1", "conv3_1"))
    assert scales.scale_sizes((50, 70), shallow) == [(13, 18), (25, 35), (50, 70)]
    assert scales.scale_sizes((50, 70), dataclasses.replace(shallow, scales=2)) == [(25, 35), (50, 70)]
    closer = dataclasses.replace(shallow, scales=3, scale_factor=1.25)
    assert scales.scale_sizes((50, 75), closer) == [(32, 48), (40, 60), (50, 75)]
    seen = []
    result = run(config=shallow, on_progress=seen.append)
    assert [(progress.step, progress.steps, progress.size) for progress in seen] == [
        (1, 7, (18, 13)), (2, 7, (18, 13)), (3, 7, (35, 25)), (4, 7, (35, 25)),
        (5, 7, (70, 50)), (6, 7, (70, 50)), (7, 7, (70, 50)),
    ]  # fmt: skip
    assert [(row["step"], row["size"]) for row in result.trace] == [
        (1, 18), (2, 18), (3, 35), (4, 35), (5, 70), (6, 70), (7, 70),
    ]  # fmt: skip
    assert result.image.shape == (50, 70, 3)
    assert (result.steps, result.evaluations) == (7, 8)


@pytest.mark.slow
def test_a_small_painting_is_not_reduced_to_nothing_at_coarse_scales():
    config = dataclasses.replace(
        CONFIG,
        size=64,
        scales=3,
        scale_factor=2.0,
        coarse_steps=(1,),
        steps=1,
        content_layers=("conv2_1",),
        style_layers=("conv3_1",),
    )
    assert scales.scale_sizes((48, 64), config) == [(12, 16), (24, 32), (48, 64)]
    result = run(content=smooth_picture(48, 64, 0), style=smooth_picture(6, 12, 1), config=config)
    assert result.losses["style"] > 0
    assert result.ended == ""
    assert all(np.isfinite(row["total"]) for row in result.trace)


def test_progress_has_the_picture_so_far():
    seen = []
    result = run(on_progress=lambda progress: seen.append((progress, progress.image())))
    assert same(seen[-1][1], result.image)
    for progress, image in seen:
        expected = reference.loss_terms(random_filters("vgg19"), CONFIG, image, CONTENT, [STYLE])
        assert image.shape == CONTENT.shape
        assert min(row["total"] for row in result.trace[: progress.step]) == pytest.approx(expected["total"], rel=0.1)
        assert progress.terms == {key: result.trace[progress.step - 1][key] for key in progress.terms}
        assert progress.note == ""


def test_stop_keeps_the_picture_so_far():
    kept = []

    def on_progress(progress):
        kept.append(progress.image())
        if progress.step == 2:
            raise Stop

    result = run(on_progress=on_progress)
    assert (result.steps, result.ended) == (2, "stopped")
    assert same(result.image, kept[-1])


def test_stop_after_the_last_step_of_a_coarse_scale_ends_the_run():
    """Which has one more scale to come; after the very last step nothing is left to stop."""
    layers = {"content_layers": ("conv2_1",), "style_layers": ("conv1_1", "conv3_1")}
    config = dataclasses.replace(CONFIG, size=70, scales=2, coarse_steps=(2,), steps=1, **layers)
    for last, ended in ((2, "stopped"), (3, "")):

        def on_progress(progress, last=last):
            if progress.step == last:
                raise Stop

        result = run(config=config, on_progress=on_progress)
        assert (result.steps, result.ended, len(result.trace)) == (last, ended, last)
        assert result.image.shape == (50, 70, 3)


@pytest.mark.slow
def test_stop_at_a_coarse_scale_still_gives_the_full_size():
    config = dataclasses.replace(
        CONFIG, size=70, scales=2, coarse_steps=(2,), content_layers=("conv2_1",), style_layers=("conv1_1", "conv3_1")
    )

    def on_progress(progress):
        raise Stop

    result = run(config=config, on_progress=on_progress)
    assert result.image.shape == (50, 70, 3)
    assert result.ended == "stopped"
    expected = reference.loss_terms(
        random_filters("vgg19"),
        config,
        result.image,
        images.resize(CONTENT, 50, 70),
        [STYLE],
    )
    assert result.losses["total"] == pytest.approx(expected["total"], rel=1e-4)


def test_a_loss_that_is_not_finite_ends_with_the_best_picture():
    filters = random_filters("vgg19")
    filters.arrays["conv5_1"]["bias"][:] = 3e30  # squares overflow
    notes = []
    config = dataclasses.replace(CONFIG, loss="gatys2015")
    result = stylize(CONTENT, STYLE, config, weights=filters, on_progress=lambda progress: notes.append(progress.note))
    assert result.ended == "not finite"
    np.testing.assert_array_equal(result.image, CONTENT)
    assert len(notes) == minimise.RECOVERIES
    assert result.steps == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "nst_jax-0.1", "gatys2015", "gatys2016"])
def test_every_preset_runs(name):
    config = dataclasses.replace(preset(name), network="vgg19", size=48, style_size=52, steps=2, history=3)
    result = run(config=config)
    assert result.image.shape == CONTENT.shape
    assert result.config == config.for_network("vgg19")
    assert result.trace[1]["total"] != result.trace[0]["total"]
    assert ("excess" in result.losses) == (config.tv_excess > 0) == (name == "default")


def test_inputs_are_told(pictures):
    result = run(content=pictures[0], style=str(pictures[1]), config=dataclasses.replace(CONFIG, steps=0))
    assert [(entry["role"], entry["path"], entry["size"]) for entry in result.inputs] == [
        ("content", str(pictures[0]), [48, 34]),
        ("style", str(pictures[1]), [40, 52]),
    ]
    assert all(len(entry["sha256"]) == 64 for entry in result.inputs)
    assert set(result.seconds) == {"load", "compile", "run", "total"}
    assert all(value >= 0 for value in result.seconds.values())


@pytest.mark.parametrize(
    ("content", "style", "message"),
    [
        (np.zeros((34, 48, 5)), STYLE, r"an image of shape \[34, 48, 5\] is not possible: give \[height, width\] or"),
        (np.zeros((34, 48, 4)), STYLE, "array is wholly transparent"),
        (np.zeros((0, 48, 3)), STYLE, r"an image of shape \[0, 48, 3\] is not possible"),
        (CONTENT * 255, STYLE, r"outside \[0, 1\]: divide by 255"),
        (np.full((34, 48, 3), np.nan), STYLE, r"outside \[0, 1\]"),
        (CONTENT, [], "no style picture is given"),
        (smooth_picture(10, 48, 0), STYLE, "is 48 x 10 pixels at this size; the layers in use need 16 on the shorter"),
        (CONTENT, smooth_picture(15, 40, 0), "is 40 x 15 pixels at this size; the layers in use need 16"),
        ("no such file.png", STYLE, "no such file.png does not exist"),
    ],
)
def test_pictures_that_cannot_be_used(content, style, message):
    with pytest.raises(NSTError, match=message):
        run(content=content, style=style)


def test_a_size_beyond_the_memory_is_refused_before_the_run():
    with pytest.raises(NSTError, match="GiB of memory and 0.0 are free: no size would fit"):
        run(machine=dataclasses.replace(here(), free=100_000))
