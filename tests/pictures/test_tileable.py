"""Results that tile: wrapping in sizes, padding, total variation and resizing, and a seam like any other line."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs_support import goal_of
from support import compiled_by, random_filters, simple_config, smooth_picture

from nst_jax.cli.stylize import main
from nst_jax.losses import formulas
from nst_jax.networks import vgg, weights_file
from nst_jax.pictures import images
from nst_jax.pictures import tileable as seams
from nst_jax.runs import inputs, report, scales
from nst_jax.runs.finish import resized, seamless
from nst_jax.runs.plan import prepare
from nst_jax.runs.result import notes_of
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps import grid
from nst_jax.sweeps.lanes import prepare_lanes

CONTENT, STYLE = smooth_picture(21, 26, 0), smooth_picture(24, 18, 1)


@pytest.fixture
def config(tiny):
    return simple_config(
        network=tiny, size=26, steps=12, scales=1, history=4, style_weight=5.0, tv_weight=0.1,
        content_layers=("conv2_1",), style_layers=("conv1_1", "conv1_2", "pool2"), tileable=True,
    )  # fmt: skip


def steepness(image):
    """Down and across: the mean difference over the seam, in terms of that inside."""
    return [
        np.abs(image.take(0, axis) - image.take(-1, axis)).mean() / np.abs(np.diff(image, axis=axis)).mean()
        for axis in (0, 1)
    ]


def tiling_picture(height, width, seed=0):
    """[height, width, 3] in [0, 1] that tiles: waves of whole numbers of periods."""
    y, x = np.indices((height, width))
    phases = np.random.default_rng(seed).uniform(0, 6, 3)
    turns = y / height, 2 * x / width, y / height + x / width
    waves = [np.sin(2 * np.pi * turn + phase) for turn, phase in zip(turns, phases, strict=True)]
    return (0.5 + np.stack([waves[0] + waves[1], waves[1] - waves[2], waves[2] + waves[0]], -1) / 5).astype("f4")


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("size", [(16, 24), (24, 36), (12, 20), (8, 8), (13, 17), (8, 30)])
def test_a_tile_is_resized_as_a_plane_full_of_it(size):
    tile = smooth_picture(12, 20, 3)
    height, width = size
    plane = images.resize(np.tile(tile, (5, 5, 1)), 5 * height, 5 * width)
    resized = seams.resize_tile(tile, height, width)
    assert resized.shape == (height, width, 3)
    np.testing.assert_allclose(resized, plane[2 * height : 3 * height, 2 * width : 3 * width], atol=1e-6)


def test_a_shifted_tile_gives_a_shifted_tile():
    tile = smooth_picture(12, 20, 3)
    shifted = seams.resize_tile(np.roll(tile, (4, 5), (0, 1)), 24, 36)
    np.testing.assert_allclose(shifted, np.roll(seams.resize_tile(tile, 24, 36), (8, 9), (0, 1)), atol=1e-6)


def test_lanes_are_resized_one_by_one():
    lanes = np.stack([smooth_picture(12, 20, seed) for seed in (1, 2)])
    together = resized(lanes, 24, 40, True)
    np.testing.assert_array_equal(together[1], seams.resize_tile(lanes[1], 24, 40))
    np.testing.assert_array_equal(seamless(together)[0], seams.even_seam(together[0]))


@pytest.mark.parametrize("axes", [(0, 1), (0,), (1,)])
def test_what_periodic_takes_away_is_smooth_but_for_the_jumps(axes):
    """Moisan's equation: the periodic Laplacian of what is taken away is that of the jumps alone."""
    picture = 0.3 + 0.4 * smooth_picture(9, 14, 3)
    taken = picture.astype(np.float64) - seams.periodic(picture, axes)
    laplacian = sum(np.roll(taken, shift, axis) - taken for shift in (1, -1) for axis in (0, 1))
    jumps = np.zeros_like(taken)
    if 0 in axes:
        jumps[0] += picture[-1] - picture[0]
        jumps[-1] -= picture[-1] - picture[0]
    if 1 in axes:
        jumps[:, 0] += picture[:, -1] - picture[:, 0]
        jumps[:, -1] -= picture[:, -1] - picture[:, 0]
    np.testing.assert_allclose(laplacian, jumps, atol=1e-5)
    np.testing.assert_allclose(taken.mean((0, 1)), 0, atol=1e-6)


