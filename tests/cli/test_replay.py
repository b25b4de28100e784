"""``nst-replay``: the same picture again, what is said where it is another, and what cannot be made again."""

import dataclasses
import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image
from support import random_filters, simple_config, smooth_picture

from nst_jax.batch.work import paint_lanes
from nst_jax.cli import replay, stylize, sweep
from nst_jax.networks.weights_file import save_weights
from nst_jax.optim.minimise import Stop
from nst_jax.options import presets
from nst_jax.pictures import images
from nst_jax.runs import report
from nst_jax.runs.plan import prepare
from nst_jax.runs.recipe import read_recipe
from nst_jax.runs.stylize import paint

LAYERS = {"content_layers": ("conv2_1",), "style_layers": ("conv1_1", "conv2_1")}
FORMATS = ("png", "jpg", "webp", "tiff")


@pytest.fixture
def made(tmp_path, pictures, tiny):
    """Makes a run with changed options and writes it as ``out.png``, or under other names; gives the first path."""

    def make(*names, metadata="full", on_progress=lambda progress: None, **changes):
        weights = tmp_path / "tiny.h5"
        if not weights.exists():
            save_weights(weights, random_filters(tiny))
        settings = {"network": tiny, "weights": weights, "size": 40, "scales": 2, "coarse_steps": (3,), "steps": 4}
        result = paint(prepare(*pictures, simple_config(**settings | LAYERS | changes)), on_progress)
        paths = [tmp_path / name for name in names or ["out.png"]]
        for path in paths:
            report.save(path, result, metadata)
        return paths[0]

    return make


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A picture of no steps, beside its inputs, for the tests that change none of them."""
    folder = tmp_path_factory.mktemp("kept")
    paths = folder / "content.png", folder / "style.png"
    for seed, path in enumerate(paths):
        images.save_image(path, smooth_picture(34, 48, seed))
    report.save(
        folder / "out.png", paint(prepare(*paths, simple_config(network="slim", size=40, scales=1, steps=0, **LAYERS)))
    )
    return folder / "out.png"


def told(path):
    return json.loads(images.read_metadata(path)["nst_jax"])


@pytest.mark.exact
def test_every_format_is_the_same_again(made, tmp_path, capsys):
    names = [f"out.{name}" for name in FORMATS]
    made(*names)
    for name in names:
        again = tmp_path / f"again-{name}"
        assert replay.main([str(tmp_path / name), "--output", str(again)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path / name}: made again, the same bit for bit"
        assert again.read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"keep_colors": "luminance", "init": "noise", "seed": 3},
        {"optimizer": "adam", "averaging": 0.5, "tileable": True, "pixel_range": "bounded", "strength": 0.3},
    ],
    ids=["noise", "tileable"],
)
def test_options_of_every_kind(made, changes, capsys):
    assert replay.main([str(made(**changes))]) == 0, capsys.readouterr().err


def test_files_of_every_role(made, tmp_path, pictures):
    mask = np.zeros((34, 48, 3), "f4")
    mask[:, :24] = 1
    names = {"content_mask": "mask.png", "freeze": "freeze.png", "init": "start.png", "palette": "palette.png"}
    for number, name in enumerate(names.values()):
        images.save_image(tmp_path / name, mask if number < 2 else smooth_picture(34, 48, number))
    paths = {option: str(tmp_path / name) for option, name in names.items()}
    out = made(**paths | {"content_mask": (tmp_path / "mask.png",)})
    assert replay.main([str(out)]) == 0
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    for name in (*names.values(), "tiny.h5", "content.png", "style.png"):
        shutil.move(tmp_path / name, moved / f"other-{name}")
    assert replay.main([str(out)]) == 2
    assert replay.main([str(out), "--search", str(tmp_path / "elsewhere")]) == 0


def test_short_metadata_needs_a_folder(made, tmp_path, capsys):
    out = made("out.jpg", metadata="short")
    assert replay.main([str(out)]) == 2
    assert "the content picture of" in capsys.readouterr().err
    assert replay.main([str(out), "--search", str(tmp_path)]) == 0


def test_an_input_that_has_changed_is_said(made, pictures, tmp_path, capsys):
    out = made()
    images.save_image(pictures[1], smooth_picture(52, 40, 9))
    assert replay.main([str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"nst-replay: error: the style picture {pictures[1]} has changed since {out} was made, by its hash: give"
        " --search DIR with the one that it was made with\n"
    )
    pictures[1].unlink()
    assert replay.main([str(out)]) == 2
    assert "is not there (SHA-256 " in capsys.readouterr().err


def test_what_differs_is_said(made, tmp_path, monkeypatch, capsys):
    """A picture that was changed, and one that another version made, on other cores."""
    out = made()
    with Image.open(out) as image:
        pixels, text = np.array(image), image.text["nst_jax"]
    pixels[3, 4] = (pixels[3, 4].astype(int) + 100) % 256
    images.save_image(out, pixels / np.float32(255), metadata={"nst_jax": text})
    assert replay.main([str(out)]) == 1
    assert "made again it differs in 1 of 1,120 pixels, by up to 1" in capsys.readouterr().out
    changed = json.loads(text)
    changed["versions"]["jax"], changed["way"]["cores"] = "0.1", 99
    images.save_image(out, pixels / np.float32(255), metadata={"nst_jax": json.dumps(changed)})
    assert replay.main([str(out)]) == 1
    said = capsys.readouterr().out
    assert "jax 0.1 then, " in said
    assert "cores 99 then, " in said
    images.save_image(out, pixels[:-1] / np.float32(255), metadata={"nst_jax": text})
    assert replay.main([str(out)]) == 1
    assert "made again it has 40 x 28 pixels: the file has been changed since" in capsys.readouterr().out


def test_a_run_that_was_stopped_is_made_up_to_there(made):
    def stop(progress):
        if progress.step == 5:
            raise Stop

    out = made(on_progress=stop)
    assert told(out)["ended"] == "stopped"
    assert replay.main([str(out)]) == 0


def test_lanes_of_a_sweep_are_the_same_again(tmp_path, pictures, tiny, capsys):
    save_weights(tmp_path / "tiny.h5", random_filters(tiny))
    line = ["--content", pictures[0], "--style", *pictures, "--network", tiny, "--weights", tmp_path / "tiny.h5"]
    line += ["--size", 40, "--steps", 3, "--output", tmp_path / "sweep", "--content-layers", "conv2_1"]
    line += ["--style-layers", "conv1_1", "conv2_1", "--style-layer-sets", "cumulative", "--lanes-at-once", 3]
    assert sweep.main([str(word) for word in line]) == 0
    for lane in (0, 3):
        out = tmp_path / "sweep" / f"lane-{lane:03d}.png"
        assert replay.main([str(out)]) == 0, capsys.readouterr()
        assert told(out)["way"]["lanes"]["count"] == 2


def test_a_lane_beside_a_transparent_painting_is_the_same_again(tmp_path, pictures, tiny, capsys):
    save_weights(tmp_path / "tiny.h5", random_filters(tiny))
    alpha = np.ones((34, 48), np.float32)
    alpha[:, 30:] = 0
    images.save_image(tmp_path / "holes.png", smooth_picture(34, 48, 5), alpha)
    line = ["--content", pictures[0], "--style", pictures[1], tmp_path / "holes.png", "--network", tiny, "--weights"]
    line += [tmp_path / "tiny.h5", "--size", 40, "--steps", 20, "--output", tmp_path / "sweep", "--content-layers"]
    line += ["conv2_1", "--style-layers", "conv1_1", "conv2_1"]
    assert sweep.main([str(word) for word in line]) == 0
    for lane in (0, 1):
        out = tmp_path / "sweep" / f"lane-{lane:03d}.png"
        assert told(out)["way"]["lanes"]["masked"] is True
        assert replay.main([str(out)]) == 0, capsys.readouterr()


def test_pictures_of_a_batch_are_the_same_again(tmp_path, pictures, tiny):
    """Each at its place among three, one of which is not there."""
    save_weights(tmp_path / "tiny.h5", random_filters(tiny))
    config = simple_config(network=tiny, weights=tmp_path / "tiny.h5", size=40, scales=2, steps=3, **LAYERS)
    runs = [prepare(pictures[0], one, config) for one in pictures]
    for number, result in enumerate(paint_lanes([runs[0], None, runs[1]], 3, lambda progress: None)):
        report.save(tmp_path / f"{number}.png", result)
        assert replay.main([str(tmp_path / f"{number}.png")]) == 0


def test_a_refined_run_is_the_same_again(tmp_path, pictures, narrow_vgg, weights_file):
    """What was left to the network is left to each of the two."""
    config = simple_config(
        network="vgg19", weights=weights_file, size=64, scales=2, steps=2, refine=True, coarse_steps=(2,)
    )
    result = paint(prepare(*pictures, dataclasses.replace(config, scale_factor=None, content_weight=None)))
    report.save(tmp_path / "out.webp", result)
    assert "content_weight" in told(tmp_path / "out.webp")["left"]
    assert replay.main([str(tmp_path / "out.webp")]) == 0


def test_a_preset_file_of_any_name_may_be_gone(made, tmp_path, pictures, tiny):
    made()  # with the weights
    (tmp_path / "mine.conf").write_text("history = 3\n")
    settings = {"network": tiny, "weights": tmp_path / "tiny.h5", "size": 40, "scales": 1, "steps": 2, **LAYERS}
    config = dataclasses.replace(presets.preset(tmp_path / "mine.conf"), **settings)
    report.save(tmp_path / "conf.png", paint(prepare(*pictures, config)))
    (tmp_path / "mine.conf").unlink()
    assert read_recipe(tmp_path / "conf.png").config.history == 3
    assert replay.main([str(tmp_path / "conf.png")]) == 0


def test_another_picture_of_it(made, tmp_path, capsys):
    out = made()
    words = [str(out), "--set", "strength=0.9", "steps=2", "coarse_steps=2", "tileable=true", "style-blend="]
    assert replay.main([*words, "--output", str(tmp_path / "other.png"), "--to", str(tmp_path / "own.toml")]) == 0
    config = told(tmp_path / "other.png")["config"]
    assert [config[name] for name in ("strength", "steps", "coarse_steps", "tileable", "size")] == [
        0.9,
        2,
        [2],
        True,
        40,
    ]
    preset = presets.preset(str(tmp_path / "own.toml"))
    assert (preset.strength, preset.tileable, preset.coarsest) == (0.9, True, None)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--set", "strength=2"], "--strength is 2: give a number from 0 to 1"),
        (["--set", "strenght=0.2"], "there is no option --strenght: did you mean --strength?"),
        (["--set", "size"], "write OPTION=VALUE"),
        (["--set", "tileable=maybe"], "choose one of true, false"),
        (["--set", "preset=gatys2015"], "no option by itself"),
        (["--set", "init='a"], "a quotation mark is missing"),
        (["--output", "content.png"], "an input of this run"),
        (["--output", "out.png"], "an input of this run"),
        (["--search", "nowhere"], "--search is nowhere, which is no folder"),
        (["--to", "mine"], "give a name that ends in .toml"),
    ],
)
def test_mistakes_get_one_line(kept, monkeypatch, capsys, words, line):
    before = kept.read_bytes()
    monkeypatch.chdir(kept.parent)
    more = ["--print"] if "--set" in words else []
    assert replay.main([str(kept), *words, *more]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) == 1
    assert kept.read_bytes() == before


def test_the_command_line_makes_it_too(made, tmp_path, capsys):
    out = made(seed=7, init="noise", style_scale=(0.9,))
    assert replay.main([str(out), "--print"]) == 0
    program, *words = shlex.split(capsys.readouterr().out)
    assert program == "nst-stylize"
    assert stylize.main(words) == 0
    assert (tmp_path / "out-again.png").read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda told: None, "does not say how it was made"),
        (lambda told: "no JSON", "in words that cannot be read"),
        (lambda told: json.dumps([1]), "in words that cannot be read"),
        (lambda told: json.dumps(told | {"inputs": [{"role": "style"}]}), "in words that cannot be read"),
        (lambda told: json.dumps(told | {"way": {"precision": "float8"}}), "in words that cannot be read"),
        (lambda told: json.dumps(told | {"way": {"more": 1}}), "with terms of its own"),
        (lambda told: json.dumps(told | {"way": {"lanes": {"count": 10**9}}}), "a sweep that cannot be read"),
        (lambda told: json.dumps(told | {"inputs": {"count": 99, "sha256": ""}}), "cannot be read"),
        (lambda told: json.dumps(told | {"config": told["config"] | {"size": -1}}), "options that cannot be used"),
        (lambda told: json.dumps(told | {"config": told["config"] | {"new": 1}}), "which this version lacks"),
    ],
)
def test_metadata_that_cannot_be_used_gets_one_line(kept, tmp_path, change, line, capsys):
    out, text = tmp_path / "out.png", change(told(kept))
    pixels = images.load_image(kept).pixels
    images.save_image(out, pixels, metadata={} if text is None else {"nst_jax": text})
    assert replay.main([str(out)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("nst-replay: error: ")
    assert line in said
