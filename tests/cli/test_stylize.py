"""``nst-stylize`` end to end: what it writes, what it refuses, and what Ctrl-C leaves."""

import contextlib
import dataclasses
import importlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from runs_support import KEYS
from support import random_filters, signalled_after_a_step, smooth_picture

from nst_jax.choices import flag
from nst_jax.cli import stylize as command
from nst_jax.cli.stylize import main
from nst_jax.errors import NSTError
from nst_jax.networks import vgg
from nst_jax.networks import weights_file as weights
from nst_jax.options import config
from nst_jax.pictures import images
from nst_jax.runs.machine import here

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def arguments(pictures, weights_file, tmp_path):
    """A command line that runs in a second once it is compiled, as a dict of options."""
    return {
        "--content": pictures[0],
        "--style": pictures[1],
        "--output": tmp_path / "out.png",
        "--weights": weights_file,
        "--network": "vgg19",
        "--size": 48,
        "--style-size": 52,
        "--steps": 4,
        "--scales": 1,
        "--history": 3,
    }


def line(arguments, **changes):
    """The command line of a dict; ``None`` leaves an option out, a list gives several values."""
    given = {**arguments, **{"--" + key.replace("_", "-"): value for key, value in changes.items()}}
    words = []
    for option, value in given.items():
        if value is not None:
            words += [option, *map(str, value if isinstance(value, list) else [value])]
    return words


# ---------------------------------------------------------------- what it writes


def test_it_writes_a_picture_and_a_report(arguments, tmp_path, capsys):
    assert main(line(arguments, report=tmp_path / "report.json")) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert said.out.startswith(f"{tmp_path / 'out.png'}: 4 steps in ")
    assert re.search(r"^step 1/4  48x34  content \S+  excess \S+  style \S+  total \S+  tv \S+$", said.err, re.M)
    assert re.search(r"^step 4/4 ", said.err, re.M)
    assert images.load_image(tmp_path / "out.png").size == (48, 34)
    told = json.loads((tmp_path / "report.json").read_text())
    assert set(told) >= KEYS
    assert told["output"] == str(tmp_path / "out.png")
    assert told["config"]["steps"] == told["steps"] == 4
    assert told["evaluations"] == 5
    assert told["network"]["precision"] == here().precisions("auto", "vgg19")[0]
    assert told["network"]["sha256"] == weights.file_sha256(arguments["--weights"])
    assert told["inputs"][1]["sha256"] == weights.file_sha256(arguments["--style"])
    assert len(told["trace"]) == 4
    assert {path.name for path in tmp_path.iterdir()} == {
        "content.png", "style.png", "vgg19.h5", "out.png", "report.json",
    }  # fmt: skip


