"""How much style, of which paintings, and how large: ``--strength``, ``--style-blend``, folders, ``--style-scale``."""

import dataclasses
import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
import reference
from runs_support import objective_of
from support import compiled_by, random_filters, simple_config, smooth_picture

from nst_jax.cli import stylize as command
from nst_jax.cli import sweep as sweep_command
from nst_jax.errors import NSTError
from nst_jax.losses import formulas, statistics
from nst_jax.networks import vgg, weights_file
from nst_jax.options import folders as styles
from nst_jax.pictures import images
from nst_jax.runs import inputs
from nst_jax.runs import report as runs
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps import grid
from nst_jax.sweeps.lanes import prepare_lanes

CONTENT, FIRST, SECOND = smooth_picture(20, 24, 0), smooth_picture(24, 18, 1), smooth_picture(22, 24, 2)


@pytest.fixture
def config(tiny):
    return simple_config(
        network=tiny, size=24, steps=12, scales=1, history=4, content_weight=0.5, style_weight=5.0, tv_weight=2.0,
        optimizer="adam", content_layers=("conv2_1",), style_layers=("conv1_1", "pool2"),
    )  # fmt: skip


def run(config, style=(FIRST, SECOND), **changes):
    return stylize(CONTENT, style, dataclasses.replace(config, **changes), weights=random_filters(config.network))


def same(first, second):
    return first.shape == second.shape and first.tobytes() == second.tobytes()


# ---------------------------------------------------------------- strength


def test_strength_scales_the_ratio_evenly_on_a_logarithmic_scale():
    given = simple_config(content_weight=0.3, style_weight=7.0, tv_weight=2.0)
    ratios = [
        dataclasses.replace(given, strength=strength).loss_weights["content_weight"] / given.content_weight
        for strength in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert ratios == pytest.approx([100, 10, 1, 10**-0.5, 0.1])
    assert dataclasses.replace(given, strength=0.5).loss_weights == given.loss_weights
    assert given.loss_weights == {"content_weight": 0.3, "style_weight": 7.0, "tv_weight": 2.0, "tv_excess": 0.0}
    strong = dataclasses.replace(given, strength=1.0).loss_weights
    assert (strong["style_weight"], strong["tv_weight"]) == (7.0, 2.0)


@pytest.mark.slow
def test_it_acts_once_however_often_a_config_is_resolved(config):
    """Also on a config that comes out of a report, as in a replay."""
    for network, style_weight in (("slim", 23.0), ("vgg19", 6.0)):
        once = simple_config(strength=0.9).for_network(network)
        assert once.for_network(network) == once
        assert once.loss_weights["style_weight"] == style_weight
        assert once.loss_weights["content_weight"] == pytest.approx(10**-0.8)
    made = run(config, strength=0.9)
    assert made.config.strength == 0.9
    told = json.loads(json.dumps(runs.report(made)))
    assert told["loss_weights"] == {**made.config.loss_weights, "content_weight": pytest.approx(0.5 * 10**-0.8)}
    again = simple_config(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in told["config"].items()}
    )
    assert same(run(again).image, made.image)


def test_the_middle_is_what_there_is_without_it(config):
    assert same(run(config, strength=0.5).image, run(config).image)


def test_more_strength_is_more_style_and_less_photograph(config):
    results = [run(config, strength=strength, steps=40, tv_weight=1.0) for strength in (0.0, 0.25, 0.5, 0.75, 1.0)]
    content, style = ([result.losses[name] for result in results] for name in ("content", "style"))
    assert content == sorted(content)
    assert style == sorted(style, reverse=True)
    distances = [np.abs(result.image - CONTENT).mean() for result in results]
    assert distances == sorted(distances)
    assert distances[0] < 0.6 * distances[-1]
    for result in results:
        weights = result.config.loss_weights
        weighted = sum(weights[f"{name}_weight"] * result.losses[name] for name in ("content", "style", "tv"))
        assert result.losses["total"] == pytest.approx(weighted, rel=1e-5)


