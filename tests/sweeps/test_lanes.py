"""Sweeps: every lane is the run that it stands for, in one program, on one device or several, in one batch or more."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import compiled_by, random_filters, simple_config, smooth_picture

from nst_jax.cli import sweep as door
from nst_jax.cli.sweep import of_preset
from nst_jax.errors import NSTError
from nst_jax.networks import vgg, weights_file
from nst_jax.optim import minimise
from nst_jax.optim.steps import Method
from nst_jax.options.presets import preset
from nst_jax.pictures import images
from nst_jax.runs import machine, memory
from nst_jax.runs.goals import Goals
from nst_jax.runs.plan import prepare
from nst_jax.runs.progress import Stop
from nst_jax.runs.start import start_image
from nst_jax.runs.stylize import stylize
from nst_jax.sweeps import folder as gallery
from nst_jax.sweeps import grid
from nst_jax.sweeps import lanes as sweep

CONTENT, STYLE, OTHER = smooth_picture(20, 24, 0), smooth_picture(24, 18, 1), smooth_picture(22, 24, 2)


@pytest.fixture
def config(tiny):
    return simple_config(
        network=tiny, size=24, steps=12, scales=1, history=4, style_weight=5.0, init="noise",
        tv_weight=0.0,
        content_layers=("conv2_1",), style_layers=("conv1_1", "conv1_2", "pool2"),
    )  # fmt: skip


@pytest.fixture
def filters(tiny):
    return random_filters(tiny)


def run(prepared, at_once=0, **options):
    """All results of a sweep, in order."""
    plan = prepared.plan(len(prepared.lanes), at_once)
    batches = list(prepared.run(range(len(prepared.lanes)), plan, **options))
    assert [index for batch in batches for index, _ in batch] == list(range(len(prepared.lanes)))
    return [result for batch in batches for _, result in batch]


def small_grid(config):
    return grid.grid(
        config,
        ["a", "b"],
        style_layer_sets=grid.cumulative(config.style_layers)[::2],
        seeds=[3, 4],
        ratios=[0.01, 1.0],
    )


# ---------------------------------------------------------------- lanes and single runs


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({"optimizer": "lbfgs", "steps": 8}, 0.01),
        ({"optimizer": "adam"}, 0.001),
        ({"optimizer": "lbfgs", "scales": 2, "coarse_steps": (6,), "steps": 8, "init": "content"}, 0.01),
        ({"optimizer": "adam", "scales": 2, "coarse_steps": (6,), "steps": 8, "loss": "gatys2015"}, 0.001),
    ],
    ids=["lbfgs", "adam", "lbfgs, two scales", "adam, two scales, 2015"],
)
def test_each_lane_equals_the_same_run_alone(config, filters, changes, tolerance):
    """In so few steps that L-BFGS does not blow up the last bits; after 30, runs alone whose starts differ in the last
    bits are up to 4 % apart (docs/sweep.md)."""
    config = dataclasses.replace(config, **changes)
    sets = grid.cumulative(config.style_layers)[::2] if config.scales == 1 else None  # each compiled alone
    seeds = [3, 4] if config.init == "noise" else None
    lanes = grid.grid(config, ["a", "b"], style_layer_sets=sets, seeds=seeds, ratios=[0.01, 1.0]).lanes
    prepared = sweep.prepare_lanes(CONTENT, [STYLE, OTHER], lanes, weights=filters)
    assert len(prepared.sizes) == config.scales
    for lane, result in zip(prepared.lanes, run(prepared), strict=True):
        alone = stylize(CONTENT, [STYLE, OTHER][lane.style], lane.config, weights=filters)
        assert result.losses["total"] == pytest.approx(alone.losses["total"], rel=tolerance)
        assert result.config == alone.config
        assert (result.steps, result.evaluations, result.ended) == (alone.steps, alone.evaluations, "")
        assert [(row["step"], row["size"]) for row in result.trace] == [
            (row["step"], row["size"]) for row in alone.trace
        ]
        assert [row["total"] for row in result.trace] == [
            pytest.approx(row["total"], rel=tolerance) for row in alone.trace
        ]
        assert result.trace[0]["total"] == pytest.approx(alone.trace[0]["total"], rel=1e-4)
        assert result.inputs == alone.inputs


@pytest.mark.slow
def test_losses_are_told_in_float32(config, filters):
    """Of steps in bfloat16 as well, where several paintings have targets of their own; one step leaves the start."""
    config = dataclasses.replace(config, precision="bfloat16", steps=1, init="content")
    lanes = grid.grid(config, ["a", "b"]).lanes
    results = run(sweep.prepare_lanes(CONTENT, [STYLE, OTHER], lanes, weights=filters))
    for style, result in zip([STYLE, OTHER], results, strict=True):
        alone = stylize(CONTENT, style, config, weights=filters)
        assert result.losses == {name: pytest.approx(value, rel=1e-5) for name, value in alone.losses.items()}


def test_lanes_differ(config, filters):
    """The lanes are not copies of one another, and their pictures follow their settings."""
    results = run(sweep.prepare_lanes(CONTENT, [STYLE, OTHER], small_grid(config).lanes, weights=filters))
    assert len({result.image.tobytes() for result in results}) == len(results) == 16
    for small, large in zip(results[::2], results[1::2], strict=True):  # ratios 0.01 and 1
        assert large.losses["content"] < small.losses["content"]


@pytest.mark.slow
def test_lanes_may_differ_in_all_that_varies(config, filters):
    """Content layers, starts and weights as well, also where a lane has no content or no style layer."""
    changes = [
        {"content_layers": ("conv1_2",), "init": "content"},
        {"content_layers": (), "tv_weight": 0.5},
        {"style_layers": (), "style_weight": 0.0},
        {"init": "style", "style_layers": ("conv1_1:2", "conv1_2:0.5")},
    ]
    lanes = [grid.Lane(dataclasses.replace(config, optimizer="adam", steps=8, **change)) for change in changes]
    prepared = sweep.prepare_lanes(CONTENT, [STYLE], lanes, weights=filters)
    for lane, result in zip(prepared.lanes, run(prepared), strict=True):
        alone = stylize(CONTENT, STYLE, lane.config, weights=filters)
        assert result.losses == {name: pytest.approx(value, rel=1e-3) for name, value in alone.losses.items()}


@pytest.mark.slow
def test_a_lane_has_for_itself_what_differs_between_lanes_and_shares_the_rest(config, filters):
    """Numbers, and what comes from the paintings; each lane lowers what its own options and painting ask for."""
    config = dataclasses.replace(config, pixel_range="bounded")
    prepared = sweep.prepare_lanes(CONTENT, [STYLE, OTHER], small_grid(config).lanes, weights=filters)
    found, union = prepared.found, prepared.union
    goals = Goals(
        vgg.network(filters), found.photograph, found.paintings, (20, 24), union, found.masks, toned=prepared.toned
    )
    styles = [goals.objective(union, style) for style in (0, 1)]
    each = [goals.objective(*lane) for lane in prepared.lanes]
    own = sweep.own_leaves(each, styles)
    paths, _ = jax.tree_util.tree_flatten_with_path(styles[0].terms)
    names = [styles[0].terms[path[0].idx][1].name for path, _ in paths]
    assert [name for position, name in enumerate(names) if position not in own] == ["content"]  # its target
    stacked = [leaf for leaf in own.values() if leaf.ndim > 1]
    assert [leaf.shape for leaf in stacked] == [(16, size, size) for size in (4, 6, 5)]  # Gram matrices
    assert all(leaf.shape[0] == 16 for leaf in own.values())
    assert sweep.own_leaves(each[:3], styles).keys() == own.keys()  # every batch is the same program
    image, loss = jnp.asarray(smooth_picture(20, 24, 7)), jax.jit(sweep.loss_of_lane)
    for lane in (0, 5, 15):
        mine = {position: leaf[lane] for position, leaf in own.items()}
        expected = {name: pytest.approx(float(value), rel=1e-5) for name, value in each[lane](image)[1].items()}
        assert loss((styles[0], mine), image)[1] == expected


@pytest.mark.slow
def test_everything_is_compiled_once(config, filters):
    """Another sweep of as many lanes, of the same shapes, compiles nothing; one of another optimiser does."""
    found = []

    def sweep_of(content, styles, **changes):
        lanes = small_grid(dataclasses.replace(config, **changes)).lanes
        found.append(run(sweep.prepare_lanes(content, styles, lanes, weights=filters))[0])

    sweep_of(CONTENT, [STYLE, OTHER])
    others = [smooth_picture(*picture.shape[:2], seed) for seed, picture in enumerate((CONTENT, STYLE, OTHER), 5)]
    assert compiled_by(lambda: sweep_of(others[0], others[1:], style_weight=3.0)) == 0
    assert compiled_by(lambda: sweep_of(CONTENT, [STYLE, OTHER], history=5)) > 0
    assert found[1].seconds["compile"] == 0 < found[2].seconds["compile"]
    assert found[1].losses["total"] > 0


def test_one_program_for_all_lanes(config, filters):
    traces, loss_of_lane = [], sweep.loss_of_lane

    def counted(argument, image):
        traces.append(1)
        return loss_of_lane(argument, image)

    config = dataclasses.replace(config, optimizer="adam", steps=4)
    prepared = sweep.prepare_lanes(CONTENT, [STYLE, OTHER], small_grid(config).lanes, weights=filters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "loss_of_lane", counted)
        run(prepared, at_once=4)
    assert len(traces) == 1


def test_one_evaluation_a_step(config, filters):
    results = run(sweep.prepare_lanes(CONTENT, [STYLE, OTHER], small_grid(config).lanes, weights=filters))
    assert {result.evaluations for result in results} == {config.steps + 1}


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 3, 5])
def test_batches_give_the_same_as_one(config, filters, at_once):
    config = dataclasses.replace(config, optimizer="adam", steps=10)
    lanes = grid.grid(config, ["a"], seeds=[0, 1, 2, 3, 4, 5, 6]).lanes
    prepared = sweep.prepare_lanes(CONTENT, [STYLE], lanes, weights=filters)
    seen = []
    whole, parts = run(prepared), run(prepared, at_once, on_progress=seen.append)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.image, other.image, atol=1e-3)
        assert one.losses["total"] == pytest.approx(other.losses["total"], rel=1e-4)
    batches = -(-7 // at_once)
    assert [(progress.step, progress.steps) for progress in seen] == [
        (step, 10 * batches) for step in range(1, 10 * batches + 1)
    ]


@pytest.mark.parametrize(
    ("lanes", "at_once", "devices", "expected"),
    [
        (20, 100, 1, 20),
        (20, 8, 1, 7),
        (20, 1, 1, 1),
        (20, 100, 8, 24),
        (5, 2, 4, 4),
        (1, 9, 1, 1),
        (7, 6, 2, 4),
        (0, 5, 1, 1),
    ],
)
def test_batch_size(lanes, at_once, devices, expected):
    assert sweep.batch_size(lanes, at_once, devices) == expected


def test_the_plan_follows_the_memory(config, filters):
    def prepared(free):
        here = dataclasses.replace(machine.here(), free=free)
        return sweep.prepare_lanes(CONTENT, [STYLE, OTHER], small_grid(config).lanes, weights=filters, machine=here)

    each = prepared(0).lane_bytes()
    free = int(5.2 * each / memory.USABLE)
    assert prepared(free).plan(16) == (4, machine.here().devices, each, free)  # four batches, of equal size
    assert prepared(0).plan(16).batch == 1
    assert prepared(0).plan(16, at_once=8).batch == 8


ACCOUNT = """
import jax, jax.numpy as jnp, numpy as np
from nst_jax.sweeps import grid
from nst_jax.optim import steps as methods
from nst_jax.networks import vgg
from nst_jax.optim import minimise
from nst_jax.sweeps import lanes as sweep
from nst_jax.runs.goals import Goals
from nst_jax.options.config import Config