def test_a_periodic_picture_tiles_and_one_that_tiles_stays():
    ramp = np.linspace(0.1, 0.9, 30)[None, :, None] + np.zeros((20, 1, 3))
    picture = np.clip(ramp + smooth_picture(20, 30, 1) / 5 - 0.1, 0, 1)
    assert max(steepness(picture)) > 5
    assert max(steepness(seams.periodic(picture))) < 2
    assert np.abs(seams.periodic(picture) - picture)[5:-5, 5:-5].std() < 0.2
    tile = tiling_picture(40, 60)
    np.testing.assert_allclose(seams.periodic(tile), tile, atol=0.04)
    assert np.abs(seams.periodic(tile) - tile).mean() < 0.01
    np.testing.assert_array_equal(seams.periodic(np.full((6, 8, 3), 0.3, np.float32)), np.full((6, 8, 3), 0.3, "f4"))


def test_only_a_seam_that_is_steeper_than_the_inside_is_evened():
    tile = tiling_picture(40, 60)
    quiet = np.roll(tile, -np.abs(np.diff(tile, axis=1)).mean((0, 2)).argmin() - 1, 1)
    quiet = np.roll(quiet, -np.abs(np.diff(quiet, axis=0)).mean((1, 2)).argmin() - 1, 0)
    np.testing.assert_array_equal(seams.even_seam(quiet), quiet)
    steep = np.roll(quiet, -np.abs(np.diff(quiet, axis=1)).mean((0, 2)).argmax() - 1, 1)
    assert steepness(steep)[1] > 1 > steepness(steep)[0]
    assert max(steepness(seams.even_seam(steep))) < 1
    taken, all_of_it = steep - seams.even_seam(steep), steep - seams.periodic(steep, [1])
    share = np.vdot(taken, all_of_it) / np.vdot(all_of_it, all_of_it)
    assert 8 * share == pytest.approx(round(8 * share), abs=1e-3)  # the fewest eighths that do
    assert 0 < share < 1
    assert steepness(steep - (share - 1 / 8) * all_of_it)[1] > 1
    np.testing.assert_allclose(taken, share * all_of_it, atol=1e-6)


# ---------------------------------------------------------------- sizes


def test_no_pooling_drops_a_row(config):
    for height in range(4, 60):
        for width in range(height, 80, 7):
            rounded = scales.pooled_evenly((height, width), config)
            assert all(
                side % 4 == 0 and abs(side - old) <= 2 for side, old in zip(rounded, (height, width), strict=True)
            )
    assert scales.pooled_evenly((21, 26), dataclasses.replace(config, tileable=False)) == (21, 26)
    shallow = dataclasses.replace(config, content_layers=(), style_layers=("conv1_1", "pool1"))
    assert scales.pooled_evenly((21, 25), shallow) == (22, 26)
    full = dataclasses.replace(config, scales=4, scale_factor=2.0)
    assert scales.scale_sizes((44, 60), full) == [(8, 8), (12, 16), (24, 32), (44, 60)]


@pytest.mark.parametrize("size", range(26, 43))
def test_the_size_is_the_same_when_it_is_asked_for_again(config, size):
    """Of the photograph as it is loaded, and of the photograph that was fitted."""
    config = dataclasses.replace(config, size=size).for_network(config.network)
    for shape in ((30, 40), (33, 40), (40, 40), (40, 31), (40, 12)):
        photograph, _ = inputs.load_pictures(smooth_picture(*shape, 0), STYLE, config)
        assert photograph.pixels.shape[:2] == scales.full_size(photograph, [], config)
        assert all(side % 4 == 0 for side in photograph.pixels.shape[:2])


def test_the_size_is_told_where_it_is_another(config):
    prepared = prepare(CONTENT, STYLE, config, weights=random_filters(config.network))
    assert prepared.sizes == [(20, 28)]
    assert notes_of(prepared.pictures) == ["array: made 28 x 20 pixels, not 26 x 21: to tile, sides are multiples of 4"]
    even = dataclasses.replace(config, size=24)
    prepared = prepare(smooth_picture(20, 24, 0), STYLE, even, weights=random_filters(config.network))
    assert notes_of(prepared.pictures) == []
    texture = dataclasses.replace(config, content_layers=(), init="noise", size=30)
    prepared = prepare(None, STYLE, texture, weights=random_filters(config.network))
    assert prepared.sizes == [(32, 24)]
    assert notes_of(prepared.pictures) == ["array: made 24 x 32 pixels, not 23 x 30: to tile, sides are multiples of 4"]


# ---------------------------------------------------------------- the objective


