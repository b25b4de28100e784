"""Further terms of the objective, each a class of a few lines: in a run, in a lane, in the plan of the memory."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import compiled_by, random_filters, simple_config, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.losses.terms import Seen
from nst_jax.networks.vgg import once, responses
from nst_jax.options.config import Config
from nst_jax.runs import report
from nst_jax.runs.goals import Extra
from nst_jax.runs.plan import prepare
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps import grid
from nst_jax.sweeps.lanes import prepare_lanes

CONTENT, STYLE, OTHER = smooth_picture(20, 24, 0), smooth_picture(24, 18, 1), smooth_picture(22, 24, 2)
RED = (0.9, 0.1, 0.2)


@flax.struct.dataclass
class MeanColor:
    """How far the picture's mean colour is from one that is wanted."""

    wanted: jax.Array
    name: ClassVar[str] = "color"
    taps: ClassVar[Sequence[tuple[str, ...]]] = ()

    def statistics(self, seen):
        return seen[0].image.sum((0, 1)), jnp.float32(seen[0].image[..., 0].size)

    def value(self, sums):
        return jnp.sum(jnp.square(sums[0] / sums[1] - self.wanted))


@flax.struct.dataclass
class Level:
    """How far the mean of all values is from one, a plain number; under the name of another term, if not replaced."""

    wanted: float
    name: str = flax.struct.field(pytree_node=False, default="style")
    taps: ClassVar[Sequence[tuple[str, ...]]] = ()

    def statistics(self, seen):
        return seen[0].image.sum(), jnp.float32(seen[0].image.size)

    def value(self, sums):
        return jnp.square(sums[0] / sums[1] - self.wanted)


@flax.struct.dataclass
class Loudness:
    """How far the mean response at a layer is from a painting's, also in the picture halved."""

    wanted: jax.Array
    layer: str = flax.struct.field(pytree_node=False)
    name: ClassVar[str] = "loudness"

    @property
    def taps(self):
        return (self.layer,), (self.layer,)

    def statistics(self, seen):
        return [(each.responses[self.layer].sum(), jnp.float32(each.responses[self.layer].size)) for each in seen[:2]]

    def value(self, sums):
        return sum(jnp.square(total / count / self.wanted - 1) for total, count in sums)


def color(weight=20.0, wanted=RED):
    return Extra(weight, lambda scene: MeanColor(jnp.asarray(wanted)))


def level(weight=2.0, wanted=0.3):
    return Extra(weight, lambda scene: Level(wanted, "level"))


def loudness(weight=3.0, layer="pool2"):
    """Of ``layer``, deeper than what the other terms look at; half as loud as the first painting."""

    def make(scene):
        response = responses(once(scene.network), scene.paintings[0], [layer])[layer]
        return Loudness(jnp.mean(response) / 2, layer)

    return Extra(weight, make, (layer,))


@pytest.fixture
def config(tiny):
    return simple_config(
        network=tiny, size=24, steps=10, scales=1, history=4, style_weight=5.0, tv_weight=0.5,
        content_layers=("conv1_2",), style_layers=("conv1_1", "conv1_2"),
    )  # fmt: skip


def run(config, more=(), **options):
    return stylize(CONTENT, STYLE, config, weights=random_filters(config.network), more=more, **options)


# ---------------------------------------------------------------- in a run


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"optimizer": "adam", "steps": 30}, {"scales": 2, "coarse_steps": (4,)}])
def test_its_value_falls_and_is_told(config, changes):
    config, seen = dataclasses.replace(config, **changes), []
    result = run(config, [color(), loudness()], on_progress=lambda progress: seen.append(progress.terms))
    names = {"content", "style", "tv", "color", "loudness"}
    for told in (result.losses, seen[0], *({**row} for row in result.trace)):
        assert set(told) - {"step", "seconds", "size"} == {*names, "total"}
    weights = {"content": 1.0, "style": 5.0, "tv": 0.5, "color": 20.0, "loudness": 3.0}
    expected = sum(weights[name] * result.losses[name] for name in names)
    assert result.losses["total"] == pytest.approx(expected, rel=1e-5)
    for name in ("color", "loudness"):
        assert result.losses[name] < 0.5 * result.trace[0][name]
    mean = result.image.mean((0, 1))
    assert result.losses["color"] == pytest.approx(np.sum((mean - RED) ** 2), rel=1e-3)
    plain = run(config)
    assert not {"color", "loudness"} & {*plain.losses, *plain.trace[0]}
    assert np.sum((plain.image.mean((0, 1)) - RED) ** 2) > 2 * result.losses["color"]


def test_it_is_the_seen_image_whose_colour_counts(config):
    """Against NumPy, at the start: what a term sees is the image and the network's responses to it."""
    result = run(dataclasses.replace(config, steps=0), [color()])
    assert result.losses["color"] == pytest.approx(np.sum((CONTENT.mean((0, 1)) - RED) ** 2), rel=1e-5)


def test_its_statistics_add_up_over_positions():
    term, image = MeanColor(jnp.asarray(RED)), jnp.asarray(CONTENT)
    whole, *halves = (term.statistics([Seen(part, {})]) for part in (image, image[:, :9], image[:, 9:]))
    added = jax.tree.map(jnp.add, *halves)
    np.testing.assert_allclose(term.value(added), term.value(whole), rtol=1e-5)


def test_other_numbers_of_it_compile_nothing(config):
    run(config, [color()])
    assert compiled_by(lambda: run(config, [color(7.0, (0.1, 0.9, 0.4))])) == 0


def test_its_layer_is_in_use_like_those_of_content_and_style(config):
    """No size is too small for it, and where the result tiles no pooling on the way to it drops a row."""
    config, weights, deeper = dataclasses.replace(config, scales=3), random_filters(config.network), [loudness()]

    def sizes(more, **changes):
        asked = dataclasses.replace(config, **changes)
        (own,) = {
            tuple(prepare(CONTENT, STYLE, asked, weights=weights, more=more).sizes),
            tuple(prepare_lanes(CONTENT, [STYLE], [grid.Lane(asked)], weights=weights, more=more).sizes),
        }
        return own

    assert sizes([]) == ((5, 6), (10, 12), (20, 24))
    assert sizes(deeper) == ((10, 12), (20, 24))
    assert sizes([], size=22, tileable=True)[-1] == (18, 22)
    assert sizes(deeper, size=22, tileable=True)[-1] == (20, 24)
    small = dataclasses.replace(config, size=4)
    assert run(dataclasses.replace(small, steps=0), [color()]).image.shape == (3, 4, 3)
    with pytest.raises(NSTError, match="is 4 x 3 pixels at this size; the layers in use need 4 on the shorter side"):
        run(small, deeper)


def test_it_is_no_option(config):
    """A report has the options that a run can be made again with, and its terms' names."""
    told = report.report(run(dataclasses.replace(config, steps=0), [loudness()]))
    assert set(told["config"]) == {field.name for field in dataclasses.fields(Config)}
    assert told["losses"]["loudness"] > 0


def test_a_name_that_is_taken(config):
    for more, name in (([color(), color()], "color"), ([Extra(1.0, lambda scene: Level(0.5), ())], "style")):
        with pytest.raises(NSTError, match=f"two terms are called '{name}': give each term a name of its own"):
            run(config, more)


# ---------------------------------------------------------------- in a lane


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "tolerance"), [({"steps": 6}, 0.01), ({"optimizer": "adam"}, 1e-3)])
def test_a_lane_is_the_same_run_alone(config, changes, tolerance):
    config, more = dataclasses.replace(config, **changes), [color(), loudness(), level()]
    lanes = grid.grid(config, ["a", "b"], ratios=[0.1, 1.0]).lanes
    weights = random_filters(config.network)
    prepared = prepare_lanes(CONTENT, [STYLE, OTHER], lanes, weights=weights, more=more)
    [batch] = prepared.run(range(4), prepared.plan(4))
    for lane, (_, result) in zip(prepared.lanes, batch, strict=True):
        alone = stylize(CONTENT, [STYLE, OTHER][lane.style], lane.config, weights=weights, more=more)
        assert result.losses == {name: pytest.approx(value, rel=tolerance) for name, value in alone.losses.items()}
        assert [row["color"] for row in result.trace] == [
            pytest.approx(row["color"], rel=tolerance) for row in alone.trace
        ]


# ---------------------------------------------------------------- in the plan of the memory


def test_a_deeper_layer_makes_the_plan_larger(config):
    """By what that layer, and all on the way to it, takes; a term that looks at no layer takes nothing."""
    weights = random_filters(config.network)
    lanes = grid.grid(config, ratios=[0.1, 1.0]).lanes
    plain, colored, deeper = (
        (
            prepare(CONTENT, STYLE, config, weights=weights, more=more).plan.needed,
            prepare_lanes(CONTENT, [STYLE], lanes, weights=weights, more=more).lane_bytes(),
        )
        for more in ([], [color()], [color(), loudness()])
    )
    assert plain == colored
    assert all(more > less for less, more in zip(plain, deeper, strict=True))
    same = dataclasses.replace(config, content_layers=("conv1_2", "pool2"))  # as if another term looked there
    assert prepare(CONTENT, STYLE, same, weights=weights).plan.needed == deeper[0]


def test_a_layer_that_is_not_there(config):
    with pytest.raises(NSTError, match="unknown layer 'conv9_1': the layers of tiny are conv1_1"):
        run(config, [loudness(layer="conv9_1")])


def test_a_layer_that_is_not_named_is_refused(config):
    with pytest.raises(NSTError, match=r"the term loudness looks at pool2: name that in Extra\(..., taps=...\)"):
        run(config, [loudness()._replace(taps=())])
