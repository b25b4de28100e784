"""The commands and snippets of README.md and docs/ work as they are written, in turn, without VGG-19's weights."""

import re
import shlex
from pathlib import Path

import pytest
from support import smooth_picture

from nst_jax.cli import batch, replay, reproduce, stylize, sweep
from nst_jax.pictures import images
from nst_jax.sweeps.figures import FIGURES

PROJECT = Path(__file__).parents[2]
TEXTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
MAINS = {
    "nst-stylize": stylize.main,
    "nst-sweep": sweep.main,
    "nst-reproduce": reproduce.main,
    "nst-batch": batch.main,
    "nst-replay": replay.main,
}
#: The commands that are only to say what they would do.
DRY = ("nst-stylize", "nst-batch")
ALL_RUN = 0, ""
NEEDS_VGG = 2, "it needs VGG-19, whose weights you get with python -m convert_weights --download vgg19"


def commands(text):
    """The command lines in a text's blocks of code, in words."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith(tuple(MAINS))]


def snippets(text):
    """The Python code in a text's blocks."""
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def make_pictures(words):
    """The pictures that a command reads, in the present folder. What is no photograph is a mask of the left half."""
    halves = {"coded.png": ((0, 0, 1), (0, 1, 0)), "all_but_the_dress.png": (0, 1)}
    for folder in ("photos", "paintings"):
        Path(folder).mkdir(exist_ok=True)
    Path("jobs.csv").write_text("content,style,strength\nphotos/a.jpg,paintings/b.jpg,0.7\n")
    found = [name for name in re.findall(r"\S+\.(?:jpg|png)", words) if "*" not in name]
    for number, name in enumerate(["photos/a.jpg", "paintings/b.jpg", *found]):
        pixels = smooth_picture(48, 64, number)
        if name.endswith(".png"):
            pixels[:, :32], pixels[:, 32:] = halves.get(name, (1, 0))
        if not Path(name).exists():
            images.save_image(name, pixels)


def replayed(words):
    """A command of nst-replay without its output, with --print, and the result and the folder that it reads."""
    if not Path("stylized.png").exists():
        make_pictures("photo.jpg painting.jpg")
        layers = ["--content-layers", "conv1_1", "--style-layers", "conv1_1", "--scales", "1", "--steps", "0"]
        assert stylize.main(["--content", "photo.jpg", "--style", "painting.jpg", "--size", "32", *layers]) == 0
    Path("pictures").mkdir(exist_ok=True)
    for name, word in zip(words, words[1:], strict=False):
        if name == "--output":
            words = [each for each in words if each not in (name, word)]
    return words if "--print" in words else [*words, "--print"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder for one who has no weights; a sweep is prepared, and not run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path / "weights"))
    for command in (sweep, reproduce):
        monkeypatch.setattr(command, "run_lanes", lambda *_: 0)


def test_there_are_commands_and_snippets():
    assert sum(len(commands(path.read_text())) for path in TEXTS) > 12
    assert len(snippets((PROJECT / "README.md").read_text())) > 1


@pytest.mark.parametrize("text", [path for path in TEXTS if commands(path.read_text())], ids=lambda path: path.name)
def test_the_commands_of_a_text(place, text, capsys):
    """At a size that is quick."""
    for program, *words in commands(text.read_text()):
        if program == "nst-replay":  # what it would do is enough: it makes nothing with --print
            words = replayed(words)
        outputs = [word for name, word in zip(words, words[1:], strict=False) if name in ("--output", "--report")]
        make_pictures(" ".join(word for word in words if word not in outputs))
        words = [word.replace("/shared/", "") for word in words]
        if "--size" in words:
            words[words.index("--size") + 1] = "64"
        more = [] if "--size" in words or program == "nst-replay" else ["--size", "64"]
        more += ["--dry-run"] if program in DRY and "--dry-run" not in words else []
        assert MAINS[program]([*words, *more]) == 0, (words, capsys.readouterr().err)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_made_or_says_what_it_needs(place, capsys, name):
    make_pictures("photo.jpg painting.jpg")
    status, line = NEEDS_VGG if name in ("content-layers", "texture") else ALL_RUN
    words = [name, "--content", "photo.jpg", "--styles", "painting.jpg", "--size", "64"]
    assert reproduce.main(words) == status
    assert line in capsys.readouterr().err
    again = 2 if status else 0
    assert reproduce.main([*words, "--resume"]) == again
    assert reproduce.main(words) == 2
    assert status or "holds a sweep already: add --resume to continue it" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("text", [path for path in TEXTS if snippets(path.read_text())], ids=lambda path: path.name)
def test_the_snippets_of_a_text(place, text):
    """At a size that is quick."""
    make_pictures("photo.jpg painting.jpg")
    quick = "size=32, steps=1, scales=1, optimizer='adam', style_layers=('conv1_1', 'conv2_1')"
    for code in snippets(text.read_text()):
        code = code.replace("Config()", f"Config({quick})").replace("size=384", quick)
        exec(compile(code, text.name, "exec"), {"__name__": "snippet"})
    made = {path.name for path in Path().iterdir()}
    assert made & {"result.png", "out-0"}
