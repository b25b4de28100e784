"""Presets of one's own: what a TOML file gives, what ``--save-preset`` writes, and every file that cannot be used."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import numpy as np
import pytest
from support import random_filters, smooth_picture

import nst_jax
from nst_jax import choices
from nst_jax.cli import stylize, sweep
from nst_jax.errors import NSTError
from nst_jax.networks import weights_file as weights
from nst_jax.options import presets
from nst_jax.options.config import Config, kinds
from nst_jax.options.preset_table import PRESET_CHANGES
from nst_jax.options.presets import preset
from nst_jax.pictures import images


@pytest.fixture
def file(tmp_path):
    """Writes a preset's text and gives its path."""

    def write(text, name="my.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


# ---------------------------------------------------------------- reading


def test_a_file_changes_its_base(file):
    path = file(
        'preset = "gatys2016"\nstyle-layers = ["conv1_1", "conv3_1:0.5"]\n'
        'style_weight = 3\nweights = "some/file.h5"\n# a remark\nstyle-scale = [1, 0.5]\n'
    )
    expected = dataclasses.replace(
        preset("gatys2016"),
        preset=path,
        style_layers=("conv1_1", "conv3_1:0.5"),
        style_weight=3.0,
        weights=Path("some/file.h5"),
        style_scale=(1.0, 0.5),
    )
    assert preset(path) == nst_jax.preset(Path(path)) == expected
    assert type(preset(path).style_weight) is float
    assert json.loads(json.dumps(preset(path).to_json()))["preset"] == path


def test_without_a_base_it_changes_the_default(file):
    assert preset(file("steps = 3")) == dataclasses.replace(Config(steps=3), preset=file("steps = 3"))
    assert preset(file("")) == dataclasses.replace(Config(), preset=file(""))


def test_a_file_needs_no_extension_but_a_presets_name_comes_first(file, tmp_path, monkeypatch):
    assert preset(file("steps = 3", "mine")).steps == 3
    file("steps = 3", "gatys2015")
    monkeypatch.chdir(tmp_path)
    assert preset("gatys2015").steps == 500
    assert preset("mine").preset == "mine"


def test_a_config_stays_usable_where_its_file_is_not():
    """As one from a report is, somewhere else."""
    kept = vars(Config()) | {"preset": "gone.toml"}
    assert Config(**kept).for_network("vgg19").preset == "gone.toml"
    with pytest.raises(NSTError, match=r"Config reads no file: nst_jax.preset\('gone.toml'\) gives its options"):
        Config(preset="gone.toml", steps=3)


BAD_FILES = [
    ("stile_weight = 3", "stile_weight is no option of a preset: did you mean style_weight?"),
    ('content = "a.jpg"', "content is no option of a preset: did you mean content_"),
    ("zzz = 1", "zzz is no option of a preset: nst-stylize --help lists them"),
    ("[steps]\nx = 1", "steps is \"{'x': 1}\": give a whole number, such as 3"),
    ('steps = "3"', "steps is '3': give a whole number, such as 3"),
    ("steps = 3.0", "steps is '3.0': give a whole number"),
    ("steps = true", "steps is 'True': give a whole number"),
    ("style_weight = true", "style_weight is 'True': give a number, such as 0.5"),
    ("style_weight = 1" + "0" * 400, "style_weight is '1000"),
    ("style_weight = nan", "--style-weight is nan: give a finite number of 0 or more"),
    ("weights = 3", "weights is '3': give a string, such as"),
    ('style_layers = "conv1_1"', "style_layers is 'conv1_1': give a list of strings, such as [\"conv4_2\"]"),
    ("style_layers = [1]", "style_layers is '[1]': give a list of strings"),
    ("style_scale = 0.5", "style_scale is '0.5': give a list of numbers, such as [0.5]"),
    ("style_scale = [9]", "--style-scale is 9: give a number above 0 and up to 8"),
    ("size = 0", "--size is 0: give a whole number from 1 to 1000000"),
    ("strength = 2", "--strength is 2: give a number from 0 to 1"),
    ('optimizer = "sgd"', "unknown optimizer 'sgd': choose one of lbfgs, adam"),
    ("optimizer = 3", "optimizer is '3': give a string, such as"),
    ("scales = 1.5", "scales is '1.5': give a whole number, such as 3"),
    ('scales = "many"', "scales is 'many': give a whole number, such as 3"),
    ('preset = "monet"', "unknown preset 'monet': choose one of default, nst_jax-0.1, gatys2015, gatys2016"),
    ('preset = "other.toml"', "unknown preset 'other.toml': choose one of default"),
    ("style-size = 3\nstyle_size = 4", "style_size is there twice, with - and with _: give it once"),
    ("steps = 3\nsteps = 4", "is no TOML: Cannot overwrite a value"),
    ("steps 3", "is no TOML: Expected '=' after a key in a key/value pair (at line 1, column 7)"),
    (b"\xff\xd8\xff\xe0 a picture", "is no TOML: 'utf-8' codec can't decode"),
    ('"\\u001b[31mx" = 1', r"\x1b[31mx is no option of a preset"),
    ('"a\\nb" = 1', r"a\nb is no option of a preset"),
    (f'"{"long" * 5000}" = 1', "...longlonglonglonglong is no option of a preset"),
    (f'{"long" * 5000} = "a" b', "is no TOML: "),
    (f'optimizer = "{"long" * 5000}"', "unknown optimizer 'longlong"),
    ('optimizer = "\\u001b[31mx"', r"unknown optimizer '\x1b[31mx'"),
    ('init = "\\u009b31mx"\nsteps = "\\u202e"', r"steps is '\u202e': give a whole number"),
    ("steps = " + "[" * 5000, "is no TOML: "),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES, ids=lambda value: str(value)[:30])
def test_what_cannot_be_used_is_told_in_one_line_that_names_the_file(file, text, message):
    path = file(text)
    with pytest.raises(NSTError) as caught:
        preset(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"the preset {path}")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400 or text.endswith(" b")
    assert len(str(caught.value)) <= 2000


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    for name, reason in {"none.toml": "No such file", "folder.toml": "Is a directory"}.items():
        with pytest.raises(NSTError, match=f"cannot read the preset .*{name}: {reason}"):
            preset(tmp_path / name)
    with pytest.raises(NSTError, match="unknown preset 'folder': choose one of .*, a .toml file"):
        preset("folder")


@pytest.mark.parametrize("name", [None, 3, ["default"], b"default\xff"])
def test_what_is_no_name_of_a_preset(name):
    with pytest.raises(NSTError, match="--preset is .*: give a string|unknown preset"):
        preset(name)


def test_a_mark_of_byte_order_is_passed_over(file):
    assert preset(file(b"\xef\xbb\xbf" + b'preset = "gatys2016"\nsteps = 3\n')).steps == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_presets_are_ordinary_files_of_some_size(file, tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("pipe.toml", "zero.toml"):
        with pytest.raises(
            NSTError, match=f"cannot read the preset: .*{name} is no ordinary file but a pipe, a device"
        ):
            preset(tmp_path / name)
    for text in ("a" + ".a" * 50_000 + " = 1", "# " + "long" * 20_000):  # tomllib takes minutes for the first
        with pytest.raises(NSTError, match="has .* bytes: give a file of up to 65,536"):
            preset(file(text))


# ---------------------------------------------------------------- writing

AWKWARD = 'quoted " \\ \t\n \x01 é 雪'
CONFIGS = [
    Config(),
    *map(preset, PRESET_CHANGES),
    Config(style_weight=0.1 + 0.2, tv_weight=1e-300, learning_rate=5e22, content_weight=1 / 3, strength=1.0),
    Config(weights=Path("a folder/file.h5"), init=AWKWARD, content_layers=(), style_layers=("conv1_1:2",), size=77),
    Config(style_blend=(2.0, 1e-7), style_scale=(0.5, 2.0), seed=2**32 - 1),
    dataclasses.replace(preset("gatys2016"), steps=3, init="noise"),
    dataclasses.replace(preset("gatys2015"), style_weight=None, tv_weight=None),
    dataclasses.replace(preset("gatys2016"), preset="some/where.toml", strength=0.25),
    Config(content_mask=(Path("a.png"), Path("b c.png")), style_mask=("s.png",), freeze="f.png", palette="p.png"),
    Config(content_mask=("a.png",), mask_colors=("red", "#00ff00")),
]


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_what_is_written_is_read_again_exactly(tmp_path, config):
    path = tmp_path / "my.toml"
    presets.save_preset(path, config)
    again = preset(path)
    assert again == dataclasses.replace(config, preset=str(path))
    assert [type(value) for value in vars(again).values()] == [type(value) for value in vars(config).values()]
    presets.save_preset(tmp_path / "second.toml", again)
    assert (tmp_path / "second.toml").read_bytes() == path.read_bytes()


def test_a_name_that_is_no_utf_8_is_written_with_a_question_mark(tmp_path):
    presets.save_preset(tmp_path / "my.toml", Config(init="st\udcff.png", freeze=Path("f\udcff.png")))
    assert preset(tmp_path / "my.toml").init == "st?.png"


def test_every_option_can_be_in_a_file(tmp_path):
    """Also those that somebody will add."""
    examples = {"bool": True, "int": 3, "float": 0.5, "str": "x", "Path": Path("x"), "None": None}
    for field in dataclasses.fields(Config):
        name = field.type.replace("tuple[", "").replace(", ...]", "").split(" | ")[0]
        words = typing.get_args(getattr(choices, name, None))  # of a closed choice
        assert words or name in examples, f"{field.name}: presets does not know {field.type}"
        example = words[0] if words else examples[name]
        value = str(example) if name == "Path" else example
        expected = (example,) if field.type.startswith("tuple") else example
        told = [value] if field.type.startswith("tuple") else value
        assert presets.read_value(field.name, told, kinds()[field.name]) == expected


def test_only_what_differs_is_written_with_what_it_means(tmp_path):
    presets.save_preset(tmp_path / "my.toml", dataclasses.replace(preset("gatys2016"), steps=3))
    text = (tmp_path / "my.toml").read_text()
    assert tomllib.loads(text) == {"preset": "gatys2016", "steps": 3}
    assert "each; none: as --coarse-steps\n# goes on\nsteps = 3\n" in text
    assert set(presets.descriptions()) == {field.name for field in dataclasses.fields(Config)}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "my.toml"
    path.write_text("steps = 3")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(NSTError, match="cannot write the preset to .*my.toml: No space left"):
            presets.save_preset(path, Config(steps=9))
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("my.toml", "steps = 3")]
    with pytest.raises(NSTError, match="cannot write the preset to .*: No such file"):
        presets.save_preset(tmp_path / "no folder" / "my.toml", Config())


# ---------------------------------------------------------------- on the command line


@pytest.fixture
def words(pictures, weights_file, tmp_path):
    """A short command line of ``nst-stylize``."""
    given = {
        "content": pictures[0], "style": pictures[1], "output": tmp_path / "out.png", "weights": weights_file,
        "network": "vgg19", "size": 48, "scales": 1,
    }  # fmt: skip
    return [word for key, value in given.items() for word in (f"--{key}", str(value))]


def config_of(report):
    return json.loads(Path(report).read_text())["config"]


@pytest.mark.slow
def test_a_preset_is_saved_by_a_dry_run_and_used(words, tmp_path, capsys):
    mine = tmp_path / "my.toml"
    change = ["--steps", "2", "--strength", "0.75", "--style-layers", "conv1_1:2", "pool2", "--preset", "gatys2016"]
    assert stylize.main([*words, *change, "--save-preset", str(mine), "--dry-run"]) == 0
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "out.png").exists()
    assert tomllib.loads(mine.read_text())["preset"] == "gatys2016"
    report = ["--report", str(tmp_path / "a.json")]
    assert stylize.main([*words, "--preset", str(mine), *report]) == 0
    told = config_of(tmp_path / "a.json")
    assert (told["steps"], told["strength"], told["style_layers"]) == (2, 0.75, ["conv1_1:2", "pool2"])
    assert (told["loss"], told["pooling"], told["preset"]) == ("gatys2016", "max", str(mine))
    # an option wins over the file, and the file may be brought up to date by the run that uses it
    assert stylize.main([*words, f"--preset={mine}", "--steps", "1", *report, "--save-preset", str(mine)]) == 0
    assert config_of(tmp_path / "a.json")["steps"] == preset(mine).steps == 1
    assert preset(mine).strength == 0.75


