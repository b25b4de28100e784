"""``Config``: the presets against the papers, the layers' notation, and every value that cannot be used."""

import dataclasses
import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from nst_jax import choices, layers
from nst_jax.errors import NSTError
from nst_jax.options import config
from nst_jax.options.config import Complete, Config
from nst_jax.options.preset_table import PRESET_CHANGES
from nst_jax.options.presets import preset

FIVE = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


@pytest.mark.parametrize("name", sorted(PRESET_CHANGES))
def test_every_preset_is_valid_and_named(name):
    assert preset(name).preset == name
    assert preset(name) == preset(name)


def test_the_defaults_are_the_default_preset():
    assert Config() == Config("default") == preset("default")


def test_by_default_the_style_is_a_distribution_and_the_start_is_toned():
    told = Config()
    assert (told.loss, told.optimizer, told.pooling, told.tv_kind, told.tv_excess) == (
        "wasserstein",
        "lbfgs",
        "avg",
        "neighbours",
        0.02,
    )
    assert (told.init, told.detail, told.content_colors) == ("palette", 1.0, "painting")
    assert (told.steps, told.scales) == (20, "auto")
    weights = [told.style_layer_weights[tap] for tap in FIVE]
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert [heavier / lighter for heavier, lighter in itertools.pairwise(weights)] == pytest.approx([4] * 4, rel=1e-4)
    for network, content, coarsest, coarse, factor in (
        ("vgg19", 0.003, 181, 20, 2**0.5),
        ("vgg16", 0.003, 181, 20, 2**0.5),
        ("slim", 0.002, 128, 40, 2),
    ):
        complete = told.for_network(network)
        assert (complete.content_weight, complete.style_weight, complete.tv_weight) == (content, 1.0, 0.1)
        assert (complete.tv_chroma, complete.style_octaves) == (1, 1)
        assert (complete.coarsest, complete.coarse_steps, complete.scale_factor) == (coarsest, (coarse,), factor)
    for size, coarsest in ((1024, 181), (300, 150), (256, 128), (200, 100), (100, 64), (40, 64)):
        assert Config(size=size).for_network("vgg19").coarsest == coarsest
        assert Config("crowson", size=size).for_network("vgg19").coarsest == 128


def test_the_former_default_has_a_name_and_its_numbers():
    told = Config("nst_jax-0.1")
    assert (told.loss, told.init, told.detail, told.pooling, told.steps) == ("normalized", "content", 0, "avg", 80)
    assert (told.tv_kind, told.tv_excess, told.style_layer_weights) == ("squares", 0, dict.fromkeys(FIVE, 1 / 5))
    wide, slim = told.for_network("vgg19"), told.for_network("slim")
    assert (wide.content_weight, wide.style_weight, wide.tv_weight, wide.tv_chroma) == (1, 6, 4, 2)
    assert (slim.content_weight, slim.style_weight, slim.tv_weight, slim.tv_chroma) == (1, 23, 2, 1.5)
    assert wide.scale_factor == slim.scale_factor == 2
    assert (wide.style_octaves, wide.coarsest, wide.coarse_steps) == (2, 128, (80,))
    assert (slim.style_octaves, slim.coarsest, slim.coarse_steps) == (1, 64, (150,))


@pytest.mark.parametrize("name", sorted(PRESET_CHANGES))
def test_every_option_of_a_preset_exists_and_counts(name):
    """A slip in the table would be a TypeError for whoever takes the preset."""
    assert {field.name for field in dataclasses.fields(Config)} >= set(PRESET_CHANGES[name]) - {"preset"}
    told = preset(name)
    assert all(getattr(told, option) == value for option, value in PRESET_CHANGES[name].items())


def test_gatys2015_is_the_papers():
    paper = preset("gatys2015")
    assert paper.loss == "gatys2015"
    assert paper.content_layer_weights == {"conv4_2": 1.0}
    assert paper.style_layer_weights == dict.fromkeys(FIVE, 1 / 5)
    assert (paper.content_weight, paper.style_weight, paper.tv_weight) == (1e-3, 1.0, 0.0)
    assert (paper.init, paper.pooling, paper.scales) == ("noise", "avg", 1)


def test_gatys2016_is_the_released_code():
    code = preset("gatys2016")
    assert code.loss == "gatys2016"
    assert code.content_layer_weights == {"conv4_2": 1.0}
    channels = {row.name: row.channels for row in layers.table("vgg19")}
    assert code.style_layer_weights == pytest.approx({tap: 1e3 / channels[tap] ** 2 for tap in FIVE}, rel=1e-5)
    assert (code.content_weight, code.style_weight) == (1.0, 1.0)
    assert (code.init, code.pooling, code.steps, code.optimizer) == ("content", "max", 500, "lbfgs")