config = Config("nst_jax-0.1", network="slim", size=96, scales=1, history=4, init="noise")
photograph = np.random.default_rng(0).uniform(size=(72, 96, 3)).astype("f4")
weights = vgg.random_weights("slim")
prepared = sweep.prepare_lanes(photograph, [photograph], grid.grid(config, seeds=range(3)).lanes, weights=weights)
union, found = prepared.union, prepared.found
net = vgg.network(weights, union.pooling, union.padding, prepared.precision, prepared.machine.lowering)
goals = Goals(net, found.photograph, found.paintings, (72, 96), union, found.masks, toned=prepared.toned)
styles = [goals.objective(union, style) for style in range(len(goals.styles))]
own = sweep.own_leaves([goals.objective(*lane) for lane in prepared.lanes], styles)
method = methods.Method("lbfgs", 4)
state = minimise._start(method, jnp.zeros((3, 72, 96, 3)), np.ones(3), True)
compiled = minimise.run_chunk.lower(method, sweep.loss_of_lane, (styles[0], own), state, 1, True).compile()
needed = compiled.memory_analysis().temp_size_in_bytes + sum(leaf.nbytes for leaf in jax.tree.leaves(state))
print(prepared.lane_bytes() / (needed / 3))
"""


@pytest.mark.slow
def test_the_estimate_of_memory_is_near_to_xlas_own_account():
    """The bytes that the compiled program asks for, by lane, within three tenths."""
    done = subprocess.run([sys.executable, "-c", ACCOUNT], capture_output=True, text=True)
    assert float(done.stdout or "nan") == pytest.approx(1, abs=0.3), done.stdout + done.stderr


def test_free_memory_is_known():
    assert machine.free_bytes(jax.devices()[0]) > 2**20


# ---------------------------------------------------------------- several devices

SHARDED = """
import os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
sys.path.insert(0, sys.argv[1])
import dataclasses, jax, numpy as np
from support import random_filters, smooth_picture
from nst_jax import layers
from nst_jax.sweeps import grid
from nst_jax.sweeps import lanes as sweep
from nst_jax.options.config import Config

