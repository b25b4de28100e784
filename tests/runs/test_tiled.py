"""A run by tiles: as without them, asked for or where the memory has ended, and going on from a checkpoint."""

import dataclasses

import numpy as np
import pytest
from support import simple_config, smooth_picture

from nst_jax.errors import NSTError
from nst_jax.losses.pixels import Smoothness
from nst_jax.networks.weights_file import find_weights
from nst_jax.optim import minimise
from nst_jax.runs import pyramid, stylize
from nst_jax.runs.checkpoints import Checkpoints
from nst_jax.runs.goals import Extra
from nst_jax.runs.machine import here
from nst_jax.runs.plan import prepare

CONTENT, STYLE = smooth_picture(120, 160, 0), smooth_picture(130, 110, 1)
#: What ``slim`` sees of conv3_1 is 12 pixels to each side: so 160 pixels are several tiles.
SHALLOW = {"content_layers": ("conv3_1",), "style_layers": ("conv1_1", "conv2_1", "conv3_1")}


def a_run(**changes):
    """Two sizes, 80 and 160 pixels, with ``slim`` as it ships."""
    settings = {"network": "slim", "size": 160, "scales": 2, "coarse_steps": (3,), "steps": 5, "history": 12} | SHALLOW
    return prepare(CONTENT, STYLE, simple_config(**settings | changes), weights=find_weights("slim"))


def ending_within(monkeypatch, size, after):
    """The memory ends at a size after so many steps, as XLA says it, unless that goes by tiles."""
    original = minimise.minimise

    def ends(method, function, goal, x, *, on_chunk, **options):
        def limited(chunk):
            on_chunk(chunk)
            if max(x.shape) == size and chunk.done == after and not minimise.in_python(function):
                raise ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 26542080 bytes.")

        return original(method, function, goal, x, on_chunk=limited, **options)

    monkeypatch.setattr(pyramid.minimise, "minimise", ends)


def assert_alike(one, other):
    """Two results of as many steps, to rounding."""
    assert (one.steps, one.ended) == (other.steps, other.ended)
    assert [row["step"] for row in one.trace] == [row["step"] for row in other.trace]
    for name, value in other.losses.items():
        assert one.losses[name] == pytest.approx(value, rel=2e-3)
    assert np.abs(one.image - other.image).mean() < 2e-3


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_run_by_tiles_is_the_run_without(optimizer, monkeypatch):
    forgotten = []
    monkeypatch.setattr(pyramid, "forget_programs", forgotten.append)
    whole, tiled = (a_run(tile=tile, optimizer=optimizer) for tile in ("off", 64))
    assert len(stylize.stages_of(tiled, tiled.passes[0])[-1].tiles.parts(*seen(tiled))) == 4
    found = stylize.paint(tiled)
    assert forgotten == [120 * 160]  # before the second size
    assert_alike(found, stylize.paint(whole))
    assert len(forgotten) == 1


def test_tiles_are_in_work_at_once_but_not_where_the_memory_has_ended():
    run = a_run(tile=64)
    last = stylize.stages_of(run, run.passes[0])[-1]
    assert last.tiles.at_once == here().at_once("slim")
    assert last.leaner().tiles.at_once == 1
    tight = run._replace(plan=run.plan._replace(free=run.plan.needed - 1))
    assert stylize.stages_of(tight, tight.passes[0])[-1].tiles.at_once == 1


def seen(run):
    """What tiles are made for: the network, its deepest layers, the size."""
    goal = stylize.stages_of(run, run.passes[0])[-1].goal(False)
    return goal.network, goal.taps[0], run.sizes[-1]


def test_where_the_memory_ends_it_goes_on_once_by_tiles(monkeypatch):
    whole = stylize.paint(a_run())
    assert not whole.notes
    ending_within(monkeypatch, 160, 2)
    found = stylize.paint(a_run())
    assert found.notes == ["the memory ended at 160 pixels; it went on with tiles of 80 pixels and 6 pairs of steps"]
    assert_alike(found, whole)
    kept = stylize.paint(a_run(tile="off"))
    assert (kept.ended, kept.image.shape) == ("out of memory", (60, 80, 3))


def test_a_run_that_has_gone_on_by_tiles_does_so_from_its_checkpoint(monkeypatch, tmp_path):
    def stopped(progress):
        if progress.step == 6:  # the first time after the memory has ended
            raise minimise.Stop

    with monkeypatch.context() as ended:
        ending_within(ended, 160, 2)
        whole = stylize.paint(a_run())
        with Checkpoints(tmp_path, a_run(), every="1") as kept:
            assert stylize.paint(kept.run, stopped, keep=kept.keep).ended == "stopped"
    with Checkpoints(tmp_path, a_run(), every="1", resume=True) as kept:
        assert (kept.position.stage, kept.position.leaner) == (1, True)
        found = stylize.paint(kept.run, position=kept.position, keep=kept.keep)
    assert np.array_equal(found.image, whole.image) and found.losses == whole.losses


def test_tiles_are_part_of_the_way_in_which_a_picture_was_made():
    whole, tiled = (a_run(tile=tile) for tile in ("auto", 64))
    assert whole.in_way(tiled.way()).plan.way() == tiled.plan.way()
    assert tiled.in_way(whole.way()).plan.way() == whole.plan.way()
    assert tiled.in_way({"precision": "float32"}).plan.tile == 0  # of a version without tiles


def test_terms_that_count_whole_pictures_never_go_by_tiles():
    """Neither by the plan, however little there is, nor where the memory has ended."""
    extra, weights = Extra(1.0, lambda scene: Smoothness(1.0)), find_weights("slim")
    config, machine = a_run().config, here()
    run = prepare(CONTENT, STYLE, config, weights=weights, more=[extra])
    assert [stage.leaner for stage in stylize.stages_of(run, run.passes[0])] == [None, None]
    little = dataclasses.replace(machine, free=int(0.9 * run.plan.needed))
    assert prepare(CONTENT, STYLE, config, weights=weights, more=[extra], machine=little).plan.tile == 0
    with pytest.raises(NSTError, match="--tile is 64, and 1 of the further terms count whole pictures"):
        prepare(CONTENT, STYLE, dataclasses.replace(config, tile=64), weights=weights, more=[extra])