def test_layers_without_weights_share_one():
    assert choices.layer_weights("style_layers", ("conv1_1", "conv2_1")) == {"conv1_1": 0.5, "conv2_1": 0.5}
    assert choices.layer_weights("style_layers", ()) == {}


def test_layers_with_weights_keep_them():
    found = choices.layer_weights("style_layers", ("conv1_1:2", "pool3:1e-3", "conv4_1:0", "conv5_1"))
    assert found == {"conv1_1": 2.0, "pool3": 1e-3, "conv4_1": 0.0, "conv5_1": 0.25}


def test_to_json_is_json_and_complete():
    options = Config(weights=Path("some/file.h5"))
    told = json.loads(json.dumps(options.to_json()))
    assert set(told) == {field.name for field in dataclasses.fields(Config)}
    assert told["weights"] == "some/file.h5"
    again = Config(**{key: tuple(value) if isinstance(value, list) else value for key, value in told.items()})
    assert dataclasses.replace(again, weights=Path(again.weights)) == options


def test_every_option_has_a_description():
    """The command line's help is made from them."""
    import ast

    body = next(
        node.body for node in ast.parse(Path(config.__file__).read_text()).body if isinstance(node, ast.ClassDef)
    )
    for statement, following in zip(body, body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign):
            assert isinstance(following, ast.Expr), f"no description after {ast.unparse(statement)}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "--size is 0: give a whole number from 1 to 1000000"),
        ({"size": 10**9}, "--size is 1000000000: give a whole number from 1 to 1000000"),
        ({"size": 1.5}, "--size is 1.5"),
        ({"size": True}, "--size is True"),
        ({"steps": -1}, "--steps is -1: give a whole number of 0 or more"),
        ({"scales": 0}, "--scales is 0"),
        ({"coarse_steps": (-1,)}, "--coarse-steps is -1"),
        ({"history": 0}, "--history is 0"),
        ({"history": 2**31}, "--history is 2147483648: give a whole number from 1 to 1000"),
        ({"tv_weight": 3.5e38}, "--tv-weight is 3.5e+38: give a number up to 1e+36, which single precision can weigh"),
        ({"style_blend": (1e300, 1.0)}, "one of --style-blend is 1e+300: give a number up to 1e+36"),
        ({"style_blend": (1e-50, 1e-60)}, "--style-blend is next to 0 for every painting: its weights are ratios"),
        ({"style_layers": ("conv1_1:1e300",)}, "--style-layers conv1_1 is 1e+300: give a number up to 1e+36"),
        ({"size": 512.0}, "--size is 512.0: give a whole number, such as 3"),
        ({"size": None}, "--size is None: give a whole number"),
        ({"size": "512"}, "--size is 512: give a whole number"),
        ({"size": np.array([1, 2])}, "--size is [1 2]: give a whole number"),
        ({"seed": np.bool_(True)}, "--seed is True: give a whole number"),
        ({"moments": None}, "--moments is None: give a number, such as 0.5"),
        ({"content_weight": True}, "--content-weight is True: give a number"),
        ({"content_weight": 1j}, "--content-weight is 1j: give a number"),
        ({"content_weight": "1"}, "--content-weight is 1: give a number"),
        ({"learning_rate": 10**400}, "--learning-rate is 1000"),
        ({"style_weight": [1.0]}, "--style-weight is [1.0]: give a number"),
        ({"style_layers": None}, "--style-layers is None: give a string"),
        ({"style_layers": (1,)}, "--style-layers is 1: give a string, such as"),
        ({"style_scale": ("x",)}, "--style-scale is x: give a number"),
        ({"style_scale": None}, "--style-scale is None: give a number"),
        ({"style_scale": np.eye(2)}, "--style-scale is [1.0, 0.0]: give a number"),
        ({"coarse_steps": (1.5,)}, "--coarse-steps is 1.5: give a whole number"),
        ({"scales": "many"}, "--scales is many: give a whole number"),
        ({"optimizer": 3}, "--optimizer is 3: give a string"),
        ({"optimizer": None}, "--optimizer is None: give a string"),
        ({"network": ["vgg19"]}, "--network is ['vgg19']: give a string"),
        ({"preset": ["default"]}, "--preset is ['default']: give a string"),
        ({"weights": 3}, "--weights is 3: give a string, such as"),
        ({"tileable": "yes"}, "--tileable is yes: give true or false"),
        ({"tileable": None}, "--tileable is None: give true or false"),
        ({"init": "\x1b[31m", "tileable": 1}, "--tileable is 1: give true or false"),
        ({"pooling": "\x1b[31m"}, r"unknown pooling '\x1b[31m'"),
        ({"style_size": -5}, "--style-size is -5"),
        ({"seed": -1}, "--seed is -1"),
        ({"seed": 2**32}, "--seed is 4294967296"),
        ({"content_weight": -1.0}, "--content-weight is -1.0: give a finite number of 0 or more"),
        ({"style_weight": float("nan")}, "--style-weight is nan"),
        ({"tv_weight": float("inf")}, "--tv-weight is inf"),
        ({"tv_excess": -0.1}, "--tv-excess is -0.1: give a finite number of 0 or more"),
        ({"tv_excess": None}, "--tv-excess is None: give a number"),
        ({"learning_rate": -0.1}, "--learning-rate is -0.1"),
        ({"tv_kind": "cubes"}, "unknown tv kind 'cubes': choose one of squares, absolute, isotropic, neighbours"),
        ({"pixel_range": "wide"}, "unknown pixel range 'wide': choose one of free, bounded"),
        ({"init_noise": 1.1}, "--init-noise is 1.1: give a number from 0 to 1"),
        ({"init_noise": float("nan")}, "--init-noise is nan"),
        ({"tileable": True, "padding": "reflect"}, "--tileable wraps around and --padding is reflect: leave one"),
        ({"network": "resnet"}, "unknown network 'resnet': choose one of auto, vgg16, vgg19"),
        ({"preset": "monet"}, "unknown preset 'monet': choose one of default, nst_jax-0.1, gatys2015, gatys2016"),
        ({"loss": "mse"}, "unknown loss 'mse'"),
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd': choose one of lbfgs, adam"),
        ({"keep_colors": "hue"}, "unknown keep_colors 'hue': choose one of none, luminance, cholesky, pca, histogram"),
        ({"keep_colors": "luminance", "palette": Path("a.png")}, "--keep-colors luminance keeps the photograph's own"),
        ({"pooling": "median"}, "unknown pooling 'median': choose one of avg, max"),
        ({"padding": "mirror"}, "unknown padding 'mirror': choose one of zeros, replicate, reflect, wrap, replicate-f"),
        ({"precision": "half"}, "unknown precision 'half': choose one of auto, float32, bfloat16"),
        ({"content_layers": ("relu4_2",)}, "unknown layer 'relu4_2'"),
        ({"network": "vgg16", "style_layers": ("conv3_4",)}, "unknown layer 'conv3_4': the layers of vgg16 are"),
        ({"style_layers": ("conv1_1:x",)}, "--style-layers has 'conv1_1:x': write NAME:WEIGHT"),
        ({"style_layers": ("conv1_1:-1",)}, "--style-layers conv1_1 is -1.0"),
        ({"style_layers": ("conv1_1:nan",)}, "--style-layers conv1_1 is nan"),
        ({"style_layers": ("conv1_1", "conv1_1")}, "--style-layers names conv1_1 twice"),
        ({"style_layers": (), "content_layers": ()}, "no layer is given"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_told_in_one_line(changes, message):
    with pytest.raises(NSTError) as caught:
        Config(**changes)
    assert message in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) <= 2000