def test_another_strength_or_blend_compiles_nothing(config):
    run(config, strength=0.3)
    assert compiled_by(lambda: run(config, strength=0.8)) == 0
    assert compiled_by(lambda: run(config, strength=1.0, style_blend=(0.1, 7.0))) == 0


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_strengths_that_cannot_be(value):
    with pytest.raises(NSTError, match=f"--strength is {value}: give a number from 0 to 1"):
        simple_config(strength=value)


@pytest.mark.slow
def test_a_sweep_over_strengths(config):
    made = grid.grid(config, ["a", "b"], strengths=[0.0, 0.5, 1.0])
    assert made.columns == ("strength 0", "strength 0.5", "strength 1")
    assert made.rows == ("a", "b")
    prepared = prepare_lanes(CONTENT, [FIRST, SECOND], made.lanes, weights=random_filters(config.network))
    results = [result for _, result in prepared.run_batch(range(6), prepared.plan(6), lambda progress: None)]
    for lane, result in zip(prepared.lanes, results, strict=True):
        alone = run(lane.config, [FIRST, SECOND][lane.style])
        assert result.config == alone.config
        assert result.losses == {name: pytest.approx(value, rel=1e-3) for name, value in alone.losses.items()}
    assert results[0].losses["content"] < results[1].losses["content"] < results[2].losses["content"]
    other = grid.grid(config, ["a", "b"], strengths=[0.1, 0.2, 0.9]).lanes
    again = prepare_lanes(CONTENT, [FIRST, SECOND], other, weights=random_filters(config.network))
    assert compiled_by(lambda: again.run_batch(range(6), again.plan(6), lambda progress: None)) == 0


def test_strengths_that_a_grid_cannot_have(config):
    for given, changes in (({"strengths": [0.1]}, {}), ({}, {"strength": 0.1})):
        with pytest.raises(NSTError, match="--ratios and strength both set the ratio of the losses: give one of them"):
            grid.grid(dataclasses.replace(config, **changes), ratios=[1.0], **given)
    with pytest.raises(NSTError, match="--strengths make no difference without content layers"):
        grid.grid(dataclasses.replace(config, content_layers=()), strengths=[0.1, 0.2])
    with pytest.raises(NSTError, match="--strength is 2: give a number from 0 to 1"):
        grid.grid(config, strengths=[2])
    with pytest.raises(NSTError, match=r"--strengths has the same value twice \(strength 0.5\)"):
        grid.grid(config, strengths=[0.5, 0.5])


# ---------------------------------------------------------------- blends


@pytest.mark.parametrize("network", ["tiny", "stand-in"])
def test_the_target_is_the_weighted_mean_of_the_gram_matrices(tiny, stand_in, network):
    filters = random_filters(network)
    net, taps = vgg.network(filters), {"conv1_1": 1.0, "conv2_1": 1.0}

    layers = {"content_layers": (), "style_layers": tuple(f"{tap}:1" for tap in taps), "style_octaves": 1}

    def grams(targets):
        (octave,) = targets
        return {tap: found.gram for tap, found in octave.items()}

    def target(blend, paintings=(FIRST, SECOND)):
        goal = objective_of(net, None, paintings, simple_config(network=network, style_blend=blend, **layers))
        (style,) = (term for _, term in goal.terms if term.name == "style")
        return grams(style.targets)

    first, second = (grams(statistics.style_targets(net, jnp.asarray(one), tuple(taps))) for one in (FIRST, SECOND))
    for tap in taps:
        blended = target((3.0, 1.0))[tap]
        np.testing.assert_allclose(blended, 0.75 * first[tap] + 0.25 * second[tap], rtol=1e-5)
        np.testing.assert_array_equal(target((6.0, 2.0))[tap], blended)
        np.testing.assert_array_equal(target((1.0, 1.0))[tap], target(())[tap])
        np.testing.assert_array_equal(target(())[tap], (first[tap] + second[tap]) / 2)
        np.testing.assert_array_equal(target((1.0, 0.0))[tap], first[tap])
        np.testing.assert_array_equal(target((), [SECOND])[tap], second[tap])
        independent = reference.gram(reference.responses(filters, FIRST, "conv2_1")[tap])
        if network == "tiny":
            np.testing.assert_allclose(target((2.0, 0.0))[tap], independent, rtol=1e-4, atol=1e-5)