layers.NETWORKS["tiny"] = (
    layers.Layer("conv1_1", "conv", 3, 4), layers.Layer("pool1", "pool", 4, 4), layers.Layer("conv2_1", "conv", 4, 5),
)
assert len(jax.devices()) == 4
pictures = [smooth_picture(24, 20, 1), smooth_picture(20, 24, 2)]
for optimizer in ("lbfgs", "adam"):
    config = Config("nst_jax-0.1", network="tiny", size=24, steps=8, scales=1, history=4, init="noise",
                    content_layers=("conv2_1",), style_layers=("conv1_1", "conv2_1"), optimizer=optimizer)
    lanes = grid.grid(config, ["a", "b"], seeds=[0, 1, 2], ratios=[0.1, 1.0]).lanes[:10]
    prepared = sweep.prepare_lanes(smooth_picture(20, 24, 0), pictures, lanes, weights=random_filters("tiny"))
    plans = prepared.plan(10, 3, jax.devices()[:1]), prepared.plan(10, 0)
    assert [(plan.batch, len(plan.devices)) for plan in plans] == [(3, 1), (12, 4)]
    one, four = ([result for batch in prepared.run(range(10), plan) for _, result in batch] for plan in plans)
    for first, second in zip(one, four, strict=True):
        assert first.image.tobytes() == second.image.tobytes(), np.abs(first.image - second.image).max()
        for one_row, four_row in zip([first.losses, *first.trace], [second.losses, *second.trace], strict=True):
            for name in first.losses:
                np.testing.assert_allclose(one_row[name], four_row[name], rtol=1e-6)
    print(optimizer, "equal")
"""


@pytest.mark.slow
def test_four_devices_give_the_same_bits_as_one():
    """Three lanes on each of four devices, two of them to fill up, are what one device makes of three at a time.

    Every picture to the bit; the losses, which are told and not gone by, to the rounding of a sum.
    """
    done = subprocess.run(
        [sys.executable, "-c", SHARDED, str(Path(__file__).parents[1])], capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["lbfgs equal", "adam equal"], done.stderr


# ---------------------------------------------------------------- lanes in the optimiser


def cliff(argument, x):
    """x² above an edge of the lane's own; below it, what the lane has there."""
    _, (edge, below) = argument
    value = jnp.where(jnp.min(x) < edge, below, jnp.sum(x * x))
    return value, {"total": value}


@pytest.mark.parametrize("length", [1, 3])
def test_each_lane_recovers_by_itself(length):
    """One lane falls into a hole and goes on with smaller steps; it ends as it does alone, and so does the other."""
    own = jnp.array([0.5, -9.0, 9.0]), jnp.array([jnp.nan, 0.0, jnp.nan])
    chunks = []
    together = minimise.minimise(
        Method("adam"), cliff, ((), own), jnp.ones((3, 2)), steps=6, rate=0.4, on_chunk=chunks.append, lanes=True,
        chunk=length,
    )  # fmt: skip
    for lane in range(3):
        alone = minimise.minimise(
            Method("adam"), cliff, ((), jax.tree.map(lambda leaf, lane=lane: leaf[lane], own)), jnp.ones(2),
            steps=6, rate=0.4, chunk=length,
        )  # fmt: skip
        np.testing.assert_allclose(together.x[lane], alone.x, rtol=1e-6)
        assert (together.steps[lane], together.reason[lane]) == (alone.steps, alone.reason)
        assert together.evaluations[lane] == alone.evaluations
    assert together.reason == ["", "", "not finite"]
    notes = [chunk.note for chunk in chunks if chunk.note]
    assert any("lane 0 of these 3: the loss is not finite after step" in note for note in notes)
    assert not any("lane 1" in note for note in notes)