def test_values_of_other_types_are_what_they_plainly_mean():
    given = Config(
        size=np.int64(384), seed=np.uint32(7), scales=np.int32(2), steps=np.int8(3), coarse_steps=np.array([4, 5]),
        style_weight=np.float32(0.5), tv_weight=2, content_weight=np.float64(1.5), learning_rate=np.array(0.25),
        strength=Fraction(1, 4), style_layers=["conv1_1", "conv2_1:0.5"], content_layers="conv4_2",
        style_scale=np.float32([1, 0.5]), style_blend=[1, 2], tileable=np.bool_(True), weights="some/file.h5",
        init=Path("start.png"), style_mask="mask.png", network=np.str_("vgg16"),
    )  # fmt: skip
    plain = Config(
        size=384, seed=7, scales=2, steps=3, coarse_steps=(4, 5), style_weight=0.5, tv_weight=2.0, content_weight=1.5,
        learning_rate=0.25, strength=0.25, style_layers=("conv1_1", "conv2_1:0.5"), content_layers=("conv4_2",),
        style_scale=(1.0, 0.5), style_blend=(1.0, 2.0), tileable=True, weights=Path("some/file.h5"), init="start.png",
        style_mask=(Path("mask.png"),), network="vgg16",
    )  # fmt: skip
    assert given == plain
    assert {name: repr(value) for name, value in vars(given).items()} == {
        name: repr(value) for name, value in vars(plain).items()
    }
    assert json.loads(json.dumps(given.to_json())) == json.loads(json.dumps(plain.to_json()))


@pytest.mark.parametrize("name", sorted(PRESET_CHANGES))
def test_a_preset_that_is_named_applies(name):
    assert Config(preset=name) == Config(name) == preset(name)
    changed = Config(preset=name, steps=7, loss="crowson")
    assert changed == dataclasses.replace(preset(name), steps=7, loss="crowson")
    given = dataclasses.replace(Config(steps=7), preset=name)  # all others are given there
    assert given == dataclasses.replace(given, preset=name) and given.loss == Config().loss == "wasserstein"