@pytest.mark.exact
def test_the_same_command_gives_the_same_bytes(arguments, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert main(line(arguments, output=tmp_path / name / "out.png", init="noise", seed=5)) == 0
    first, second = (images.load_image(tmp_path / name / "out.png").pixels for name in ("a", "b"))
    np.testing.assert_array_equal(first, second)


def test_an_existing_output_is_replaced(arguments, tmp_path):
    (tmp_path / "out.png").write_text("old")
    assert main(line(arguments)) == 0
    assert images.load_image(tmp_path / "out.png").size == (48, 34)


@pytest.mark.parametrize("extension", ["jpg", "webp", "tiff"])
def test_the_extension_tells_the_format(arguments, tmp_path, extension):
    assert main(line(arguments, output=tmp_path / f"out.{extension}", steps=1)) == 0
    assert images.load_image(tmp_path / f"out.{extension}").size == (48, 34)


def test_previews(arguments, tmp_path):
    assert main(line(arguments, save_every=2, steps=5)) == 0
    previews = sorted(path.name for path in tmp_path.glob("out-*.png"))
    assert previews == ["out-000002.png", "out-000004.png"]
    assert images.load_image(tmp_path / previews[0]).size == (48, 34)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(arguments, tmp_path, capsys):
    before = set(tmp_path.iterdir())
    words = line(arguments, scales=2, coarse_steps=7, size=96, report=tmp_path / "report.json")
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    steps, precision, device, network, memory, time = said.out.splitlines()
    assert steps == "steps: 68 x 48: 7, 96 x 68: 4; by lbfgs"
    assert precision == f"precision: {here().precisions('auto', 'vgg19')[0]}"
    assert device == "device: cpu"
    assert network.startswith("network: vgg19; ")
    assert re.fullmatch(r"memory: about \S+ GiB of \S+ GiB free", memory)
    assert re.fullmatch(r"time: about \d+ s for the steps; compiling and files come on top", time)
    assert set(tmp_path.iterdir()) == before


def test_no_steps_take_no_time(arguments, capsys):
    assert main([*line(arguments, steps=0), "--dry-run"]) == 0
    assert "time:" not in capsys.readouterr().out


def test_the_start_image_is_an_input(arguments, tmp_path):
    images.save_image(tmp_path / "start.png", smooth_picture(52, 40, 7))
    assert main(line(arguments, init=tmp_path / "start.png", report=tmp_path / "report.json", steps=1)) == 0
    told = json.loads((tmp_path / "report.json").read_text())["inputs"]
    assert [entry["role"] for entry in told] == ["content", "style", "init"]
    assert told[2]["sha256"] == weights.file_sha256(tmp_path / "start.png")
    assert told[2]["size"] == [40, 52]


def test_several_styles(arguments, pictures, tmp_path):
    images.save_image(tmp_path / "third.png", smooth_picture(52, 40, 7))
    assert main(line(arguments, style=[pictures[1], tmp_path / "third.png"], report=tmp_path / "report.json")) == 0
    told = json.loads((tmp_path / "report.json").read_text())
    assert [Path(entry["path"]).name for entry in told["inputs"]] == ["content.png", "style.png", "third.png"]


@pytest.mark.slow
@pytest.mark.parametrize("spelling", [["--preset", "gatys2016"], ["--preset=gatys2016"]])
def test_a_preset_changes_the_defaults_and_options_win(arguments, tmp_path, spelling):
    words = [*line(arguments, report=tmp_path / "report.json", steps=1), "--content-weight", "3", *spelling]
    assert main(words) == 0
    told = json.loads((tmp_path / "report.json").read_text())["config"]
    assert (told["preset"], told["loss"], told["pooling"]) == ("gatys2016", "gatys2016", "max")
    assert (told["content_weight"], told["style_weight"], told["steps"]) == (3.0, 1.0, 1)


@pytest.mark.slow
def test_layers_and_weights_are_options(arguments, tmp_path):
    words = line(arguments, content_layers=["conv2_1:0.5"], style_layers=["conv1_1", "pool2:3"], steps=1)
    assert main([*words, "--report", str(tmp_path / "report.json")]) == 0
    told = json.loads((tmp_path / "report.json").read_text())["config"]
    assert told["content_layers"] == ["conv2_1:0.5"]
    assert told["style_layers"] == ["conv1_1", "pool2:3"]


@pytest.mark.slow
def test_a_loss_that_is_not_finite_writes_the_best_picture_and_says_so(arguments, tmp_path, capsys):
    filters = random_filters("vgg19")
    filters.arrays["conv5_1"]["bias"][:] = 3e30
    weights.save_weights(arguments["--weights"], filters)
    assert main(line(arguments, loss="gatys2015", report=tmp_path / "report.json")) == 1
    said = capsys.readouterr().err
    assert "the loss is not finite after step 0: back to step 0" in said
    assert "the loss did not stay finite; this is the best picture seen" in said
    assert images.load_image(tmp_path / "out.png").size == (48, 34)
    told = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert told["ended"] == "not finite"
    assert told["losses"]["total"] is None


# ---------------------------------------------------------------- what it refuses


def bomb(path, side=600_000):
    """A PNG of some 100 bytes that claims 600,000 x 600,000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b""))


def shorten(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def newer(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99


def to_folder(path):
    path.unlink()
    path.mkdir()


SPOILT = {
    "missing": (Path.unlink, "does not exist|no weights file at"),
    "empty": (lambda path: path.write_bytes(b""), "is empty|truncated or no weights file"),
    "truncated": (shorten, "truncated|cut off|incomplete|damaged"),
    "text": (lambda path: path.write_text("hello"), "no picture|not a picture|is no .*|truncated or no weights file"),
    "directory": (to_folder, "is a directory|is a folder"),
}
BAD_FILES = [(which, *SPOILT[kind]) for which in ("--content", "--style", "--weights") for kind in SPOILT]
BAD_FILES += [
    ("--content", lambda path: images.save_image(path, smooth_picture(8, 200, 0)), "48 x 2 pixels at this size"),
    ("--style", lambda path: images.save_image(path, smooth_picture(8, 200, 0)), "need 16 on the shorter side"),
    ("--content", bomb, "claims .*pixels: at most 100,000,000,000"),
    ("--style", bomb, "claims .*pixels: at most 100,000,000,000"),
    ("--content", lambda path: bomb(path, 60_000), "is damaged or cut off"),
    ("--weights", newer, "format version 99, newer than 1"),
]
BAD_OPTIONS = [
    ({"size": 100_000_000}, "--size is 100000000: give a whole number from 1 to 1000000"),
    ({"size": 1_000_000}, "gives 1000000 x .* pixels, which take .* GiB of memory"),
    ({"size": 0}, "--size is 0"),
    ({"size": -5}, "--size is -5"),
    ({"size": 8}, "8 x 6 pixels at this size; the layers in use need 16"),
    ({"size": "large"}, "--size"),
    ({"style_layers": ["relu1_1"]}, "unknown layer 'relu1_1': the layers of vgg19 are conv1_1"),
    ({"content_layers": ["conv4_2:x"]}, "--content-layers has 'conv4_2:x': write NAME:WEIGHT"),
    ({"content_layers": ["conv4_2:-1"]}, "--content-layers conv4_2 is -1.0"),
    ({"preset": "monet"}, "unknown preset 'monet': choose one of default, nst_jax-0.1, gatys2015, gatys2016"),
    ({"optimizer": "sgd"}, r"choice 'sgd' for argument '--optimizer'. Expected one of \('lbfgs', 'adam'\); nst-"),
    ({"pooling": "median"}, r"choice 'median' for argument '--pooling'. Expected one of \('avg', 'max'\);"),
    ({"keep_colors": "hue"}, "choice 'hue' for argument '--keep-colors'. Expected one of .'none', 'luminance', 'chol"),
    ({"loss": "gram"}, "choice 'gram' for argument '--loss'. Expected one of .'gatys2015', "),
    ({"padding": "none"}, "choice 'none' for argument '--padding'. Expected one of .'zeros', 'replicate', "),
    ({"precision": "half"}, "choice 'half' for argument '--precision'. Expected one of .'auto', 'float32', 'bfloat16'"),
    ({"tv_kind": "l1"}, "choice 'l1' for argument '--tv-kind'. Expected one of .'squares', "),
    ({"pixel_range": "open"}, "choice 'open' for argument '--pixel-range'. Expected one of .'free', 'bounded'"),
    ({"keep_colors": "luminance", "palette": "{}/style.png"}, "leave one of them out, or choose cholesky"),
    ({"palette": "{}/nowhere.png"}, "nowhere.png does not exist"),
    ({"network": "resnet"}, "unknown network 'resnet'"),
    ({"network": "vgg16"}, "holds the weights of vgg19, not of vgg16: give --network vgg19"),
    ({"content_weight": -1}, "--content-weight is -1.0: give a finite number of 0 or more"),
    ({"style_weight": "nan"}, "--style-weight is nan"),
    ({"tv_weight": "inf"}, "--tv-weight is inf"),
    ({"learning_rate": -1}, "--learning-rate is -1.0"),
    ({"learning_rate": 0}, "--learning-rate is 0: give a finite number above 0"),
    ({"steps": -1}, "--steps is -1"),
    ({"steps": 1.5}, "--steps"),
    ({"save_every": -1}, "--save-every is -1"),
    ({"seed": -1}, "--seed is -1"),
    ({"init": "contents"}, "no start image 'contents': give content, palette, style, noise, gray or a picture's file"),
    ({"output": "{}/nowhere/out.png"}, "cannot write .*: the folder .* does not exist"),
    ({"output": "{}"}, "is a directory"),
    ({"output": "{}/out.psd"}, "no extension that tells the format"),
    ({"output": "{}/out"}, "no extension that tells the format"),
    ({"output": "{}/content.png"}, "--output is .*content.png, an input of this run: give another name"),
    ({"output": "{}/link.png"}, "--output is .*link.png, an input of this run"),
    ({"output": "{}/style.png"}, "--output is .*style.png, an input of this run"),
    ({"report": "{}/nowhere/report.json"}, "--report is .*: give a file in a folder that exists"),
    ({"report": "{}"}, "--report is .*: give a file"),
    ({"report": "{}/out.png"}, "--report and --output are both"),
    ({"report": "{}/content.png"}, "--report is .*content.png, an input of this run"),
    ({"report": "{}/vgg19.h5"}, "--report is .*vgg19.h5, an input of this run"),
    ({"sytle": "x"}, "no option --sytle: did you mean --style"),
    ({"content": None}, "Missing from nst-stylize: --content PATH"),
    ({"style": None}, "Missing from nst-stylize: --style"),
    ({"style": []}, "--style|no style picture"),
]


def refused(words, folder, capsys, message):
    """Runs a command that must be refused: status 2, one line, and not a byte changed."""
    (folder / "out.png").write_bytes(b"precious")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("nst-stylize: error: ")
    assert re.search(message, said.err), said.err
    assert "Traceback" not in said.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("which", "spoil", "message"), BAD_FILES)
def test_bad_files_are_refused(arguments, tmp_path, capsys, which, spoil, message):
    spoil(arguments[which])
    refused(line(arguments), tmp_path, capsys, message)


@pytest.mark.parametrize(("changes", "message"), BAD_OPTIONS, ids=lambda value: str(value)[:60])
def test_bad_options_are_refused(arguments, tmp_path, capsys, changes, message):
    (tmp_path / "link.png").symlink_to(arguments["--content"])
    changes = {
        key: value.format(tmp_path) if isinstance(value, str) and "{}" in value else value
        for key, value in changes.items()
    }
    refused(line(arguments, **changes), tmp_path, capsys, message)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--style", "b"], "Missing from nst-stylize: --content PATH the photograph (required)"),
        (["--content", "a", "--style", "b", "--colour", "red"], "Unrecognized options: --colour, red"),
        (["--content", "a", "--style", "b", "--size", "x"], "Error parsing --size: invalid literal"),
        (["--content", "a", "--style", "b", "--size", "-7"], "--size is -7: give a whole number from 1 to 1000000"),
    ],
)
def test_messages_have_no_frame_on_any_terminal(words, message, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "60"}
    done = python(ROOT / "scripts" / "stylize.py", *words, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith(f"nst-stylize: error: {message}"), done.stderr
    assert not re.search("--- |[─│╭]", done.stderr), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_weights_in_the_users_folder(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "nowhere"))
    refused(line(arguments, weights=None), tmp_path, capsys, "python -m convert_weights --download vgg19")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_without_permission(arguments, tmp_path, capsys):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    refused(line(arguments, output=locked / "out.png"), tmp_path, capsys, "not writable")


# ---------------------------------------------------------------- Ctrl-C


def interrupting(times):
    """A display that presses Ctrl-C at the second step."""

    @contextlib.contextmanager
    def display(schedule):
        def show(progress):
            if progress.step == 2:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)

        yield show

    return display


def test_ctrl_c_writes_the_picture_so_far(arguments, tmp_path, capsys, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(command, "display", interrupting(times=1))
    assert main(line(arguments, report=tmp_path / "report.json", steps=1000)) == 130
    assert signal.getsignal(signal.SIGINT) == before
    assert "stopping after this step" in capsys.readouterr().err
    assert images.load_image(tmp_path / "out.png").size == (48, 34)
    told = json.loads((tmp_path / "report.json").read_text())
    assert (told["steps"], told["ended"]) == (2, "stopped")


def test_a_second_ctrl_c_does_not_wait(arguments, tmp_path, capsys, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(command, "display", interrupting(times=2))
    assert main(line(arguments, steps=1000)) == 130
    assert signal.getsignal(signal.SIGINT) == before
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


# ---------------------------------------------------------------- as a program


def python(*words, **options):
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, **options)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for another process")
def test_ctrl_c_from_outside(arguments, tmp_path):
    """The program in a process of its own, with the narrow network, gets a real signal."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); import dataclasses, support\n"
        "from nst_jax import layers\n"
        "layers.NETWORKS['vgg19'] = tuple(dataclasses.replace(row, inputs=support.NARROW[row.inputs],"
        " channels=support.NARROW[row.channels]) for row in layers.NETWORKS['vgg19'])\n"
        "from nst_jax.cli.stylize import main\n"
        "sys.exit(main())"
    )
    words = [sys.executable, "-c", code, *line(arguments, steps=1_000_000)]
    status, out, err = signalled_after_a_step(words, signal.SIGINT)
    assert status == 130, err
    assert "Traceback" not in err
    assert out.startswith(f"{tmp_path / 'out.png'}: ")
    assert images.load_image(tmp_path / "out.png").size == (48, 34)