def test_a_lane_of_lbfgs_that_fails_leaves_the_others_alone():
    """A lane whose start is not finite gives up; the others are as alone, with pairs of their own."""
    method = Method("lbfgs", 3)
    starts = jnp.asarray([[1.0, 2.0], [jnp.nan, 1.0], [-3.0, 0.5]])
    own = jnp.asarray([1.0, 2.0, 5.0])

    def function(argument, x):
        value = jnp.sum(jnp.array([argument[1], 1.0]) * (x - 1) ** 2) + jnp.sum(x**4)
        return value, {"total": value}

    together = minimise.minimise(method, function, ((), own), starts, steps=9, rate=1.0, lanes=True)
    assert together.reason == ["", "not finite", ""]
    for lane in (0, 2):
        alone = minimise.minimise(method, function, ((), own[lane]), starts[lane], steps=9, rate=1.0)
        np.testing.assert_allclose(together.x[lane], alone.x, rtol=1e-4, atol=1e-5)


def test_lanes_of_different_numbers_of_steps():
    own = jnp.full(3, -9.0), jnp.zeros(3)
    outcome = minimise.minimise(
        Method("adam"), cliff, ((), own), jnp.ones((3, 2)), steps=np.array([0, 2, 5]), rate=0.1, lanes=True
    )
    assert outcome.steps == [0, 2, 5]
    np.testing.assert_array_equal(outcome.x[0], jnp.ones(2))
    assert outcome.x[1, 0] > outcome.x[2, 0]


def test_stop_ends_all_lanes(config, filters):
    def stop(progress):
        if progress.step == 3:
            raise Stop

    config = dataclasses.replace(config, optimizer="adam")
    prepared = sweep.prepare_lanes(CONTENT, [STYLE, OTHER], small_grid(config).lanes, weights=filters)
    batches = list(prepared.run(range(16), prepared.plan(16, 8), stop))
    assert len(batches) == 1
    assert {(result.steps, result.ended) for _, result in batches[0]} == {(3, "stopped")}


# ---------------------------------------------------------------- grids


def test_a_grid_has_rows_and_columns(config):
    made = small_grid(config)
    assert made.columns == ("ratio 0.01", "ratio 1")
    assert made.rows[:2] == ("a, style conv1_1, seed 3", "a, style conv1_1, seed 4")
    assert made.rows[-1] == "b, style conv1_1 conv1_2 pool2, seed 4"
    assert len(made.lanes) == len(made.rows) * len(made.columns) == 16
    first, last = made.lanes[0], made.lanes[-1]
    assert (first.style, first.config.seed, first.config.content_weight) == (0, 3, 0.01 * 5)
    assert (last.style, last.config.seed, last.config.content_weight) == (1, 4, 5)
    assert first.config.style_layer_weights == {"conv1_1": 1.0}
    assert last.config.style_layer_weights == {tap: pytest.approx(1 / 3) for tap in config.style_layers}


def test_a_grid_of_one(config):
    assert grid.grid(config).lanes == (grid.Lane(config),)
    assert grid.grid(config, ["a", "b"]).columns == ("a", "b")


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"ratios": []}, "the grid is empty: --ratios has no value"),
        ({"seeds": []}, "the grid is empty: --seeds has no value"),
        ({"style_layer_sets": []}, "the grid is empty: --style-layer-sets"),
        ({"ratios": [1, 2, 1.0]}, r"--ratios has the same value twice \(ratio 1\)"),
        ({"content_layers": [("conv1_1",), ("conv1_1",)]}, "--content-layers has the same value twice"),
        ({"ratios": range(40), "seeds": range(30)}, "the grid has 30 x 40 lanes; at most 1000"),
        ({"ratios": range(5000)}, "the grid has 5000 lanes"),
        ({"ratios": [-1.0]}, "one of --ratios is -1.0"),
        ({"ratios": [float("nan")]}, "one of --ratios is nan"),
        ({"style_layer_sets": [("conv7_1",)]}, "unknown layer 'conv7_1'"),
        ({"seeds": [-1]}, "--seed is -1"),
    ],
)
def test_grids_that_cannot_be(config, axes, message):
    with pytest.raises(NSTError, match=message):
        grid.grid(config, **axes)


def test_options_that_a_grid_would_not_heed(config):
    with pytest.raises(NSTError, match="--seeds make no difference to a start from content"):
        grid.grid(dataclasses.replace(config, init="content"), seeds=[1, 2])
    with pytest.raises(NSTError, match="multiples of --style-weight, which is 0"):
        grid.grid(dataclasses.replace(config, style_weight=0.0), ratios=[1, 2])
    textures = dataclasses.replace(config, content_layers=())
    with pytest.raises(NSTError, match="--ratios make no difference without content layers"):
        grid.grid(textures, ratios=[1, 2])
    assert len(grid.grid(textures, content_layers=[(), ("conv2_1",)], ratios=[1, 2]).lanes) == 4
    photographs = dataclasses.replace(config, style_layers=())
    with pytest.raises(NSTError, match="several --style make no difference without style layers"):
        grid.grid(photographs, ["a", "b"])
    for change in ({"init": "style"}, {"init": "palette"}, {"detail": 0.5}, {"content_colors": "painting"}):
        assert len(grid.grid(dataclasses.replace(photographs, **change), ["a", "b"]).lanes) == 2


def test_sweeps_that_cannot_be(config, filters):
    def prepare(lanes, styles=(STYLE,), content=CONTENT):
        return sweep.prepare_lanes(content, styles, lanes, weights=filters)

    lane = grid.Lane(config)
    with pytest.raises(NSTError, match="no lanes"):
        prepare([])
    with pytest.raises(NSTError, match="1001 lanes; at most 1000"):
        prepare([lane] * 1001)
    with pytest.raises(NSTError, match="lanes 0 and 1 are the same"):
        prepare([lane, lane])
    with pytest.raises(NSTError, match="lanes 0 and 1 are the same"):
        prepare([lane, grid.Lane(config, 1)], [STYLE, STYLE])
    with pytest.raises(NSTError, match="the lanes differ in steps"):
        prepare([lane, grid.Lane(dataclasses.replace(config, steps=7))])
    with pytest.raises(NSTError, match="a lane asks for style 1 of 1"):
        prepare([grid.Lane(config, 1)])
    with pytest.raises(NSTError, match="no style picture is given"):
        prepare([lane], [])
    with pytest.raises(NSTError, match="no content picture is given"):
        prepare([lane], content=None)


# ---------------------------------------------------------------- reconstructions and textures


@pytest.mark.slow
def test_content_alone(config, filters):
    """A photograph from its responses; nearer from a shallow layer."""
    config = dataclasses.replace(config, style_layers=(), style_weight=0.0, steps=60)
    shallow, deep = (
        stylize(CONTENT, [], dataclasses.replace(config, content_layers=(tap,)), weights=filters)
        for tap in ("conv1_1", "conv2_1")
    )
    assert shallow.losses["content"] < 0.05
    assert np.abs(shallow.image - CONTENT).mean() < np.abs(deep.image - CONTENT).mean()
    assert [entry["role"] for entry in shallow.inputs] == ["content"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [24, 40])
def test_style_alone(config, filters, size):
    """A texture of any size, of the painting's aspect ratio, or of that of a picture that gives only its shape."""
    config = dataclasses.replace(config, content_layers=(), content_weight=0.0, size=size, steps=40, pooling="avg")
    result = stylize(None, STYLE, config, weights=filters)
    assert result.image.shape == (size, round(size * 18 / 24), 3)
    assert result.losses["style"] < 0.2 * result.trace[0]["style"]
    assert [entry["role"] for entry in result.inputs] == ["style"]
    assert result.alpha is None
    config = dataclasses.replace(config, steps=1, optimizer="adam")
    shaped = stylize(CONTENT, STYLE, config, weights=filters)
    assert shaped.image.shape == (round(size * 20 / 24), size, 3)


def test_a_texture_cannot_start_from_content(config, filters):
    config = dataclasses.replace(config, content_layers=(), init="content")
    with pytest.raises(NSTError, match="no content picture to start from"):
        stylize(None, STYLE, config, weights=filters)
    config = dataclasses.replace(config, content_layers=("conv2_1",), style_layers=(), init="style")
    with pytest.raises(NSTError, match="no style picture to start from"):
        stylize(CONTENT, [], config, weights=filters)


@pytest.mark.slow
def test_a_sweep_of_textures(config, filters):
    config = dataclasses.replace(config, content_layers=(), content_weight=0.0, optimizer="adam", steps=8)
    lanes = grid.grid(config, style_layer_sets=grid.cumulative(config.style_layers)).lanes
    prepared = sweep.prepare_lanes(None, [STYLE], lanes, weights=filters)
    for lane, result in zip(prepared.lanes, run(prepared), strict=True):
        alone = stylize(None, STYLE, lane.config, weights=filters)
        assert result.losses["style"] == pytest.approx(alone.losses["style"], rel=1e-3)


# ---------------------------------------------------------------- the folder


@pytest.fixture
def prepared(config, filters):
    lanes = grid.grid(dataclasses.replace(config, steps=4, optimizer="adam"), ["a"], seeds=[0, 1], ratios=[0.1, 1.0])
    return lanes, sweep.prepare_lanes(CONTENT, [STYLE], lanes.lanes, weights=filters)


def fill(folder, lanes):
    for batch in folder.sweep.run(lanes, folder.sweep.plan(len(lanes))):
        for lane, result in batch:
            folder.save(lane, result)


def test_a_folder_has_all_there_is(tmp_path, prepared):
    made, ready = prepared
    folder = gallery.Gallery(tmp_path / "out", ready, grid.grid_layout(made, "title <&>"))
    fill(folder, folder.unfinished())
    folder.save_overview()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        *(f"lane-{lane:03d}.{kind}" for lane in range(4) for kind in ("png", "json")),
        "contact_sheet.png", "index.html", "results.json", "sweep.json",
    }  # fmt: skip
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [entry["lane"] for entry in results] == [0, 1, 2, 3]
    for entry in results:
        report = json.loads((tmp_path / "out" / f"lane-{entry['lane']:03d}.json").read_text())
        assert entry["losses"] == report["losses"]
        assert set(entry["losses"]) == {"content", "style", "tv", "total"}
        assert entry["config"]["content_weight"] in (0.5, 5.0)
        assert (tmp_path / "out" / entry["picture"]).is_file()
        assert len(report["trace"]) == 4
    assert results[1]["label"] == "lane 1: seed 0, ratio 1"


def test_the_page_needs_nothing_from_elsewhere(tmp_path, prepared):
    made, ready = prepared
    folder = gallery.Gallery(tmp_path / "out", ready, grid.grid_layout(made, "title <&>"))
    fill(folder, [0, 2])
    folder.save_overview()
    text = (tmp_path / "out" / "index.html").read_text()
    assert "<h1>title &lt;&amp;&gt;</h1>" in text
    assert not re.findall(r"https?:|//|@import|<script|<link|url\(", re.sub(r"data:[^\"]*", "", text))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(addresses) == 5  # the sheet, and of two lanes the picture and its file
    for address in addresses:
        assert address.startswith("data:image/jpeg;base64,") or (tmp_path / "out" / address).is_file()
    assert text.count("<polyline") == 2
    assert "seed 1, ratio 0.1" in text


def test_a_folder_is_continued(tmp_path, prepared):
    made, ready = prepared
    layout = grid.grid_layout(made, "title")
    folder = gallery.Gallery(tmp_path, ready, layout)
    fill(folder, [1, 3])
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("lane-*")}
    again = gallery.Gallery(tmp_path, ready, layout, resume=True)
    assert again.unfinished() == [0, 2]
    (tmp_path / "lane-003.json").write_text("{ half")
    again = gallery.Gallery(tmp_path, ready, layout, resume=True)
    assert again.unfinished() == [0, 2, 3]
    fill(again, [0, 2, 3])
    assert again.unfinished() == []
    assert (tmp_path / "lane-001.png").stat().st_mtime_ns == before["lane-001.png"]