def test_blends_go_from_one_painting_to_the_other(config):
    alone = run(config, FIRST)
    assert same(run(config, style_blend=(1.0, 0.0)).image, alone.image)
    assert same(run(config, style_blend=(2.0, 2.0)).image, run(config).image)
    net = vgg.network(random_filters(config.network))

    def gram(image):
        return statistics.style_targets(net, jnp.asarray(image), ("conv1_1",))[0]["conv1_1"].gram

    target = gram(FIRST)

    def distance(blend):
        return float(formulas.style_loss(gram(run(config, style_blend=blend, steps=60).image), target))

    distances = [distance(blend) for blend in ((1.0, 0.0), (2.0, 1.0), (1.0, 2.0), (0.0, 1.0))]
    assert distances == sorted(distances)
    assert distances[0] < 0.5 * distances[-1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"style_blend": (1.0,)}, "--style-blend has 1 numbers for 2 paintings: give one for each --style"),
        ({"style_blend": (1.0, 2.0, 3.0)}, "--style-blend has 3 numbers for 2 paintings"),
        ({"style_scale": (1.0, 2.0, 3.0)}, "--style-scale has 3 numbers for 2 paintings"),
        ({"style_blend": (0.0, 0.0)}, "--style-blend is 0 for every painting: give at least one a weight above 0"),
        ({"style_blend": (1.0, -1.0)}, "one of --style-blend is -1.0: give a finite number of 0 or more"),
        ({"style_blend": (1.0, float("nan"))}, "one of --style-blend is nan"),
        ({"style_scale": ()}, "--style-scale is empty: give a number above 0 and up to 8, or several"),
        ({"style_scale": (0.0,)}, "--style-scale is 0: give a number above 0"),
        ({"style_scale": (1.0, -2.0)}, "--style-scale is 1 -2: give"),
        ({"style_scale": (8.1,)}, "--style-scale is 8.1: give a number above 0 and up to 8"),
        ({"style_scale": (float("nan"),)}, "--style-scale is nan"),
        ({"style_scale": (0.05,)}, "give a larger --style-scale, a larger picture or less deep layers"),
    ],
    ids=str,
)
def test_blends_and_scales_that_cannot_be(config, changes, message):
    with pytest.raises(NSTError, match=re.escape(message)) as caught:
        run(config, **changes)
    assert "\n" not in str(caught.value)


def test_a_sweep_has_no_blend(config):
    lanes = grid.grid(dataclasses.replace(config, style_blend=(1.0, 2.0)), ["a", "b"]).lanes
    with pytest.raises(NSTError, match="--style-blend mixes paintings in one picture, and a sweep makes one of each"):
        prepare_lanes(CONTENT, [FIRST, SECOND], lanes, weights=random_filters(config.network))


# ---------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path):
    """Three pictures, and what is none."""
    path = tmp_path / "paintings"
    path.mkdir()
    for seed, name in enumerate(("b.png", "a.JPG", "c.tiff")):
        images.save_image(path / name, smooth_picture(24, 18 + seed, 5 + seed))
    for name in (".hidden.png", "._a.jpg", "notes.txt", "d.psd"):
        (path / name).write_text("no picture")
    (path / "e.png").mkdir()
    return path


def test_a_folder_stands_for_its_pictures_by_name(folder):
    assert [path.name for path in styles.pictures_of(folder)] == ["a.JPG", "b.png", "c.tiff"]
    assert styles.pictures_of(str(folder)) == styles.pictures_of(folder)
    assert styles.pictures_of("a.png") == ["a.png"]
    (one,) = styles.pictures_of(FIRST)
    assert one is FIRST


def test_a_folder_weighs_as_much_as_a_picture(folder):
    paths = styles.pictures_of(folder)
    expanded, config = styles.expand([folder], simple_config())
    assert (expanded, config) == (paths, simple_config())
    expanded, config = styles.expand(["x.png", folder], simple_config())
    assert expanded == ["x.png", *paths]
    assert config.style_blend == (1.0, 1 / 3, 1 / 3, 1 / 3)
    assert config.style_scale == (1.0,)
    assert styles.expand(expanded, config) == (expanded, config)
    given = simple_config(style_blend=(1.0, 6.0), style_scale=(0.5, 2.0))
    _, config = styles.expand(["x.png", folder], given)
    assert config.style_blend == (1.0, 2.0, 2.0, 2.0)
    assert config.style_scale == (0.5, 2.0, 2.0, 2.0)
    assert styles.expand(expanded, config) == (expanded, config)
    _, config = styles.expand([folder], simple_config(style_blend=(1.0, 0.0, 3.0)))
    assert config.style_blend == (1.0, 0.0, 3.0)
    with pytest.raises(NSTError, match="--style-blend has 3 numbers for 4 paintings: give one for each --style"):
        styles.expand(["x.png", folder], simple_config(style_blend=(1.0, 0.0, 3.0)))


def test_pictures_of_a_folder_with_a_region_each_are_not_mixed(folder):
    given = simple_config(content_mask=("1.png", "2.png", "3.png", "4.png"))
    expanded, config = styles.expand(["x.png", folder], given)
    assert len(expanded) == 4 and config.style_blend == ()


def test_a_run_with_a_folder_is_told_in_full_and_can_be_made_again(config, folder):
    made = run(config, [FIRST, folder], style_blend=(1.0, 3.0))
    assert [entry["path"].rpartition("/")[2] for entry in made.inputs[1:]] == ["array", "a.JPG", "b.png", "c.tiff"]
    assert made.config.style_blend == (1.0, 1.0, 1.0, 1.0)
    assert same(run(made.config, [FIRST, *styles.pictures_of(folder)]).image, made.image)
    assert same(run(config, folder).image, run(config, styles.pictures_of(folder)).image)


def test_a_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(NSTError, match=r" is a folder without pictures: give one with \.jpg, .* files"):
        styles.pictures_of(tmp_path)
    with pytest.raises(NSTError, match="notes.txt is no folder: give one with pictures"):
        styles.pictures_in(tmp_path / "notes.txt")


# ---------------------------------------------------------------- scales


def shape_of(painting, **changes):
    """How the network is shown a painting, given as an array or a file, and the notes."""
    (shown,) = inputs.load_pictures(CONTENT, painting, simple_config(size=64, **changes).for_network("vgg19"))[1]
    return shown.pixels.shape[:2], shown.notes


@pytest.mark.parametrize(
    ("size", "changes", "expected", "enlarged"),
    [
        ((128, 96), {}, (64, 48), ""),
        ((128, 96), {"style_scale": (0.5,)}, (32, 24), ""),
        ((128, 96), {"style_scale": (1.75,)}, (112, 84), ""),  # larger than the result, of the painting's own pixels
        ((128, 96), {"style_scale": (3.0,)}, (192, 144), "enlarged from 128 to 192 pixels for --style-scale 3"),
        ((128, 96), {"style_scale": (0.5,), "style_size": 96}, (48, 36), ""),
        ((40, 50), {}, (40, 50), ""),
        ((40, 50), {"style_scale": (0.5,)}, (20, 25), ""),  # of its own size, which it is never enlarged beyond
        ((40, 50), {"style_scale": (2.0,)}, (80, 100), "enlarged from 50 to 100 pixels for --style-scale 2"),
    ],
)
def test_a_painting_is_shown_at_a_multiple_of_its_usual_size(tmp_path, size, changes, expected, enlarged):
    pixels = smooth_picture(*size, 3)
    assert shape_of(pixels, **changes) == (expected, (enlarged,) * bool(enlarged))
    images.save_image(tmp_path / "painting.png", pixels)
    assert shape_of(tmp_path / "painting.png", **changes) == (expected, (enlarged,) * bool(enlarged))


