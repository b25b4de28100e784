"""The plan of the memory: near to what runs take, refused where it cannot be had, and what it chooses."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from support import simple_config

from nst_jax.cli.stylize import plan_lines
from nst_jax.errors import NSTError
from nst_jax.networks.weights_file import find_weights
from nst_jax.options.config import Config
from nst_jax.runs import emitters, memory, plan, stylize
from nst_jax.runs.machine import Machine, here
from nst_jax.runs.memory import Footprint

#: A run in a process of its own: prints the estimate over the bytes by which the process grew at its peak.
RUN = """
import dataclasses, re, sys
import jax, numpy as np
from nst_jax.networks import vgg
from nst_jax.runs import plan
from nst_jax.runs import stylize
from nst_jax.options.config import Config

def told(key):
    return 1024 * int(re.search(rf"{key}:\\s*(\\d+)", open("/proc/self/status").read())[1])

config = Config(sys.argv[6], network=sys.argv[1], size=int(sys.argv[2]), style_octaves=int(sys.argv[3]))
config = dataclasses.replace(config, precision=sys.argv[5])
way = {"refine": True} if sys.argv[4] == "refined" else {"scales": 1}
config = dataclasses.replace(config, steps=2, coarse_steps=(2,), **way)
weights = vgg.random_weights(config.network)
photograph = np.random.default_rng(0).uniform(size=(config.size * 3 // 4, config.size, 3)).astype("f4")
planned = plan.prepare(photograph, photograph, config, weights=weights).plan.needed
before = told("VmRSS")
stylize.stylize(photograph, photograph, config, weights=weights)
print(planned / (told("VmHWM") - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a process's peak is read from /proc")
@pytest.mark.parametrize(
    ("network", "size", "octaves", "way", "precision", "preset"),
    [
        ("slim", 256, 1, "one size", "float32", "nst_jax-0.1"),
        ("slim", 256, 1, "one size", "float32", "default"),
        ("vgg19", 256, 1, "one size", "float32", "default"),
        ("slim", 384, 1, "one size", "float32", "nst_jax-0.1"),
        ("slim", 512, 3, "one size", "float32", "nst_jax-0.1"),
        ("vgg19", 128, 3, "one size", "float32", "nst_jax-0.1"),
        ("vgg19", 128, 3, "one size", "bfloat16", "nst_jax-0.1"),
        ("vgg19", 256, 3, "one size", "float32", "nst_jax-0.1"),
        ("vgg19", 256, 1, "one size", "float32", "nst_jax-0.1"),
        ("vgg19", 256, 3, "one size", "bfloat16", "nst_jax-0.1"),
        ("vgg19", 384, 2, "one size", "bfloat16", "nst_jax-0.1"),
        ("vgg19", 256, 2, "refined", "float32", "nst_jax-0.1"),
    ],
)
def test_the_estimate_is_within_a_fifth_of_the_peak(network, size, octaves, way, precision, preset):
    arguments = [network, str(size), str(octaves), way, precision, preset]
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True)
    assert float(done.stdout or "nan") == pytest.approx(1, abs=0.2), done.stdout + done.stderr


def footprint(longest, network="slim", **changes):
    """That of the usual layers, at one size."""
    usual = Footprint(network, Config().taps, ((longest * 3 // 4, longest),), pairs=20)
    return dataclasses.replace(usual, **changes)


def plan_with(free, longest, network="slim", precisions=("float32",), tile="off"):
    return memory.plan(footprint(longest, network), free, precisions, tile)


def test_a_run_that_fits_keeps_its_responses():
    needed = memory.run_bytes(footprint(512))
    assert plan_with(needed, 512) == (needed, needed, "float32", False, 0, 20, 0)


def test_responses_are_computed_again_where_they_do_not_fit():
    kept, again = (memory.run_bytes(footprint(4096, remat=remat)) for remat in (False, True))
    assert again < kept
    assert plan_with(kept - 1, 4096) == (again, kept - 1, "float32", True, 0, 20, 0)


def test_bfloat16_is_taken_where_float32_does_not_fit():
    both = ("float32", "bfloat16")
    least = memory.run_bytes(footprint(2048, "vgg19", remat=True))
    half = memory.run_bytes(footprint(2048, "vgg19", precision="bfloat16"))
    assert half < 0.8 * least
    assert plan_with(least, 2048, "vgg19", both)[2:4] == ("float32", True)
    assert plan_with(least - 1, 2048, "vgg19", both) == (half, least - 1, "bfloat16", False, 0, 20, 0)


def test_a_run_and_a_dry_run_take_the_planned_precision():
    photograph = np.random.default_rng(0).uniform(size=(24, 32, 3)).astype("f4")
    shallow = {"content_layers": ("conv2_1",), "style_layers": ("conv1_1",)}
    config = simple_config(network="slim", size=32, steps=2, scales=1, **shallow)
    weights = find_weights("slim")
    fits = plan.prepare(photograph, photograph, config, weights=weights)
    assert fits.plan.precision == fits.passes[0].precision == "float32"
    small = plan.prepare(photograph, photograph, dataclasses.replace(config, precision="bfloat16"), weights=weights)
    full = dataclasses.replace(here(), free=small.plan.needed)
    tight = plan.prepare(photograph, photograph, config, weights=weights, machine=full)
    assert tight.plan.precision == tight.passes[0].precision == "bfloat16"
    assert tight.plan.free == small.plan.needed
    assert "precision: bfloat16, to fit\n" in plan_lines(tight)
    result = stylize.stylize(photograph, photograph, config, weights=weights, machine=full)
    assert result.weights["precision"] == "bfloat16" and result.config.precision == "auto"
    asked = dataclasses.replace(config, precision="float32")
    assert plan.prepare(photograph, photograph, asked, weights=weights, machine=full).plan.precision == "float32"


def test_a_size_that_would_fit_is_named_and_fits():
    free = memory.run_bytes(footprint(1024, "vgg19"))
    with pytest.raises(
        NSTError, match=r"4096 x 3072 pixels with vgg19 take about .* --size (\d+) would fit"
    ) as refused:
        plan_with(free, 4096, "vgg19")
    named = int(str(refused.value).split("--size ")[1].split()[0])
    assert 1024 <= named < 1200  # more than 1024: responses are computed again
    assert plan_with(free, named, "vgg19").needed <= free


def test_large_paintings_are_planned_and_named():
    """Their targets take memory too, whatever the size of the result."""
    large = footprint(256, paintings=((1875, 2500),))
    assert memory.run_bytes(large) > memory.run_bytes(footprint(256)) + 2**29
    with pytest.raises(NSTError, match=r"1 paintings of up to 2500 x 1875 pixels .* --style-size (\d+) would fit"):
        memory.plan(large, memory.run_bytes(footprint(256)) + 2**28, ("float32",), "off")


def test_fewer_sizes_take_less():
    """A smaller picture has fewer sizes, where their number is automatic. ``slim`` fits where no size of VGG's does."""
    sizes = tuple((round(0.75 * side), side) for side in (64, 91, 128, 181, 256, 362, 512))
    many = footprint(512, "vgg19", sizes=sizes, automatic=True)
    free = memory.run_bytes(footprint(96, "vgg19", sizes=(*sizes[:2], (72, 96))))
    assert memory.would_fit(many, free, ("float32",), "off").startswith("--size 96 would fit")
    fixed = dataclasses.replace(many, automatic=False)
    assert memory.would_fit(fixed, free, ("float32",), "off") != "--size 96 would fit"
    less = memory.run_bytes(footprint(160, "slim", sizes=((120, 160),)))
    told = memory.would_fit(footprint(512, "vgg19"), less, ("float32",), "off")
    assert told == "no size would fit, but --size 160 with --network slim"


def test_tiles_are_taken_where_nothing_else_fits():
    """The largest that fit; then fewer of L-BFGS's pairs; and no more of those than the steps fill."""
    least = memory.run_bytes(footprint(4096, "vgg19", remat=True))
    fits = plan_with(least, 4096, "vgg19", tile="auto")
    assert not fits.tile and fits.remat
    planned = [plan_with(int(share * least), 4096, "vgg19", tile="auto") for share in (0.9, 0.3, 0.25, 0.2)]
    assert all(each.needed <= each.free and each.tile and not each.remat for each in planned)
    for one, other in zip(planned, planned[1:], strict=False):
        assert (one.pairs, one.tile) >= (other.pairs, other.tile)
    assert planned[-1].pairs < planned[0].pairs
    assert "by tiles of" in " ".join(memory.words(footprint(4096, "vgg19"), planned[-1]))
    few = memory.plan(footprint(4096, "vgg19", steps=3), int(0.4 * least), ("float32",))
    assert few.tile and few.pairs == 2


def test_only_the_sizes_that_do_not_fit_go_by_tiles():
    given = footprint(4096, "vgg19", sizes=((384, 512), (3072, 4096)), steps=9)
    planned = memory.plan(given, int(0.4 * memory.run_bytes(dataclasses.replace(given, remat=True))), ("float32",))
    assert planned.whole == 512
    assert memory.way_at(given, planned, (384, 512), 9) == (0, 20)
    assert memory.way_at(given, planned, given.sizes[-1], 5) == (planned.tile, 4)
    asked = dataclasses.replace(given, tile=256)
    told = memory.plan(asked, planned.free, ("float32",), 256)
    assert [memory.way_at(asked, told, size, 9).tile for size in ((192, 256), (384, 512))] == [0, 256]
    assert memory.leaner(memory.Way(0, 20), (384, 512)) == (256, 10)
    assert memory.leaner(memory.Way(64, 1), (384, 512)) == (64, 1)


def test_two_tiles_are_in_work_at_once_where_both_fit():
    """Where they do not, it is one, before L-BFGS remembers less."""
    given = footprint(4096, "vgg19", tile=512, at_once=2, distribution=True)
    one, two = (memory.run_bytes(dataclasses.replace(given, at_once=at_once)) for at_once in (1, 2))
    assert two - one > memory.lane_bytes(footprint(512, "vgg19", pairs=0)) / 2
    planned = [memory.plan(given, free, ("float32",), 512) for free in (two, two - 1, one, one - 1)]
    assert [(each.needed, each.pairs) for each in planned[:3]] == [(two, 20), (one, 20), (one, 20)]
    assert planned[3].pairs == 19
    assert [memory.tiles_at_once(given, each) for each in planned] == [2, 1, 1, 1]
    alone, beside = (
        memory.best_way(dataclasses.replace(footprint(8192), at_once=each), 2**34, ("float32",)) for each in (1, 2)
    )
    assert (alone.tile, beside.tile) == (1024, 768)
    whole, large = (dataclasses.replace(footprint(512), at_once=at_once) for at_once in (1, 2))
    assert memory.run_bytes(whole) == memory.run_bytes(large)  # the whole picture is one


@pytest.mark.parametrize(
    ("platform", "cores", "shards", "network", "at_once"),
    [("cpu", 2, (), "slim", 2), ("cpu", 1, (), "slim", 1), ("cpu", 4, (0, 1), "slim", 1), ("cpu", 4, (), "vgg19", 1),
     ("gpu", 0, (), "slim", 1)],
)  # fmt: skip
def test_who_has_two_tiles_in_work(platform, cores, shards, network, at_once):
    assert Machine(platform, cores=cores, shards=shards).at_once(network) == at_once


def test_a_coarse_size_never_decides_how_much_a_run_takes():
    """One that would fit at once goes by tiles where that takes more than the full size by tiles does."""
    given = footprint(4096, "vgg19", sizes=((384, 512), (1536, 2048), (3072, 4096)), steps=3)
    coarse = dataclasses.replace(given, sizes=given.sizes[1:2], precision="float32")
    planned = memory.plan(given, int(0.9 * memory.run_bytes(coarse)), ("float32",))
    assert planned.tile and planned.needed < memory.run_bytes(coarse) < 2**40
    assert memory.fitting_whole(given, planned._replace(free=2**40)) == 512


def test_where_nothing_fits_that_is_said():
    with pytest.raises(NSTError, match="0.0 are free: no size would fit"):
        plan_with(1000, 512)


def test_more_pixels_and_more_pairs_take_more():
    lanes = [footprint(128, "vgg19", sizes=((height, 128),)) for height in (96, 128)]
    assert memory.lane_bytes(lanes[0]) < memory.lane_bytes(lanes[1])
    few, many = (memory.lane_bytes(footprint(128, pairs=pairs)) for pairs in (5, 6))
    assert many - few == 2 * 4 * 3 * 96 * 128


def test_a_deeper_layer_and_more_octaves_take_more():
    shallow, deep = (footprint(128, "vgg19", taps=taps) for taps in (("conv2_1",), ("conv2_1", "conv5_1")))
    once, twice = (footprint(128, octaves=octaves) for octaves in (1, 2))
    for less, more in ((shallow, deep), (once, twice)):
        assert memory.lane_bytes(less) < memory.lane_bytes(more)
        assert memory.run_bytes(less) < memory.run_bytes(more)


def test_a_distribution_takes_more_to_compile():
    less, more = (memory.run_bytes(footprint(512, distribution=each)) for each in (False, True))
    assert more - less == memory.DISTRIBUTION
    less, more = (memory.run_bytes(footprint(2048, distribution=each)) for each in (False, True))
    assert more - less == memory.DISTRIBUTION_PIXEL * 2048 * 1536


def test_the_newer_emitters_take_more(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", emitters.OLDER)
    older = memory.run_bytes(footprint(256))
    monkeypatch.setenv("XLA_FLAGS", "")
    newer = memory.run_bytes(footprint(256))
    assert newer - older == pytest.approx((memory.NEWER_EMITTERS - 1) * (memory.PROGRAMS + memory.SCALE), abs=1)


def test_an_accelerator_holds_no_programs_but_more_copies():
    cpu, gpu = footprint(512, "vgg19"), footprint(512, "vgg19", platform="gpu", lowering="xla")
    assert memory.lane_bytes(gpu) > 1.5 * memory.lane_bytes(cpu)
    host, device = (memory.run_bytes(each) - memory.lane_bytes(each) for each in (cpu, gpu))
    assert host > 215 * 2**20 > device
    assert host - device > memory.PROGRAMS


def test_the_footprint_is_that_of_the_options(tiny, pictures):
    """What of a run's options decides how much memory it takes."""
    config = simple_config(
        network=tiny, size=160, scales=2, style_octaves=2, history=7, content_layers=("conv2_1",),
        style_layers=("conv1_1", "conv1_2"),
    ).for_network(tiny)  # fmt: skip
    found = plan.gather(*([path] if each else path for each, path in enumerate(pictures)), config)
    machine = dataclasses.replace(here(), platform="gpu")
    expected = Footprint(
        tiny,
        ("conv2_1", "conv1_1", "conv1_2"),
        ((57, 80), (113, 160)),
        7,
        (),
        0,
        1,
        "gpu",
        "xla",
        "bfloat16",
        paintings=((52, 40),),
        steps=80,
        contents=("conv2_1",),
    )
    found_of = plan.footprint(config, found.sizes, found, machine, precision="bfloat16")
    assert found_of == expected
    shapes = dataclasses.replace(config, loss="wasserstein")
    assert plan.footprint(shapes, found.sizes, found, machine).distribution
    adam = dataclasses.replace(config, optimizer="adam")
    assert plan.footprint(adam, found.sizes, found, machine).pairs == 0