def test_a_report_is_read_once_when_the_folder_is_opened(tmp_path, prepared, monkeypatch):
    """Not after each batch, nor for the overview; results.json has the lanes in order whenever they finished."""
    made, ready = prepared
    layout, read, read_text = grid.grid_layout(made, "title"), [], Path.read_text

    def counted(path, *arguments, **options):
        if path.name.startswith("lane-"):
            read.append(path.name)
        return read_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", counted)
    folder = gallery.Gallery(tmp_path, ready, layout)
    for lane in (3, 1):
        fill(folder, [lane])
        folder.save_results()
    folder.save_overview()
    assert read == []
    assert [entry["lane"] for entry in json.loads((tmp_path / "results.json").read_text())] == [1, 3]
    before = {name: (tmp_path / name).read_bytes() for name in ("results.json", "index.html")}
    again = gallery.Gallery(tmp_path, ready, layout, resume=True)
    again.save_overview()
    assert read == [f"lane-{lane:03d}.json" for lane in range(4)]
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_folder_of_other_arrays_is_refused(tmp_path, prepared, filters):
    """Pictures that were given as arrays are told apart as files are."""
    made, ready = prepared
    layout = grid.grid_layout(made, "title")
    gallery.Gallery(tmp_path, ready, layout)
    gallery.Gallery(tmp_path, ready, layout, resume=True)
    for content, style, message in [
        (OTHER, STYLE, "the content picture is another"),
        (CONTENT, OTHER, "style of lane 0 is another picture"),
    ]:
        other = sweep.prepare_lanes(content, [style], made.lanes, weights=filters)
        with pytest.raises(NSTError, match=f"holds a sweep of other settings: {message}; give another --output"):
            gallery.Gallery(tmp_path, other, layout, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 9}, "steps of lane 0 is 4, not 9"),
        ({"seed": 7}, "seed of lane 0 is 0, not 7"),
        ({"style_layers": ("conv1_1",)}, "style_layers of lane 0 is conv1_1 conv1_2 pool2, not conv1_1"),
    ],
)
def test_a_folder_of_other_settings_is_refused(tmp_path, prepared, filters, change, message):
    made, ready = prepared
    layout = grid.grid_layout(made, "title")
    gallery.Gallery(tmp_path, ready, layout)
    before = (tmp_path / "sweep.json").read_bytes()
    lanes = [grid.Lane(dataclasses.replace(lane.config, **change), lane.style) for lane in made.lanes]
    lanes = lanes[:1] if "seed" in change else lanes
    if "seed" in change:
        lanes += [lane for lane in made.lanes[1:]]
    other = sweep.prepare_lanes(CONTENT, [STYLE], lanes, weights=filters)
    with pytest.raises(NSTError, match=f"holds a sweep of other settings: {message}; give another --output"):
        gallery.Gallery(tmp_path, other, layout, resume=True)
    fewer = sweep.prepare_lanes(CONTENT, [STYLE], made.lanes[:3], weights=filters)
    with pytest.raises(NSTError, match="it has 4 lanes, not 3"):
        gallery.Gallery(tmp_path, fewer, layout, resume=True)
    another = sweep.prepare_lanes(CONTENT, [STYLE], made.lanes, weights=dataclasses.replace(filters, sha256="other"))
    with pytest.raises(NSTError, match="the network's file is another"):
        gallery.Gallery(tmp_path, another, layout, resume=True)
    assert (tmp_path / "sweep.json").read_bytes() == before


def test_folders_that_cannot_be_used(tmp_path, prepared):
    made, ready = prepared
    layout = grid.grid_layout(made, "title")

    def refused(path, resume, message):
        with pytest.raises(NSTError, match=message) as caught:
            gallery.Gallery(path, ready, layout, resume=resume)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "none", True, "holds no sweep that could be resumed")
    refused(tmp_path, True, "holds no sweep that could be resumed")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", False, "which is no folder")
    refused(tmp_path / "file" / "in it", False, "cannot use the folder|cannot make the folder")
    for text in ("", "{ half", "[1]", "\0"):
        (tmp_path / "sweep.json").write_text(text)
        refused(tmp_path, True, "cannot read .*sweep.json: it is no JSON")
    refused(tmp_path, False, "holds a sweep already: add --resume")
    for text in ("{}", '{"format": 1, "content": "", "network": "", "lanes": [1, 2, 3, 4]}'):
        (tmp_path / "sweep.json").write_text(text)
        refused(tmp_path, True, "holds a sweep of other settings")
    (tmp_path / "sweep.json").unlink()
    (tmp_path / "lane-000.png").write_text("mine")
    refused(tmp_path, False, "has a lane-000.png already")
    assert (tmp_path / "lane-000.png").read_text() == "mine"
    (tmp_path / "lane-000.png").rename(tmp_path / "lane-003.png")  # perhaps the photograph
    refused(tmp_path, False, "has a lane-003.png already")


def test_a_sweep_goes_on_from_the_start_picture_that_it_had(tmp_path, prepared, filters):
    made, _ = prepared
    layout, start = grid.grid_layout(made, "title"), tmp_path / "start.png"
    lanes = [grid.Lane(dataclasses.replace(lane.config, init=str(start)), lane.style) for lane in made.lanes]
    for seed in (7, 8):
        images.save_image(start, smooth_picture(20, 24, seed))
        ready = sweep.prepare_lanes(CONTENT, [STYLE], lanes, weights=filters)
        if seed == 7:
            gallery.Gallery(tmp_path / "out", ready, layout)
            gallery.Gallery(tmp_path / "out", ready, layout, resume=True)
    with pytest.raises(NSTError, match="the start picture is another"):
        gallery.Gallery(tmp_path / "out", ready, layout, resume=True)