def test_a_shift_around_the_border_changes_nothing(config):
    """A texture's objective and its gradient follow the image wherever it is shifted, by whole pooling cells."""
    texture = dataclasses.replace(config, content_layers=(), init="noise", size=24)
    prepared = prepare(None, STYLE, texture, weights=random_filters(config.network))
    net = vgg.network(prepared.weights, padding=prepared.config.padding)
    goal = goal_of(net, prepared)
    image = jnp.asarray(smooth_picture(*prepared.sizes[-1], 5))
    shift = (8, 12), (0, 1)
    value_and_gradient = jax.jit(lambda goal, x: jax.value_and_grad(lambda x: goal(x)[0])(x))
    total, gradient = value_and_gradient(goal, image)
    shifted, shifted_gradient = value_and_gradient(goal, jnp.roll(image, *shift))
    np.testing.assert_allclose(shifted, total, rtol=1e-5)
    np.testing.assert_allclose(shifted_gradient, jnp.roll(gradient, *shift), atol=1e-5 * float(jnp.abs(gradient).max()))

    open_ended = dataclasses.replace(prepared.config, tileable=False)
    plain = goal_of(vgg.network(prepared.weights), prepared._replace(config=open_ended))
    here, there = (value_and_gradient(plain, x)[0] for x in (image, jnp.roll(image, *shift)))
    assert abs(there / here - 1) > 1e-3


def test_paintings_are_not_wrapped(config):
    """They do not tile: a seam of theirs would be taken for style. The photograph was made to tile, and is wrapped."""
    filters = random_filters(config.network)
    prepared = prepare(CONTENT, STYLE, config, weights=filters)
    net = vgg.network(filters, padding="wrap")
    goal = goal_of(net, prepared)
    content, style, _ = (term for _, term in goal.terms)
    photograph, [painting] = prepared.pictures[:2]
    mirrored = vgg.features(vgg.network(filters, padding="reflect"), jnp.asarray(painting.pixels), ["conv1_2"])[
        "conv1_2"
    ]
    np.testing.assert_allclose(style.targets[0]["conv1_2"].gram, formulas.gram(mirrored), rtol=1e-5)
    wrapped = vgg.features(net, jnp.asarray(photograph.pixels), ["conv2_1"])["conv2_1"]
    np.testing.assert_allclose(content.targets["conv2_1"], wrapped, rtol=1e-4, atol=1e-5)
    assert goal.network.padding == "wrap"


# ---------------------------------------------------------------- runs


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scales": 2, "coarse_steps": (8,), "size": 36},
        {"content_layers": (), "init": "noise"},
        {"init": "style", "optimizer": "adam", "padding": "wrap", "tv_kind": "neighbours", "pixel_range": "bounded"},
        {"tv_weight": 5.0, "tv_kind": "isotropic", "init_noise": 0.5, "pixel_range": "bounded"},
    ],
    ids=["photograph", "scales", "texture", "style", "isotropic"],
)
def test_the_seam_is_no_steeper_than_the_inside(config, changes):
    config = dataclasses.replace(config, **changes)
    content = CONTENT if config.content_layers else None
    filters = random_filters(config.network)
    result = stylize(content, STYLE, config, weights=filters)
    assert all(side % 4 == 0 for side in result.image.shape[:2])
    assert max(steepness(result.image)) <= 1
    assert result.config.padding == "wrap"
    told = json.loads(json.dumps(report.report(result)))
    assert told["size"] == [result.image.shape[1], result.image.shape[0]]
    assert told["config"]["tileable"] is True
    prepared = prepare(content, STYLE, config, weights=filters)
    goal = goal_of(vgg.network(filters, prepared.config.pooling, "wrap"), prepared)
    assert result.losses["total"] == pytest.approx(float(goal(jnp.asarray(result.image))[0]), rel=1e-4)
    assert min(row["total"] for row in result.trace[-12:]) < result.trace[-12]["total"]


def test_without_the_option_there_is_a_seam(config):
    plain = dataclasses.replace(config, tileable=False)
    result = stylize(CONTENT, STYLE, plain, weights=random_filters(config.network))
    assert result.image.shape == (21, 26, 3)
    assert max(steepness(result.image)) > 1.5
    assert result.config.padding == "replicate-first"
    assert result.notes == []


@pytest.mark.parametrize("init", ["content", "style", "file"])
def test_a_start_tiles(config, tmp_path, init):
    if init == "file":
        init = str(tmp_path / "start.png")
        images.save_image(init, smooth_picture(24, 31, 5))
    start = stylize(
        CONTENT, STYLE, dataclasses.replace(config, init=init, steps=0), weights=random_filters(config.network)
    )
    assert max(steepness(start.image)) <= 1
    assert start.image.shape == (20, 28, 3)