def test_a_number_of_thousands_of_digits():
    with pytest.raises(NSTError, match="--size is a int: give a whole number"):
        Config(size=10**5000)


def test_more_values_than_there_are_options():
    with pytest.raises(TypeError):
        Config(*["default"] * 100)


def test_a_palette_alone_is_matched_by_pca():
    assert Config(palette=Path("a.png")) == Config(palette=Path("a.png"), keep_colors="pca")
    assert Config(palette=Path("a.png"), keep_colors="histogram").keep_colors == "histogram"
    assert Config().keep_colors == "none"


def test_unknown_preset():
    with pytest.raises(
        NSTError, match="unknown preset 'monet': choose one of default, nst_jax-0.1, gatys2015, gatys2016"
    ):
        preset("monet")


def test_each_loss_and_network_has_its_own_weights_unless_they_are_given():
    wide, gram, slim = (
        Config().for_network("vgg19"),
        Config(loss="normalized").for_network("vgg19"),
        Config(loss="normalized").for_network("slim"),
    )
    assert (wide.network, gram.network, slim.network) == ("vgg19", "vgg19", "slim")
    for name in ("content_weight", "style_weight", "tv_weight", "tv_chroma", "style_octaves", "coarsest"):
        own = [getattr(each, name) for each in (wide, gram, slim)]
        assert len(set(own)) > 1, name
        given = Config(**{name: 3}).for_network("vgg19")
        assert getattr(given, name) == 3
    assert Config(loss="gatys2016").for_network("slim").style_weight == slim.style_weight
    assert Config(coarsest=32, coarse_steps=(7,)).for_network("vgg19").coarse_steps == (7,)
    assert wide.for_network("vgg19") == wide
    given = Config(content_weight=0.0, style_weight=0.0, tv_weight=3.0, tv_excess=0.0).for_network("slim")
    assert set(given.loss_weights) == {"content_weight", "style_weight", "tv_weight", "tv_excess"}
    assert list(given.loss_weights.values()) == [0, 0, 3, 0]
    flat = Config(tv_kind="isotropic").for_network("slim")
    assert flat.tv_weight == pytest.approx(0.01)  # its values are ten times those of squares
    assert Config(tv_kind="absolute", tv_weight=5.0).for_network("slim").tv_weight == 5.0
    paper = preset("gatys2015").for_network("slim")
    assert (paper.style_weight, paper.tv_weight) == (1.0, 0.0)


def test_the_taps_are_the_layers_in_use_each_once():
    assert Config().taps == ("conv4_2", *FIVE)
    both = Config(content_layers=("conv3_1:2", "conv4_2"), style_layers=("conv1_1", "conv3_1", "pool4:0"))
    assert both.taps == ("conv3_1", "conv4_2", "conv1_1", "pool4")
    assert Config(content_layers=()).taps == FIVE
    assert Config(style_layers=()).taps == ("conv4_2",)
    assert both.for_network("vgg19").taps == both.taps


@pytest.mark.parametrize("network", ["vgg16", "vgg19", "slim"])
@pytest.mark.parametrize("name", sorted(PRESET_CHANGES))
def test_for_a_network_nothing_is_left_open(name, network):
    """But for what it means to be without; what was given stays as it was."""
    given, complete = preset(name), preset(name).for_network(network)
    assert type(complete) is Complete and isinstance(complete, Config)
    open_ended = {"weights", "strength", "steps", "palette", "freeze"}
    for field in dataclasses.fields(Config):
        value, wish = getattr(complete, field.name), getattr(given, field.name)
        assert value is not None or field.name in open_ended, field.name
        assert field.name == "network" or wish is None or value == wish, field.name
    names = [field.name for field in dataclasses.fields(Config)]
    assert [field.name for field in dataclasses.fields(Complete)] == [*names, "more_taps"]
    assert complete.to_json() == Config(**{name: getattr(complete, name) for name in names}).to_json()
    assert complete.loss_weights["style_weight"] == complete.style_weight
    assert type(dataclasses.replace(complete, steps=3)) is Complete


def test_what_tiles_wraps_around():
    assert Config(tileable=True).padding == Config.padding
    assert Config(tileable=True).for_network("vgg19").padding == "wrap"
    assert Config().for_network("vgg19").padding == Config.padding


@pytest.mark.parametrize(
    "changes", [{"style_weight": float("nan")}, {"network": "resnet"}, {"style_octaves": 0}, {"tv_kind": "cubes"}]
)
def test_complete_options_are_checked_as_others_are(changes):
    with pytest.raises(NSTError):
        dataclasses.replace(Config().for_network("vgg19"), **changes)


def test_options_are_completed_for_a_network_that_there_is():
    with pytest.raises(NSTError, match="unknown network 'vgg11'"):
        Config().for_network("vgg11")