def test_a_lane_starts_in_the_paintings_colours_beside_others(config, filters):
    """Whichever comes first."""
    for starts in (("content", "palette"), ("palette", "content")):
        lanes = [grid.Lane(dataclasses.replace(config, init=init)) for init in starts]
        ready = sweep.prepare_lanes(CONTENT, [STYLE], lanes, weights=filters)
        for lane, init in zip(ready.lanes, starts, strict=True):
            alone = prepare(CONTENT, STYLE, dataclasses.replace(config, init=init), weights=filters)
            ours = start_image(ready.pictures_of(lane), ready.sizes[-1], lane.config)
            np.testing.assert_array_equal(ours, start_image(alone.pictures, alone.sizes[-1], alone.config))


def test_all_lanes_have_the_octaves_that_each_painting_has(config, filters):
    config = dataclasses.replace(config, size=96, style_octaves=2, content_layers=(), init="noise")
    narrow = smooth_picture(20, 200, 5)
    lanes = [grid.Lane(config, style) for style in (0, 1)]
    ready = sweep.prepare_lanes(None, [smooth_picture(96, 96, 1), narrow], lanes, weights=filters)
    assert [lane.config.style_octaves for lane in ready.lanes] == [1, 1] == [ready.union.style_octaves] * 2
    alike = sweep.prepare_lanes(None, [smooth_picture(96, 96, 1), smooth_picture(96, 90, 2)], lanes, weights=filters)
    assert [lane.config.style_octaves for lane in alike.lanes] == [2, 2]


def test_the_content_layers_of_a_preset_file_are_one_run(tmp_path):
    (tmp_path / "mine.toml").write_text('content_layers = ["conv3_2:0.5", "conv4_2:0.5"]\n')
    options = of_preset(preset(tmp_path / "mine.toml"))
    assert options["content_layers"] == ("conv3_2:0.5,conv4_2:0.5",)
    assert of_preset(simple_config(content_layers=(), init="noise"))["content_layers"] == ()


# ---------------------------------------------------------------- the command


@pytest.fixture
def arguments(tmp_path, tiny, filters):
    for name, pixels in {"photo": CONTENT, "a": STYLE, "b": OTHER}.items():
        images.save_image(tmp_path / f"{name}.png", pixels)
    weights_file.save_weights(tmp_path / "tiny.h5", filters)
    return [
        "--content", str(tmp_path / "photo.png"), "--style", str(tmp_path / "a.png"), "--network", tiny,
        "--weights", str(tmp_path / "tiny.h5"), "--output", str(tmp_path / "out"), "--size", "24", "--steps", "4",
        "--scales", "1", "--optimizer", "adam", "--style-layers", "conv1_1", "conv2_1", "--content-layers", "conv1_2",
    ]  # fmt: skip


def with_options(arguments, more):
    """A command line with further options, which take the place of those that it has of the same name."""
    groups = {}
    for word in [*arguments, *more]:
        if word.startswith("--"):
            name = word
            groups[name] = []
        else:
            groups[name].append(word)
    return [word for name, values in groups.items() for word in (name, *values)]


@pytest.mark.slow
def test_the_command(tmp_path, arguments, capsys):
    more = ["--style-layer-sets", "cumulative", "--ratios", "0.1", "1"]
    arguments += ["--style-weight", "10"]
    assert door.main([*arguments, *more, "--metadata", "short"]) == 0
    told = capsys.readouterr()
    assert "4 of 4 lanes" in told.out
    said = images.read_metadata(tmp_path / "out" / "lane-003.png")["nst_jax"]
    assert "sha256" in said and str(tmp_path) not in said
    assert "1 x 4 lanes at once: about" in told.err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [entry["config"]["style_layers"] for entry in results] == [["conv1_1"]] * 2 + [["conv1_1", "conv2_1"]] * 2
    assert [entry["config"]["content_weight"] for entry in results] == [1.0, 10.0] * 2
    (tmp_path / "out" / "lane-002.json").unlink()
    assert door.main([*arguments, *more, "--resume"]) == 0
    assert "4 lanes, 3 of them finished" in capsys.readouterr().err
    assert door.main([*arguments, *more]) == 2
    assert door.main([*arguments, "--ratios", "0.1", "2", "--style-layer-sets", "cumulative", "--resume"]) == 2
    assert "content_weight of lane 1 is 10.0, not 20.0" in capsys.readouterr().err


def test_layer_sets_on_the_command_line(tmp_path, arguments):
    sets = ["--style-layer-sets", "conv1_1:2,conv2_1:0.5", "conv2_1", "--content-layers", "conv1_2,conv2_1", "conv2_1"]
    assert door.main(with_options(arguments, sets)) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(entry["config"]["content_layers"], entry["config"]["style_layers"]) for entry in results] == [
        (["conv1_2", "conv2_1"], ["conv1_1:2", "conv2_1:0.5"]),
        (["conv1_2", "conv2_1"], ["conv2_1"]),
        (["conv2_1"], ["conv1_1:2", "conv2_1:0.5"]),
        (["conv2_1"], ["conv2_1"]),
    ]