@pytest.mark.slow
def test_each_painting_has_its_scale_at_every_scale(config):
    config = dataclasses.replace(config, size=24, scales=2, style_scale=(0.5, 2.0))
    config = config.for_network(config.network)
    _, paintings = inputs.load_pictures(CONTENT, [FIRST, SECOND], config)
    assert [one.pixels.shape[:2] for one in paintings] == [(12, 9), (44, 48)]
    coarse = [inputs.painting_at(one, (10, 12), config).shape[:2] for one in paintings]
    assert coarse == [(6, 4), (22, 24)]  # rounded to even
    notes = run(config, steps=1, coarse_steps=(1,)).notes
    assert notes == ["array: enlarged from 24 to 48 pixels for --style-scale 2"]


def test_a_scale_is_the_painting_resized(config):
    """What it does is what a painting of another size does."""
    half = images.resize(FIRST, 12, 9)
    assert same(run(config, FIRST, style_scale=(0.5,)).image, run(config, half).image)
    assert not same(run(config, FIRST, style_scale=(0.5,)).image, run(config, FIRST).image)
    assert same(run(config, FIRST, style_scale=(1.0,)).image, run(config, FIRST).image)
    assert same(run(config, style_scale=(0.5, 0.5)).image, run(config, style_scale=(0.5,)).image)


def test_larger_motifs_vary_more_slowly(tiny):
    """A texture of stripes: with twice the scale they are twice as wide."""
    stripes = np.repeat(np.tile(np.array([0, 0, 1, 1], "f4"), 12)[None, :, None], 48, 0).repeat(3, 2)
    config = simple_config(network=tiny, size=48, scales=1, steps=80, content_layers=(),
                           style_layers=("conv1_1", "conv1_2"), init="noise", tv_weight=0.0,
                           style_weight=1.0)  # fmt: skip
    differences = []
    for scale in (1.0, 2.0):
        made = stylize(
            CONTENT, stripes, dataclasses.replace(config, style_scale=(scale,)), weights=random_filters(tiny)
        )
        differences.append(made.losses["tv"])
    assert differences[1] < 0.8 * differences[0]


def test_a_sweep_of_styles_with_scales(config):
    lanes = grid.grid(dataclasses.replace(config, style_scale=(0.5, 2.0)), ["a", "b"]).lanes
    prepared = prepare_lanes(CONTENT, [FIRST, SECOND], lanes, weights=random_filters(config.network))
    assert [lane.config.style_scale for lane in prepared.lanes] == [(0.5,), (2.0,)]
    for lane, (_, result) in zip(
        prepared.lanes, prepared.run_batch([0, 1], prepared.plan(2), lambda progress: None), strict=True
    ):
        alone = run(lane.config, [FIRST, SECOND][lane.style])
        assert result.config == alone.config
        assert result.notes == alone.notes
        assert result.losses == {name: pytest.approx(value, rel=1e-3) for name, value in alone.losses.items()}


# ---------------------------------------------------------------- on the command line


@pytest.fixture
def words(tmp_path, tiny, folder):
    """A short command line of both commands, without styles."""
    images.save_image(tmp_path / "photo.png", CONTENT)
    images.save_image(tmp_path / "x.png", FIRST)
    weights_file.save_weights(tmp_path / "tiny.h5", random_filters(tiny))
    given = {
        "content": tmp_path / "photo.png", "weights": tmp_path / "tiny.h5", "network": tiny, "size": 24, "steps": 2,
        "scales": 1, "optimizer": "adam", "style-layers": "conv1_1", "content-layers": "conv1_2",
    }  # fmt: skip
    return [word for key, value in given.items() for word in (f"--{key}", str(value))]


