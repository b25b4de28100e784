"""Masks and transparency: regions of their own style, what is frozen, what is hidden, and what cannot be used."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from runs_support import from_memory, objective_of
from runs_support import goal_of as goal_by
from support import random_filters, simple_config, smooth_picture

from nst_jax.cli import stylize as door
from nst_jax.errors import NSTError
from nst_jax.losses import formulas
from nst_jax.networks import vgg
from nst_jax.networks.weights_file import choose_weights
from nst_jax.pictures import images, masks
from nst_jax.pictures.images import Picture
from nst_jax.runs import inputs, memory, pyramid, report
from nst_jax.runs.machine import here
from nst_jax.runs.memory import Footprint
from nst_jax.runs.plan import prepare
from nst_jax.runs.progress import Stop
from nst_jax.runs.result import notes_of
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps import folder, grid
from nst_jax.sweeps.lanes import prepare_lanes

HEIGHT, WIDTH = 24, 32
CONTENT, FIRST, SECOND = smooth_picture(HEIGHT, WIDTH, 0), smooth_picture(20, 30, 1), smooth_picture(28, 22, 2)
LEFT = np.repeat([[1.0] * 16 + [0.0] * 16], HEIGHT, axis=0).astype("f4")
RIGHT = 1 - LEFT


@pytest.fixture
def config(tiny):
    return simple_config(
        network=tiny, size=WIDTH, style_size=30, steps=6, scales=1, history=4, style_weight=5.0, tv_weight=1.0,
        content_layers=("conv2_1",), style_layers=("conv1_1", "conv1_2", "pool2"),
    )  # fmt: skip


@pytest.fixture
def save(tmp_path):
    """Writes a mask [H, W] or picture [H, W, 3] in [0, 1], and perhaps its alpha, as PNG; gives the path."""

    def save(name, pixels, alpha=None):
        path = tmp_path / f"{name}.png"
        parts = [pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=-1)]
        Image.fromarray(images.to_uint8(parts[0])).save(path)
        return path

    return save


@pytest.fixture
def halves(save):
    return save("left", LEFT), save("right", RIGHT)


def run(config, content=CONTENT, style=FIRST, **options):
    return stylize(content, style, config, weights=random_filters(config.network), **options)


def goal_of(config, content=CONTENT, style=(FIRST,)):
    """The objective at the full size."""
    weights = random_filters(config.network)
    return goal_by(vgg.network(weights), prepare(content, style, config, weights=weights))


def term(goal, name):
    """One of the terms of an objective."""
    (found,) = (one for _, one in goal.terms if one.name == name)
    return found


def wanted(goal, tap):
    """The Gram matrix that an objective wants of a style layer, at the full size."""
    return term(goal, "style").targets[0][tap].gram


def given_by(config, content=CONTENT, style=(FIRST,)):
    return prepare(content, style, config, weights=random_filters(config.network)).pictures.masks


# ---------------------------------------------------------------- guided Gram matrices


def test_a_guide_of_ones_changes_no_gram_matrix_and_a_hard_half_gives_that_of_the_half():
    responses = jnp.asarray(np.random.default_rng(0).uniform(size=(6, 8, 5)).astype("f4"))
    guides = np.zeros((3, 6, 8), "f4")
    guides[0], guides[1, :, :4], guides[2, 2:, :3] = 1, 1, 0.3  # a guide's height does not count
    found = formulas.guided_gram(responses, jnp.asarray(guides))
    for one, part in zip(found, (responses, responses[:, :4], responses[2:, :3]), strict=True):
        np.testing.assert_allclose(one, formulas.gram(part), rtol=1e-5)


def test_a_soft_guide_weighs_by_its_square():
    responses, guide = np.random.default_rng(1).uniform(size=(6, 8, 5)), np.random.default_rng(2).uniform(size=(6, 8))
    expected = np.einsum("hw,hwi,hwj->ij", guide**2, responses, responses) / np.sum(guide**2)
    found = formulas.guided_gram(jnp.asarray(responses, jnp.float32), jnp.asarray(guide[None], jnp.float32))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


@pytest.mark.slow
def test_masks_of_all_white_leave_the_losses_as_they_are(config, save):
    white = save("white", np.ones((HEIGHT, WIDTH), "f4"))
    plain, masked = goal_of(config), goal_of(dataclasses.replace(config, content_mask=(white,)))
    image = jnp.asarray(smooth_picture(HEIGHT, WIDTH, 5))
    assert not term(plain, "content").guides and term(plain, "style").guides == ({},)
    assert term(plain, "style").regions is term(plain, "tv").visible is None
    assert set(term(masked, "style").guides[0]) == set(config.style_layers)
    for name, value in plain(image)[1].items():
        np.testing.assert_allclose(masked(image)[1][name], value, rtol=1e-5)


@pytest.mark.parametrize("network", ["tiny", "stand_in"])
def test_the_style_loss_is_that_of_each_region_by_its_share(network, config, save, request):
    """Against the definition in NumPy, on the responses; for layers that stand for wider ones, on the mapped ones."""
    network = request.getfixturevalue(network)
    config = dataclasses.replace(config, network=network, content_layers=("conv2_1",), style_layers=("conv2_1:0.7",))
    regions = np.zeros((2, HEIGHT, WIDTH), "f4")
    regions[0, :, :8], regions[1, :, 20:] = 1, 0.6
    paths = tuple(save(f"region{number}", region) for number, region in enumerate(regions))
    goal = goal_of(dataclasses.replace(config, content_mask=paths), style=(FIRST, SECOND))
    image = smooth_picture(HEIGHT, WIDTH, 5)
    net = vgg.network(random_filters(network))
    expected = 0.0
    for region, painting, level in zip(regions, (FIRST, SECOND), (1, 0.6), strict=True):
        response, target = (
            np.asarray(vgg.features(net, jnp.asarray(x), ["conv2_1"])["conv2_1"], np.float64)
            for x in (image, inputs.as_picture(painting, 30, enlarge=False).pixels)
        )
        guide = region.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean(axis=(1, 3))
        gram = np.einsum("hw,hwi,hwj->ij", guide**2, response, response) / np.sum(guide**2)
        target = np.einsum("hwi,hwj->ij", target, target) / np.prod(target.shape[:2])
        share = region.mean()
        assert share == pytest.approx(level * np.mean(region > 0), rel=1e-6)
        expected += 0.7 * share * np.sum((gram - target) ** 2) / np.sum(target**2)
    np.testing.assert_allclose(goal(jnp.asarray(image))[1]["style"], expected, rtol=1e-3)
    assert wanted(goal, "conv2_1").shape[0] == 2


def test_outside_its_region_the_style_changes_nothing(config, halves):
    """But as far as responses inside see."""
    goal = goal_of(dataclasses.replace(config, content_mask=halves[:1], style_layers=("conv1_1", "conv1_2")))
    gradient = jax.grad(lambda image: goal(image)[1]["style"])(jnp.asarray(CONTENT))
    assert np.abs(gradient[:, :16]).min() > 0
    assert np.abs(gradient[:, 18:]).max() == 0


# ---------------------------------------------------------------- whole runs


@pytest.mark.slow
def test_each_half_takes_the_statistics_of_its_own_style(save):
    """By ``slim``, the halves of the result taken for pictures of their own."""
    rows, columns = np.mgrid[:48, :64]
    red = np.stack([0.6 + 0.4 * np.sin(rows), 0.1 + 0 * rows, 0.1 + 0 * rows], axis=-1).astype("f4")
    blue = np.stack([0.1 + 0 * rows, 0.3 + 0 * rows, 0.5 + 0.5 * np.sin(columns / 2)], axis=-1).astype("f4")
    content = smooth_picture(48, 64, 0)
    left = np.repeat([[1.0] * 32 + [0.0] * 32], 48, axis=0)
    paths = save("left", left), save("right", 1 - left)
    config = simple_config(network="slim", size=64, steps=60, scales=1, content_mask=paths)
    result = stylize(content, [red, blue], config)
    net = vgg.network(choose_weights("slim", None))

    def style_loss(half, painting):
        goal = objective_of(net, None, [painting], simple_config(network="slim", content_layers=()))
        return float(goal(jnp.asarray(half))[1]["style"])

    for half, before, own, other in (
        (result.image[:, :32], content[:, :32], red, blue),
        (result.image[:, 32:], content[:, 32:], blue, red),
    ):
        assert style_loss(half, own) < 0.2 * style_loss(half, other)
        assert style_loss(half, own) < 0.2 * style_loss(before, own)


def test_without_a_mask_the_frame_of_the_region_is_left_to_its_content(config, halves):
    result = run(dataclasses.replace(config, content_mask=halves[:1], tv_weight=0.0, steps=15))
    changed = np.abs(result.image - CONTENT)
    assert changed[:, :12].mean() > 10 * changed[:, 22:].mean()


def test_colours_mean_what_grey_masks_mean(config, halves, save):
    coded = np.where(LEFT[..., None] > 0, (1.0, 0.1, 0.0), (0.0, 0.0, 0.9))  # near red, near blue
    coded[:4] = 0.5  # near none
    cut = [half * (np.arange(HEIGHT) >= 4)[:, None] for half in (LEFT, RIGHT)]
    greys = tuple(save(f"cut{number}", half) for number, half in enumerate(cut))
    by_grey = given_by(dataclasses.replace(config, content_mask=greys), style=(FIRST, SECOND))
    colours = {"content_mask": (save("coded", coded),), "mask_colors": ("red", "#0000ff")}
    by_colour = given_by(dataclasses.replace(config, **colours), style=(FIRST, SECOND))
    np.testing.assert_array_equal(by_colour.regions, by_grey.regions)
    assert by_grey.regions.sum() == WIDTH * (HEIGHT - 4)


def test_style_masks_say_what_of_a_painting_counts(config, save):
    """Against the Gram matrices of the part alone; at its border responses see more than the part."""
    painting = np.concatenate([smooth_picture(24, 16, 3), 1 - smooth_picture(24, 16, 3) / 4], axis=1)
    part = save("part", LEFT)
    plain = wanted(goal_of(config, style=(painting,)), "conv1_2")
    masked = wanted(goal_of(dataclasses.replace(config, style_mask=(part,)), style=(painting,)), "conv1_2")[0]
    alone = wanted(goal_of(config, style=(painting[:, :16],)), "conv1_2")
    assert jnp.linalg.norm(masked - alone) < 0.15 * jnp.linalg.norm(plain - alone)


def test_one_painting_may_have_a_part_for_each_region(config, halves):
    painting = smooth_picture(HEIGHT, WIDTH, 4)
    turned = given_by(dataclasses.replace(config, content_mask=halves, style_mask=halves[::-1]), style=(painting,))
    assert [part.shape for part in turned.parts] == [(2, 23, 30)]
    assert turned.parts[0][0, :, 20:].min() == turned.parts[0][1, :, :10].min() == 1
    goal = goal_of(dataclasses.replace(config, content_mask=halves), style=(painting,))  # without: all of it for each
    np.testing.assert_array_equal(*wanted(goal, "conv1_2"))


def test_colour_coded_style_masks(config, save):
    coded = np.where(LEFT[..., None] > 0, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    colours = {"content_mask": (save("coded", coded),), "mask_colors": ("red", "blue")}
    paintings = [np.array(CONTENT), np.array(1 - CONTENT)]
    one = given_by(dataclasses.replace(config, **colours, style_mask=(save("a", coded),)), style=paintings[:1])
    np.testing.assert_allclose(one.parts[0].mean(axis=(1, 2)), 0.5, atol=0.01)
    paths = save("a", coded), save("b", coded)
    both = given_by(dataclasses.replace(config, **colours, style_mask=paths), style=paintings)
    np.testing.assert_array_equal(np.concatenate(both.parts), one.parts[0])
    alone = [
        np.where((coded == coded[0, at]).all(-1, keepdims=True), coded, 1.0) for at in (0, -1)
    ]  # the rest is white
    paths = save("red alone", alone[0]), save("blue alone", alone[1])
    each = given_by(dataclasses.replace(config, **colours, style_mask=paths), style=paintings)
    np.testing.assert_array_equal(np.concatenate(each.parts), one.parts[0])


def test_where_regions_overlap_they_share(config, save, halves):
    white = save("white", np.ones((HEIGHT, WIDTH)))
    given = given_by(dataclasses.replace(config, content_mask=(white, halves[0])), style=(FIRST, SECOND))
    assert given.regions.sum(axis=0).max() == 1
    assert (given.regions[:, :, :16] == 0.5).all()
    assert (given.regions[0, :, 16:] == 1).all()


def test_a_texture_may_have_regions(config, halves):
    config = dataclasses.replace(config, content_layers=(), init="noise", content_mask=halves, size=16)
    painting = smooth_picture(HEIGHT, WIDTH, 4)
    given = given_by(config, content=None, style=(painting, SECOND[:, ::-1]))
    assert given.regions.shape == (2, 12, 16)
    assert np.isfinite(run(config, None, [painting, SECOND]).image).all()


# ---------------------------------------------------------------- frozen and transparent


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"init": "noise", "scales": 2, "coarse_steps": (4,)}, {"precision": "bfloat16", "optimizer": "adam"}],
    ids=["from noise, two scales", "bfloat16"],
)
def test_what_is_frozen_stays_as_the_photograph_has_it(config, halves, tmp_path, changes):
    config = dataclasses.replace(config, freeze=halves[1], **changes)
    seen = []
    result = run(config, on_progress=lambda progress: seen.append(progress.image()))
    report.save(tmp_path / "out.png", result)
    written = np.asarray(Image.open(tmp_path / "out.png"))
    np.testing.assert_array_equal(written[:, 16:], images.to_uint8(CONTENT[:, 16:]))
    assert np.abs(result.image[:, :16] - CONTENT[:, :16]).mean() > 0.01
    for image in seen:
        there = images.resize(CONTENT, *image.shape[:2])
        half = image.shape[1] // 2 + 1  # at a coarse scale the border is soft
        np.testing.assert_allclose(image[:, half:], there[:, half:], atol=1e-6)


def test_a_picture_that_tiles_keeps_what_is_frozen(config, halves, monkeypatch):
    """Though its seam is evened out in the end, which may change any pixel; the photograph itself tiles by then."""
    monkeypatch.setattr(pyramid, "seamless", lambda image: np.float32(0.9) * image)
    config = dataclasses.replace(config, freeze=halves[1], tileable=True, padding="wrap", steps=3)
    result, photograph = run(config), given_by(config).frozen[1]
    np.testing.assert_allclose(result.image[:, 16:], photograph[:, 16:], atol=1e-6)
    assert np.abs(result.image[:, :16] - photograph[:, :16]).mean() > 0.003


@pytest.mark.slow
def test_a_run_stopped_at_a_coarse_scale_keeps_what_is_frozen(config, halves):
    def stop(progress):
        raise Stop

    config = dataclasses.replace(config, freeze=halves[1], scales=2, init="noise")
    result = run(config, on_progress=stop)
    assert result.ended == "stopped"
    np.testing.assert_array_equal(result.image[:, 16:], CONTENT[:, 16:])


@pytest.mark.slow
def test_grey_blends(config, save):
    config = dataclasses.replace(config, steps=0)
    half = dataclasses.replace(config, freeze=save("grey", np.full((HEIGHT, WIDTH), 128 / 255)), init="noise")
    start, expected = run(dataclasses.replace(config, init="noise")).image, 128 / 255 * CONTENT
    np.testing.assert_allclose(run(half).image, expected + (1 - 128 / 255) * start, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_what_is_frozen_draws_nothing(config, halves, optimizer):
    """The rest is as without it, whatever is frozen: not one light and dark that stands beside black or white."""
    config = dataclasses.replace(config, optimizer=optimizer, scales=2, coarse_steps=(4,))
    free, held = run(config), run(dataclasses.replace(config, freeze=halves[1]))
    np.testing.assert_allclose(held.image[:, :16], free.image[:, :16], atol=1e-6)


@pytest.fixture
def cutouts(save):
    """The photograph with a transparent right third, whose hidden pixels are dark, then light; and its alpha."""
    alpha = np.ones((HEIGHT, WIDTH), "f4")
    alpha[:, 22:] = 0
    alpha[:, 21] = 0.5
    hidden = [np.where(alpha[..., None] > 0, CONTENT, value) for value in (0.0, 1.0)]
    return [save(f"cutout{number}", pixels, alpha) for number, pixels in enumerate(hidden)], alpha


@pytest.mark.slow
def test_what_is_transparent_neither_counts_nor_is_painted(config, cutouts):
    paths, alpha = cutouts
    first, second = (run(config, path) for path in paths)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.losses == second.losses
    there = images.load_image(paths[0]).pixels
    np.testing.assert_array_equal(first.image[:, 22:], there[:, 22:])
    np.testing.assert_allclose(first.alpha, alpha, atol=1 / 255)
    assert np.abs(first.image[:, :22] - there[:, :22]).min(axis=-1).mean() > 0.003


def test_hidden_pixels_of_a_picture_from_memory_count_as_little(config, cutouts):
    alpha = cutouts[1]
    pictures = [
        Picture(np.where(alpha[..., None] > 0, CONTENT, np.float32(value)), alpha, "array", "", (WIDTH, HEIGHT))
        for value in (0.0, 1.0)
    ]
    assert run(config, pictures[0]).losses == run(config, pictures[1]).losses


@pytest.mark.slow
def test_the_losses_of_the_visible_part_are_those_of_a_picture_of_it_alone(tiny, config, save):
    """Content and total variation; the last column sees beyond, so the pictures are flat there."""
    content, image = (smooth_picture(HEIGHT, WIDTH, seed) for seed in (0, 7))
    for picture in (content, image):
        picture[:, 12:] = 0.5
    alpha = np.repeat([[1.0] * 16 + [0.0] * 16], HEIGHT, axis=0).astype("f4")
    for loss in ("normalized", "gatys2015", "gatys2016"):
        options = dataclasses.replace(config, loss=loss, content_layers=("conv1_1",), padding="replicate")
        net = vgg.network(random_filters(tiny), padding="replicate")
        part = objective_of(net, content[:, :16], [FIRST], options)
        given = masks.load(options, from_memory(content, alpha), [from_memory(FIRST)], (HEIGHT, WIDTH))
        guided = objective_of(net, content, [FIRST], options, given)
        assert term(guided, "content").guides and term(guided, "tv").visible is not None
        found, expected = guided(jnp.asarray(image))[1], part(jnp.asarray(image[:, :16]))[1]
        for name in ("content", "tv"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-3)


def test_opaque_pictures_are_as_without_alpha(config, save):
    alpha = np.ones((HEIGHT, WIDTH), "f4")
    paths = save("with", CONTENT, alpha), save("without", CONTENT)
    assert given_by(config, paths[0]) is None
    assert run(config, paths[0]).image.tobytes() == run(config, paths[1]).image.tobytes()


def test_a_paintings_hidden_part_is_no_style(config, save):
    alpha = np.repeat([[1.0] * 16 + [0.0] * 16], HEIGHT, axis=0).astype("f4")
    target = wanted(goal_of(config, style=(save("cut", CONTENT, alpha),)), "conv1_1")[0]
    alone = wanted(goal_of(config, style=(CONTENT[:, :15],)), "conv1_1")  # one position less, at the border
    whole = wanted(goal_of(config, style=(CONTENT,)), "conv1_1")
    assert jnp.linalg.norm(target - alone) < 0.1 * jnp.linalg.norm(whole - alone)


def test_a_paintings_hidden_part_and_weight_0_set_no_limits_of_roughness(config, save):
    config = dataclasses.replace(config, tv_excess=1.0)
    alpha = np.repeat([[1.0] * 16 + [0.0] * 16], HEIGHT, axis=0).astype("f4")
    grain = np.random.default_rng(0).uniform(size=CONTENT.shape).astype("f4")
    whole, cut = (
        term(goal_of(config, style=(save(name, grain, hidden),)), "excess").limits
        for name, hidden in (("whole", None), ("cut", alpha))
    )
    np.testing.assert_allclose(cut, whole, rtol=0.1)
    blended = dataclasses.replace(config, style_blend=(1.0, 0.0))
    both = term(goal_of(blended, style=(save("grain", grain), FIRST)), "excess").limits
    np.testing.assert_allclose(both, whole, rtol=1e-5)


# ---------------------------------------------------------------- on the layers' grids


def test_a_region_is_carried_as_the_network_pools(tiny):
    plane = np.arange(7 * 6).reshape(7, 6).astype("f4") / 42
    carried = masks.carried(plane, tiny, "conv2_1")
    assert carried.shape == (3, 3)
    assert carried[1, 2] == pytest.approx(plane[2:4, 4:6].mean())
    assert masks.carried(plane, tiny, "conv1_2") is plane


def test_a_region_in_the_row_that_pooling_drops_is_not_lost(tiny):
    plane = np.zeros((7, 6), "f4")
    plane[6] = 1
    found = masks.guides([plane], tiny, ["conv1_1", "conv2_1", "pool2"])
    for guide in found.values():
        assert guide.max() == 1
        assert guide[0].sum(axis=1).argmax() == guide.shape[1] - 1


def test_a_painting_s_region_draws_back_unless_too_little_is_left():
    block = np.zeros((6, 6), "f4")
    block[:3, :4] = 1
    core = np.zeros((6, 6), "f4")
    core[:2, :3] = 1  # nothing to draw back from at the picture's own border
    np.testing.assert_array_equal(masks.withdrawn(block), core)
    dot = np.zeros((6, 6), "f4")
    dot[3, 3] = 1
    np.testing.assert_array_equal(masks.withdrawn(dot), dot)
    np.testing.assert_array_equal(masks.withdrawn(np.ones((2, 1), "f4")), np.ones((2, 1)))


def test_a_region_of_one_pixel_gives_finite_losses_and_gradients(config, save):
    dot = np.zeros((HEIGHT, WIDTH), "f4")
    dot[-1, -1] = 1
    goal = goal_of(dataclasses.replace(config, content_mask=(save("dot", dot),)))
    (value, _), slope = jax.value_and_grad(lambda x: goal(x), has_aux=True)(jnp.asarray(CONTENT))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_a_mask_of_another_size_keeps_white_white():
    plane = np.zeros((90, 120), "f4")
    plane[:, 60:] = 1
    smaller, larger = masks.mask_at(plane, 24, 32), masks.mask_at(plane, 180, 240)
    assert (smaller[:, 18:] == 1).all() and (smaller[:, :14] == 0).all()
    assert (larger[:, 122:] == 1).all() and (larger.max(), larger.min()) == (1, 0)


@pytest.mark.parametrize("option", ["content_mask", "style_mask", "freeze"])
def test_a_mask_that_is_perhaps_not_meant_so_is_a_note(config, save, tmp_path, option):
    """One of 0 and 1 instead of 0 and 255, and one of colours without --mask-colors."""
    coloured = tmp_path / "coloured.png"
    images.save_image(coloured, LEFT[..., None] * [1.0, 0, 0] + RIGHT[..., None] * [0, 0, 1.0])
    told = {save("dim", LEFT / 255): "its brightest value is 1 of 255", coloured: "it has colours, which count as grey"}
    for path, words in told.items():
        changes = {option: path if option == "freeze" else (path,)}
        made = prepare(CONTENT, (CONTENT,), dataclasses.replace(config, **changes), weights=random_filters("tiny"))
        assert any(words in note for note in notes_of(made.pictures)), notes_of(made.pictures)


def test_a_mask_is_read_no_finer_than_it_is_used(config, save, tmp_path, monkeypatch):
    """So that a large file takes no more memory than the picture asked for needs; a start image likewise."""
    sizes, away = [], np.abs(np.arange(WIDTH) - WIDTH / 2 + 0.5) > 1  # from the region's border
    load_image = images.load_image

    def watched(path, **options):
        picture = load_image(path, **options)
        sizes.append(picture.pixels.shape[:2])
        return picture

    monkeypatch.setattr(images, "load_image", watched)
    fine = save("fine", np.kron(LEFT, np.ones((10, 10))))
    coloured = tmp_path / "coloured.png"
    images.save_image(coloured, np.kron(LEFT[..., None] * [1.0, 0, 0], np.ones((10, 10, 1))))
    (region,) = given_by(dataclasses.replace(config, content_mask=(fine,))).regions
    np.testing.assert_allclose(region[:, away], LEFT[:, away], atol=0.02)
    options = {"content_mask": (coloured,), "mask_colors": ("red",), "init": str(fine)}
    (region,) = given_by(dataclasses.replace(config, **options)).regions
    np.testing.assert_allclose(region[:, away], LEFT[:, away], atol=0.02)
    assert sizes == [(masks.FINER * HEIGHT, masks.FINER * WIDTH)] * 3


# ---------------------------------------------------------------- with the rest


@pytest.mark.slow
def test_masks_are_among_the_inputs_told(config, halves, save):
    freeze = save("keep", np.eye(HEIGHT, WIDTH))
    options = {"content_mask": halves, "style_mask": halves, "freeze": freeze}
    painting = smooth_picture(HEIGHT, WIDTH, 4)
    told = report.report(run(dataclasses.replace(config, steps=0, **options), style=painting))
    told = json.loads(json.dumps(told))
    roles = [(entry["role"], entry["path"]) for entry in told["inputs"][2:]]
    left, right = map(str, halves)
    assert roles == [
        ("content mask", left), ("content mask", right), ("style mask", left), ("style mask", right),
        ("freeze", str(freeze)),
    ]  # fmt: skip
    assert all(len(entry["sha256"]) == 64 for entry in told["inputs"][2:])
    assert told["inputs"][2]["size"] == [WIDTH, HEIGHT]
    assert told["config"]["content_mask"] == [left, right]


def test_another_mask_compiles_nothing(config, halves):
    traced = []

    @jax.jit
    def total(goal, image):
        traced.append(1)
        return goal(image)[0]

    values = {
        float(total(goal_of(dataclasses.replace(config, content_mask=(path,))), jnp.asarray(CONTENT)))
        for path in halves
    }
    assert (len(values), len(traced)) == (2, 1)


@pytest.mark.slow
def test_lanes_of_a_sweep_share_the_masks(config, halves, save):
    """And give what the same options give alone."""
    bottom = np.zeros((HEIGHT, WIDTH), "f4")
    bottom[16:] = 1
    options = {"content_mask": halves, "freeze": save("bottom", bottom)}
    config = dataclasses.replace(config, optimizer="adam", **options)
    lanes = grid.grid(config, ["a", "b"], ratios=[0.1, 1.0]).lanes
    prepared = prepare_lanes(CONTENT, [FIRST, SECOND], lanes, weights=random_filters(config.network))
    batches = list(prepared.run(range(4), prepared.plan(4)))
    for index, found in batches[0]:
        lane = prepared.lanes[index]
        alone = run(lane.config, style=[FIRST, SECOND][lane.style])
        assert found.losses == pytest.approx(alone.losses, rel=1e-3)
        assert [entry["role"] for entry in found.inputs] == [entry["role"] for entry in alone.inputs]
        np.testing.assert_array_equal(found.image[16:], CONTENT[16:])
    assert len(folder.identity(prepared)["masks"]) == 2 * len(alone.inputs[2:])


def test_a_transparent_painting_among_opaque_ones_in_a_sweep(config, save):
    cut = save("cut", CONTENT, LEFT)
    lanes = grid.grid(dataclasses.replace(config, optimizer="adam"), ["a", "b"]).lanes
    prepared = prepare_lanes(CONTENT, [FIRST, cut], lanes, weights=random_filters(config.network))
    (batch,) = prepared.run(range(2), prepared.plan(2))
    for (_, found), style in zip(batch, [FIRST, cut], strict=True):
        assert found.losses == pytest.approx(run(prepared.lanes[0].config, style=style).losses, rel=1e-3)


def test_regions_are_counted_in_the_memory(config, halves):
    machine, weights = dataclasses.replace(here(), free=2**40), random_filters("tiny")
    plans = [
        prepare(CONTENT, style, dataclasses.replace(config, content_mask=paths), weights=weights, machine=machine).plan
        for style, paths in (([FIRST], ()), ([FIRST], halves[:1]), ([FIRST, SECOND], halves))
    ]
    assert plans[0].needed == plans[1].needed < plans[2].needed
    plain = Footprint("slim", ("conv2_1",), ((96, 128),), pairs=0)
    guided = dataclasses.replace(plain, guided=("conv2_1",), regions=3)
    few, many = map(memory.lane_bytes, (plain, guided))
    assert many - few == pytest.approx(4 * (2 * memory.GUIDED_COPIES * 48 * 64 * 32 + 3 * 2 * 32**2), rel=1e-6)


def test_the_command_takes_masks_and_does_not_write_over_them(config, save, halves, tmp_path, monkeypatch, capsys):
    content, style = save("content", CONTENT), save("style", FIRST)
    monkeypatch.setattr("nst_jax.runs.plan.choose_weights", lambda *_: random_filters("tiny"))
    asked = [
        "--content", content, "--style", style, "--network", "vgg19", "--size", "32", "--steps", "2", "--scales", "1",
        "--content-layers", "conv2_1", "--style-layers", "conv1_1", "--content-mask", halves[0], "--no-cache",
    ]  # fmt: skip
    asked = list(map(str, asked))
    assert door.main([*asked, "--output", str(halves[0])]) == 2
    assert f"--output is {halves[0]}, an input of this run" in capsys.readouterr().err
    assert door.main([*asked, "--output", str(tmp_path / "out.png"), "--freeze", str(halves[1])]) == 0
    written = np.asarray(Image.open(tmp_path / "out.png"))
    np.testing.assert_array_equal(written[:, 16:], images.to_uint8(CONTENT)[:, 16:])


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "styles", "message"),
    [
        ({"content_mask": ["left", "right"]}, 3, "2 regions of the content and 3 style pictures: give 2 of"),
        ({"content_mask": ["left", "right"], "style_mask": ["left"]}, 1, "1 --style-mask for 1 style pictures and 2"),
        ({"style_mask": ["left", "right"]}, 1, "2 --style-mask for 1 style pictures and no regions .*: give 1"),
        ({"content_mask": ["black"]}, 1, r"black.png has no white, so that nothing is inside: draw the region"),
        ({"style_mask": ["black"]}, 1, "black.png has no white"),
        ({"freeze": "black"}, 1, "black.png has no white"),
        ({"freeze": "white"}, 1, "nothing is left to paint"),
        ({"freeze": "left", "content_mask": ["left", "right"]}, 2, "nothing is left to paint of region 1: all of it"),
        ({"content_mask": ["tall"]}, 1, r"tall.png is 24 x 32 pixels and array, which it masks, 32 x 24: give a mask"),
        ({"content_mask": ["missing"]}, 1, "missing.png does not exist"),
        ({"content_mask": ["left"], "mask_colors": ["rouge"]}, 1, "--mask-colors has 'rouge': write a name such as"),
        ({"content_mask": ["left"], "mask_colors": ["white", "red"]}, 2, "left.png has no pixel near red"),
        ({"mask_colors": ["red"]}, 1, "--mask-colors with 0 --content-mask: give one picture that has those colours"),
    ],
)  # fmt: skip
def test_mistakes(config, save, tmp_path, options, styles, message):
    painting = smooth_picture(HEIGHT, WIDTH, 4)
    for name, mask in {
        "left": LEFT, "right": RIGHT, "black": 0 * LEFT, "white": 1 + 0 * LEFT, "tall": LEFT.T,
    }.items():  # fmt: skip
        save(name, mask)

    def named(value):
        return tuple(tmp_path / f"{name}.png" for name in value)

    given = {
        name: value if name == "mask_colors" else named(value) if isinstance(value, list) else named([value])[0]
        for name, value in options.items()
    }
    with pytest.raises(NSTError, match=message) as told:
        given_by(dataclasses.replace(config, **given), style=[painting] * styles)
    assert "\n" not in str(told.value)


def test_nothing_is_frozen_without_a_photograph(config, halves):
    config = dataclasses.replace(config, content_layers=(), init="noise", freeze=halves[0])
    with pytest.raises(NSTError, match="--freeze keeps pixels of the content, and there is no content picture"):
        given_by(config, content=None)


def test_a_painting_that_is_masked_to_what_is_transparent(config, save, halves):
    config = dataclasses.replace(config, style_mask=halves[:1], style_size=WIDTH)
    with pytest.raises(NSTError, match=r"nothing is left of .*cut.png: its masks take only what is transparent"):
        given_by(config, style=[save("cut", CONTENT, RIGHT)])