@pytest.mark.slow
def test_no_layers_on_the_command_line(tmp_path, arguments):
    """No content layers make textures of the photograph's shape, no style layers reconstructions of it."""

    def losses(name, more):
        arguments[arguments.index("--output") + 1] = str(tmp_path / name)
        assert door.main(with_options(arguments, ["--init", "noise", *more])) == 0
        return [entry["losses"] for entry in json.loads((tmp_path / name / "results.json").read_text())]

    both = losses("textures", ["--content-layers", "--style-layer-sets", "cumulative"])
    assert [(told["content"], told["style"] > 0) for told in both] == [(0, True)] * 2
    (told,) = losses("photograph", ["--style-layers"])
    assert (told["content"] > 0, told["style"]) == (True, 0)
    mixed = losses("mixed", ["--content-layers", "", "conv2_1"])
    assert [told["content"] > 0 for told in mixed] == [False, True]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--ratios"], "the grid is empty"),
        (["--style-layer-sets"], "the grid is empty"),
        (["--style-layers", "--style-layer-sets", "cumulative"], "takes its layers from --style-layers"),
        (["--style-layers", "--content-layers"], "no layer is given"),
        (["--content-layers", "--ratios", "1", "2"], "--ratios make no difference without content layers"),
        (["--ratios", "1", "1"], "same value twice"),
        (["--ratios", "a"], "ratios"),
        (["--style-layer-sets", "cumulative", "conv1_1"], "has cumulative among others"),
        (["--style-layer-sets", "conv9_9"], "unknown layer 'conv9_9'"),
        (["--content-layers", "conv1_2", "conv1_2"], "same value twice"),
        (["--ratios", *map(str, range(1200))], "1200 lanes"),
        (["--lanes-at-once", "-1"], "--lanes-at-once is -1"),
        (["--process-count", "2", "--process-id", "2"], "--process-id is 2"),
        (["--resume"], "holds no sweep"),
        (["--style", "none.png"], "none.png"),
        (["--steps", "-1"], "--steps is -1"),
        (["--wrong", "1"], "wrong"),
    ],
)
def test_mistakes_get_one_line(tmp_path, arguments, capsys, more, message):
    assert door.main(with_options(arguments, more)) == 2
    told = capsys.readouterr()
    lines = told.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("nst-sweep: error: ")
    assert message in lines[0]
    assert told.out == ""
    assert not (tmp_path / "out").exists()


def test_the_same_style_twice(arguments, capsys):
    at = arguments.index("--style") + 1
    assert door.main([*arguments[:at], arguments[at], *arguments[at:]]) == 2
    assert "twice: give each once" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_finished(tmp_path, arguments, capsys, monkeypatch):
    """In the second of two batches: the first is on disk, and --resume runs the second alone."""
    more = ["--ratios", "0.1", "1", "2", "4", "--lanes-at-once", "2"]
    original = sweep.Sweep.run_batch

    def interrupted(self, indices, plan, on_progress):
        if indices[0] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, indices, plan, on_progress)

    monkeypatch.setattr(sweep.Sweep, "run_batch", interrupted)
    assert door.main([*arguments, *more]) == 130
    told = capsys.readouterr()
    assert "2 of 4 lanes" in told.out
    assert "--resume continues" in told.err
    assert (tmp_path / "out" / "index.html").is_file()
    monkeypatch.setattr(sweep.Sweep, "run_batch", original)
    assert door.main([*arguments, *more, "--resume"]) == 0
    told = capsys.readouterr()
    assert "4 of 4 lanes" in told.out
    assert "1 x 2 lanes at once" in told.err


def test_processes_share_a_sweep_in_one_folder(tmp_path, arguments, capsys, monkeypatch):
    """Each has its batches; the lanes are those of one process, bit for bit; the last one writes what is of all."""
    more = ["--ratios", "0.1", "1", "2", "4", "8", "--lanes-at-once", "2", "--metadata", "none"]
    assert door.main([*with_options(arguments, ["--output", str(tmp_path / "alone")]), *more]) == 0
    monkeypatch.setattr(door, "WAIT", 0.5)
    assert door.main([*arguments, *more, "--process-count", "2", "--process-id", "1"]) == 2
    assert "process 0 has made no sweep in" in capsys.readouterr().err
    lanes, original = [], sweep.Sweep.run

    def run(self, indices, *rest):
        lanes.append(list(indices))
        return original(self, indices, *rest)

    monkeypatch.setattr(sweep.Sweep, "run", run)
    for number, done in ((0, 3), (1, 5)):
        assert door.main([*arguments, *more, "--process-count", "2", "--process-id", str(number)]) == 0
        assert f"{done} of 5 lanes" in capsys.readouterr().out
        assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == done
    assert lanes == [[0, 1, 4], [2, 3]]
    for name in [*(f"lane-{lane:03d}.png" for lane in range(5)), "contact_sheet.png"]:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    other = with_options(arguments, ["--steps", "5"])
    assert door.main([*other, *more, "--process-count", "2", "--process-id", "1"]) == 2
    assert "steps of lane 0 is 4, not 5" in capsys.readouterr().err


def test_a_damaged_lane_is_run_anew_and_is_the_same(tmp_path, arguments):
    """In the batch in which it was, though the others of it are finished."""
    more = ["--ratios", "0.1", "1", "2", "4", "8", "--lanes-at-once", "3"]
    assert door.main([*arguments, *more]) == 0
    folder = tmp_path / "out"
    assert json.loads((folder / "sweep.json").read_text())["batch"] == 3
    before = {lane: images.load_image(folder / f"lane-{lane:03d}.png").pixels for lane in range(5)}
    (folder / "lane-001.png").write_bytes((folder / "lane-001.png").read_bytes()[:300])
    (folder / "lane-004.json").write_text('{"config": {}, "inputs": [], "ended": "", "losses": 1, "trace": 2}')
    kept = (folder / "lane-000.png").stat().st_mtime_ns
    assert door.main([*arguments, *more[:-2], "--resume"]) == 0
    assert (folder / "lane-000.png").stat().st_mtime_ns == kept
    for lane, pixels in before.items():
        np.testing.assert_array_equal(images.load_image(folder / f"lane-{lane:03d}.png").pixels, pixels)


@pytest.mark.slow
def test_a_painting_whose_name_is_no_utf_8(tmp_path, pictures, weights_file):
    painting = pictures[1].rename(tmp_path / "st\udcff.png")
    words = [
        "--content", str(pictures[0]), "--style", str(painting), "--output", str(tmp_path / "sweep"),
        "--weights", str(weights_file), "--network", "vgg19", "--size", "48", "--style-size", "52", "--steps", "1",
        "--scales", "1", "--strengths", "0.2", "0.8",
    ]  # fmt: skip
    assert door.main(words) == 0
    assert "st?.png" in (tmp_path / "sweep" / "index.html").read_text(encoding="utf-8")