@pytest.mark.slow
def test_a_sweep_takes_a_preset_file(words, tmp_path, file):
    mine = file('optimizer = "adam"\nsteps = 1\nstyle_layers = ["conv1_1"]\ncontent_layers = ["conv2_1"]')
    words[words.index("--output") + 1] = str(tmp_path / "out")
    assert sweep.main([*words, "--preset", mine, "--ratios", "0.1", "1"]) == 0
    for lane in (0, 1):
        told = config_of(tmp_path / "out" / f"lane-{lane:03d}.json")
        assert (told["optimizer"], told["steps"], told["preset"]) == ("adam", 1, mine)


def test_masks_are_saved_in_a_preset(words, tmp_path):
    images.save_image(tmp_path / "mask.png", np.ones((34, 48, 3), "f4"))
    mine = tmp_path / "my.toml"
    images.save_image(tmp_path / "other.png", np.ones((52, 40, 3), "f4"))
    given = ["--content-mask", str(tmp_path / "mask.png"), "--style-mask", str(tmp_path / "other.png")]
    assert stylize.main([*words, *given, "--save-preset", str(mine), "--dry-run"]) == 0
    assert preset(mine).content_mask == (tmp_path / "mask.png",)
    assert preset(mine).style_mask == (tmp_path / "other.png",)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--preset", "{}/none.toml"], "cannot read the preset .*none.toml: No such file"),
        (["--preset", "{}/bad.toml"], "the preset .*bad.toml: stepz is no option of a preset: did you mean steps?"),
        (["--save-preset", "{}/my.txt"], "--save-preset is .*my.txt: give a name that ends in .toml"),
        (["--save-preset", "{}/nowhere/my.toml"], "--save-preset is .*: give a file in a folder that exists"),
        (["--save-preset", "{}"], "--save-preset is .*: give a file in a folder that exists"),
        (["--save-preset", "{}/a.toml", "--report", "{}/a.toml"], "--save-preset and --report are both .*a.toml"),
        (["--save-preset", "{}/content.png"], "--save-preset is .*content.png, an input of this run"),
        (["--preset", "{}/good.toml", "--report", "{}/good.toml"], "--report is .*good.toml, an input of this run"),
        (["--save-preset", "{}/my.toml", "--palette", "{}/none.png"], "none.png does not exist"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_mistakes_get_one_line_and_nothing_is_written(words, tmp_path, capsys, more, message, dry):
    (tmp_path / "bad.toml").write_text("stepz = 3")
    (tmp_path / "good.toml").write_text("steps = 1")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert stylize.main([*words, *(word.format(tmp_path) for word in more), *dry]) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("nst-stylize: error: ")
    assert re.search(message, said.err), said.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bad_preset_is_told_without_loading_jax(tmp_path):
    (tmp_path / "bad.toml").write_text("steps = -1")
    code = (
        "import sys; from nst_jax.cli.stylize import main; main(sys.argv[1:]);"
        "print({'jax', 'numpy', 'PIL', 'h5py'} & {*sys.modules})"
    )
    words = ["--content", "a.png", "--style", "b.png", "--preset", str(tmp_path / "bad.toml")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
    assert done.stderr.splitlines() == [
        f"nst-stylize: error: the preset {tmp_path / 'bad.toml'}: --steps is -1: give a whole number of 0 or more"
    ]


@pytest.mark.slow
def test_a_preset_is_saved_when_a_run_ends(words, tmp_path):
    weights.save_weights(tmp_path / "vgg19.h5", random_filters("vgg19"))
    images.save_image(tmp_path / "style.png", smooth_picture(52, 40, 3))
    assert stylize.main([*words, "--steps", "1", "--save-preset", str(tmp_path / "my.toml")]) == 0
    assert preset(tmp_path / "my.toml").steps == 1
    assert preset(tmp_path / "my.toml").style_weight is None  # as given, not as the network had it


def test_a_file_of_options_cannot_say_none(tmp_path):
    config = Config(steps=None)
    with pytest.raises(NSTError, match="give --steps a number"):
        presets.save_preset(tmp_path / "p.toml", config)
    assert not (tmp_path / "p.toml").exists()