def test_the_script_with_a_whole_network(pictures, tmp_path):
    """From a shell, with random filters of the true size."""
    file = tmp_path / "vgg16.h5"
    weights.save_weights(file, vgg.random_weights("vgg16"))
    done = python(
        ROOT / "scripts" / "stylize.py", "--content", pictures[0], "--style", pictures[1], "--output",
        tmp_path / "out.jpg", "--network", "vgg16", "--weights", file, "--size", 32, "--steps", 2,
        "--content-layers", "conv2_2", "--style-layers", "conv1_1", "pool2", "--optimizer", "adam",
    )  # fmt: skip
    file.unlink()  # 59 MB
    assert done.returncode == 0, done.stderr
    assert images.load_image(tmp_path / "out.jpg").size == (32, 23)


def test_the_script_refuses_in_one_line(tmp_path):
    done = python(ROOT / "scripts" / "stylize.py", "--content", tmp_path / "a.jpg", "--style", "b.jpg", "--size", "x")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--size" in done.stderr


def test_help_lists_every_option():
    done = python(ROOT / "scripts" / "stylize.py", "--help", env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0
    assert done.stderr == ""
    own = ("content", "style", "output", "report", "save_every", "save_preset", "dry_run", "no_cache")
    for name in (*config.Config.__dataclass_fields__, *own):
        assert f"--{name.replace('_', '-')} " in done.stdout, name


def closed_choices():
    """The options that are one of a few values, with these, as a wrong value is told of them."""
    for field in dataclasses.fields(config.Config):
        try:
            config.Config(**{field.name: "no such"})
        except NSTError as error:
            if found := re.search(r"choose one of (.*)", str(error)):
                yield field.name, tuple(found[1].split(", "))
        except (TypeError, ValueError, AttributeError):
            pass  # no text at all


def test_the_choices_are_found():
    found = dict(closed_choices())
    assert found["padding"] == ("zeros", "replicate", "reflect", "wrap", "replicate-first")
    assert found["content_colors"] == ("photograph", "painting")
    assert len(found) == 11


@pytest.mark.parametrize("program", ["stylize", "sweep", "reproduce"])
def test_help_names_every_value_of_a_choice(program, capsys):
    """In its own words: what stands there as the default does not count."""
    with pytest.raises(SystemExit):
        importlib.import_module(f"nst_jax.cli.{program}").main(["--help"])
    texts = {}
    for option in re.split(r"\n. (?=--)", capsys.readouterr().out)[1:]:
        name, *words = re.sub(r"[│╭╮╰╯─]", " ", option).split()
        texts[name] = re.sub(r"\(default: [^)]*\)", "", " ".join(words))
    checked = 0
    for name, choices in closed_choices():
        if told := texts.get(flag(name)):
            missing = [value for value in choices if not re.search(rf"(?<![\w-]){re.escape(value)}(?![\w-])", told)]
            assert not missing, f"{flag(name)} of nst-{program} leaves out {missing}"
            checked += 1
    assert checked == (3 if program == "reproduce" else 11)


@pytest.mark.parametrize("program", ["stylize", "sweep", "reproduce"])
@pytest.mark.parametrize("words", [["--help"], ["--colour", "red"], ["--size", "0"]])
def test_what_needs_no_jax_loads_nothing_slow(program, words):
    code = (
        "import sys\n"
        f"from nst_jax.cli.{program} import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print({'jax', 'flax', 'optax', 'numpy', 'PIL', 'h5py', 'scipy'} & {*sys.modules})"
    )
    done = python("-c", code, *words)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr
