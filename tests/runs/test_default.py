"""What one gets by default, with few layers, steps and pixels: alone, with each feature, and in a sweep."""

import numpy as np
import pytest
from support import random_filters, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.options.config import Config
from nst_jax.pictures import colors, images
from nst_jax.runs import scales
from nst_jax.runs.plan import prepare
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps import grid
from nst_jax.sweeps.lanes import prepare_lanes

CONTENT, STYLE, OTHER = smooth_picture(34, 48, 0), smooth_picture(52, 40, 1) ** 2, smooth_picture(36, 48, 2) ** 0.5


@pytest.fixture
def options(tiny):
    """Makes options of the default preset, but for what is quick, with changes."""

    def options(**changes):
        quick = {
            "network": tiny, "size": 48, "scales": 1, "steps": 3, "history": 3,
            "content_layers": ("conv2_1",), "style_layers": ("conv1_1", "pool2"), "precision": "float32",
        }  # fmt: skip
        return Config(**quick | changes)

    return options


def run(config, content=CONTENT, style=STYLE):
    return stylize(content, style, config, weights=random_filters(config.network))


def test_a_run_is_toned_and_goes_through_sizes_and_names_every_term(options):
    config = options(scales=2, coarse_steps=(2,))
    ready = prepare(CONTENT, STYLE, config, weights=random_filters(config.network))
    assert ready.sizes == [(24, 34), (34, 48)]
    made = run(config)
    assert np.isfinite(made.image).all() and made.image.shape == CONTENT.shape
    assert set(made.losses) == {"content", "style", "tv", "excess", "total"}
    assert {row["size"] for row in made.trace} == {34, 48}
    before, after = (np.abs(each.mean((0, 1)) - STYLE.mean((0, 1))).max() for each in (CONTENT, made.image))
    assert after < 0.5 * before  # the painting's colours
    assert set(run(options(tv_excess=0.0, steps=0)).losses) == {"content", "style", "tv", "total"}


@pytest.mark.parametrize(("network", "factor"), [("vgg19", 2**0.5), ("slim", 2)])
@pytest.mark.parametrize("size", [64, 100, 200, 512])
def test_the_sizes_go_up_evenly_from_128_pixels_or_half_of_a_small_picture(network, factor, size):
    sizes = scales.scale_sizes((3 * size // 4, size), Config(size=size).for_network(network))
    longest = [max(each) for each in sizes]
    assert longest == [round(size / factor**step) for step in reversed(range(len(longest)))]
    least = min(128, max(64, size // 2))
    assert least <= longest[0] < least * factor


@pytest.mark.parametrize(
    ("changes", "content", "style", "message"),
    [
        ({"content_layers": ()}, None, STYLE, "there is no content picture: give one, or --init noise"),
        ({"style_layers": ()}, CONTENT, [], "there is no style picture: give one, or --init content"),
    ],
)
def test_what_lacks_a_picture_says_which_start_there_is(options, changes, content, style, message):
    with pytest.raises(NSTError, match=message):
        run(options(**changes), content, style)
    made = run(options(**changes, init=message.split()[-1]), content, style)
    assert np.isfinite(made.image).all() and made.losses["total"] < made.trace[0]["total"]


@pytest.mark.slow
def test_colours_can_be_kept(options):
    """Light and dark alone are painted; or the painting has the photograph's colours first."""
    kept = run(options(keep_colors="luminance")).image
    inside = (kept > 0.01).all(-1) & (kept < 0.99).all(-1)  # where nothing was clipped
    chroma, own = (each - colors.luminance(each)[..., None] for each in (kept, CONTENT))
    assert inside.mean() > 0.5
    np.testing.assert_allclose(chroma[inside], own[inside], atol=1e-4)
    matched = run(options(keep_colors="pca")).image
    assert np.abs(matched.mean((0, 1)) - CONTENT.mean((0, 1))).max() < 0.1


@pytest.mark.slow
def test_regions_have_their_paintings_and_what_is_frozen_stays(options, tmp_path):
    left = np.zeros((34, 48, 3), np.float32)
    left[:, :24] = 1
    images.save_image(tmp_path / "left.png", left)
    images.save_image(tmp_path / "right.png", 1 - left)
    both = run(options(content_mask=(tmp_path / "left.png", tmp_path / "right.png")), style=[STYLE, OTHER]).image
    halves, paintings = (both[:, :24], both[:, 24:]), (STYLE, OTHER)
    for half, own, other in zip(halves, paintings, paintings[::-1], strict=True):
        far = [np.abs(half.mean((0, 1)) - painting.mean((0, 1))).max() for painting in (own, other)]
        assert far[0] < far[1]
    frozen = run(options(freeze=tmp_path / "left.png")).image
    np.testing.assert_allclose(frozen[:, :23], CONTENT[:, :23], atol=1e-6)
    assert np.abs(frozen[:, 25:] - CONTENT[:, 25:]).mean() > 0.02


@pytest.mark.slow
def test_a_tile_has_no_seam(options):
    image = run(options(tileable=True)).image
    for axis in (0, 1):
        seam = np.abs(image.take(0, axis) - image.take(-1, axis)).mean()
        assert seam <= np.abs(np.diff(image, axis=axis)).mean()


@pytest.mark.slow
@pytest.mark.parametrize("axis", [{"strengths": (0.0, 1.0)}, {"ratios": (0.001, 0.1)}])
def test_lanes_are_the_runs_alone(options, axis):
    config = options(optimizer="adam")
    lanes = grid.grid(config, ["a", "b"], **axis).lanes
    prepared = prepare_lanes(CONTENT, [STYLE, OTHER], lanes, weights=random_filters(config.network))
    [batch] = prepared.run(range(4), prepared.plan(4))
    for index, result in batch:
        lane = prepared.lanes[index]
        alone = run(lane.config, style=[STYLE, OTHER][lane.style])
        np.testing.assert_allclose(result.image, alone.image, atol=2e-3)
        assert set(result.losses) == set(alone.losses) and "excess" in alone.losses
    assert len({result.image.tobytes() for _, result in batch}) == 4