def test_the_options_of_a_command_line(words, tmp_path, folder, capsys):
    more = ["--style-blend", "2", "1", "--style-scale", "0.5", "1.5", "--strength", "0.9"]
    files = ["--output", str(tmp_path / "out.png"), "--report", str(tmp_path / "out.json")]
    assert command.main([*words, "--style", str(tmp_path / "x.png"), str(folder), *more, *files]) == 0
    said = capsys.readouterr().err
    assert (
        len(re.findall("^nst-stylize: note: .*enlarged from 24 to 36 pixels for --style-scale 1.5$", said, re.M)) == 3
    )
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["config"]["style_blend"] == [2.0, 1 / 3, 1 / 3, 1 / 3]
    assert told["config"]["style_scale"] == [0.5, 1.5, 1.5, 1.5]
    assert told["config"]["strength"] == 0.9
    assert told["loss_weights"]["content_weight"] == pytest.approx(0.003 * 10**-0.8)
    assert json.loads(images.read_metadata(tmp_path / "out.png")["nst_jax"])["loss_weights"] == told["loss_weights"]
    assert len(told["inputs"]) == 5


def test_a_sweep_runs_each_picture_of_a_folder(words, tmp_path, folder):
    more = ["--style", str(tmp_path / "x.png"), str(folder), "--style-scale", "1", "0.5", "--strengths", "0.1", "0.9"]
    assert sweep_command.main([*words, *more, "--output", str(tmp_path / "out")]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [entry["label"] for entry in results] == [
        f"lane {2 * row + column}: {name}, strength {strength}"
        for row, name in enumerate(("x", "a", "b", "c"))
        for column, strength in enumerate((0.1, 0.9))
    ]
    assert [entry["config"]["style_scale"] for entry in results] == [[1.0]] * 2 + [[0.5]] * 6
    assert [entry["inputs"][1]["path"].rpartition("/")[2] for entry in results[::2]] == [
        "x.png", "a.JPG", "b.png", "c.tiff",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "more", "message"),
    [
        ("stylize", ["--style", "{}/empty"], "empty is a folder without pictures"),
        ("sweep", ["--style", "{}/empty"], "empty is a folder without pictures"),
        ("stylize", ["--style", "{}/x.png", "--style-blend", "1", "2"], "--style-blend has 2 numbers for 1 painting: "),
        ("stylize", ["--style", "{}/x.png", "--style-blend", "0"], "--style-blend is 0 for every painting"),
        ("stylize", ["--style", "{}/x.png", "--style-scale", "0"], "--style-scale is 0: give a number above 0"),
        ("stylize", ["--style", "{}/x.png", "--strength", "1.5"], "--strength is 1.5: give a number from 0 to 1"),
        ("stylize", ["--style", "{}/x.png", "--strength", "much"], "--strength"),
        ("stylize", ["--style", "{}/paintings", "--output", "{}/paintings/b.png"], "--output is .*, an input of this"),
        ("sweep", ["--style", "{}/x.png", "--style-blend", "1"], "--style-blend mixes paintings in one picture"),
        ("sweep", ["--style", "{}/paintings", "{}/paintings/b.png"], "--style names .*b.png twice"),
        ("sweep", ["--style", "{}/x.png", "--strengths", "0.1", "--ratios", "1"], "--ratios and strength both set"),
        ("sweep", ["--style", "{}/x.png", "--strengths", "0.1", "3"], "--strength is 3: give a number from 0 to 1"),
        ("sweep", ["--style", "{}/x.png", "--strengths"], "the grid is empty: --strengths has no value"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_mistakes_get_one_line(words, tmp_path, capsys, program, more, message):
    (tmp_path / "empty").mkdir()
    more = [word.format(tmp_path) for word in more]
    if "--output" not in more:
        more += ["--output", str(tmp_path / ("out.png" if program == "stylize" else "out"))]
    before = sorted(tmp_path.rglob("*"))
    assert (command if program == "stylize" else sweep_command).main([*words, *more]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1), said.err
    assert re.search(message, said.err), said.err
    assert sorted(tmp_path.rglob("*")) == before