def test_the_image_wraps_around_between_scales(config):
    config = dataclasses.replace(config, init="noise", steps=0, coarse_steps=(0,), scales=2, seed=5)
    prepared = prepare(CONTENT, STYLE, config, weights=random_filters(config.network))
    assert prepared.sizes == [(12, 16), (20, 28)]
    noise = np.random.default_rng(5).uniform(size=(12, 16, 3)).astype("f4")
    expected = seams.even_seam(seams.resize_tile(noise, 20, 28))
    result = stylize(CONTENT, STYLE, config, weights=random_filters(config.network))
    np.testing.assert_array_equal(result.image, expected)


def test_alpha_has_the_size_of_the_result(config, tmp_path):
    alpha = np.zeros((21, 26), "f4")
    alpha[:, 10:] = 1
    images.save_image(tmp_path / "cut-out.png", CONTENT, alpha)
    config = dataclasses.replace(config, steps=1)
    result = stylize(tmp_path / "cut-out.png", STYLE, config, weights=random_filters(config.network))
    assert result.alpha.shape == result.image.shape[:2] == (20, 28)
    report.save(tmp_path / "out.png", result)


def test_another_photograph_compiles_nothing(config):
    filters = random_filters(config.network)
    stylize(CONTENT, STYLE, config, weights=filters)
    other = dataclasses.replace(config, style_weight=2.0, tv_weight=1.0)
    pictures = smooth_picture(21, 26, 8), smooth_picture(24, 18, 9)
    assert compiled_by(lambda: stylize(*pictures, other, weights=filters)) == 0


@pytest.mark.slow
def test_lanes_tile_as_runs_alone_do(config):
    filters, other = random_filters(config.network), smooth_picture(22, 24, 2)
    config = dataclasses.replace(config, optimizer="adam", steps=6, tv_kind="absolute", pixel_range="bounded")
    lanes = grid.grid(config, ["a", "b"], ratios=[0.1, 1.0]).lanes
    prepared = prepare_lanes(CONTENT, [STYLE, other], lanes, weights=filters)
    [results] = prepared.run(range(4), prepared.plan(4))
    for lane, (_, result) in zip(prepared.lanes, results, strict=True):
        alone = stylize(CONTENT, [STYLE, other][lane.style], lane.config, weights=filters)
        assert result.config == alone.config
        assert result.image.shape == alone.image.shape == (20, 28, 3)
        assert max(steepness(result.image)) <= 1
        assert result.trace[0]["total"] == pytest.approx(alone.trace[0]["total"], rel=1e-4)
        assert result.losses["total"] == pytest.approx(alone.losses["total"], rel=1e-3)


@pytest.mark.slow
def test_slim_tiles():
    """The network that ships: its taps have linear maps."""
    config = simple_config(
        network="slim", size=30, scales=1, steps=2, content_layers=("conv3_1",), style_layers=("conv1_1", "conv2_1"),
        tileable=True, pixel_range="bounded",
    )  # fmt: skip
    result = stylize(smooth_picture(21, 30, 0), smooth_picture(28, 24, 1), config)
    assert result.image.shape == (20, 32, 3)
    assert max(steepness(result.image)) <= 1


# ---------------------------------------------------------------- the command line


@pytest.fixture
def words(tmp_path, tiny, pictures):
    weights_file.save_weights(tmp_path / "tiny.h5", random_filters(tiny))
    return [
        "--content", str(pictures[0]), "--style", str(pictures[1]), "--output", str(tmp_path / "out.png"),
        "--network", tiny, "--weights", str(tmp_path / "tiny.h5"), "--size", "50", "--scales", "1", "--steps", "1",
        "--content-layers", "conv2_1", "--style-layers", "conv1_1", "pool2", "--tileable",
    ]  # fmt: skip


def test_the_switch(words, tmp_path, capsys):
    assert main(words) == 0
    assert images.load_image(tmp_path / "out.png").size == (52, 36)
    assert "content.png: made 52 x 36 pixels, not 50 x 35" in capsys.readouterr().err


def test_a_dry_run_tells_the_size(words, capsys):
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "steps: 52 x 36: 1; by lbfgs"
    assert said[-1].startswith("note: ")
    assert said[-1].endswith("content.png: made 52 x 36 pixels, not 50 x 35: to tile, sides are multiples of 4")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--padding", "reflect"], "--tileable wraps around and --padding is reflect"),
        (["--no-tileable"], "--no-tileable"),
    ],
)
def test_mistakes(words, capsys, more, message):
    assert main([*words, *more]) == 2
    assert message in capsys.readouterr().err
