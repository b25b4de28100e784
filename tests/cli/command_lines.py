"""Random command lines through ``nst-stylize``'s own entry point: ``python tests/cli/command_lines.py 2000 SEED``.

All in one process, and no two alike. Each ends with status 0 and a picture, 1 and a line that says why, or 2 and one
line, with nothing written. None has a traceback, a warning, a NaN, a black picture, or hangs. One that kept checkpoints
is resumed from them, to the same picture. Prints how many ended how, and the seconds. A fault is printed to standard
error, the others go on, and the exit status is 1.
"""

import collections
import contextlib
import faulthandler
import io
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from hypothesis import HealthCheck, Phase, assume, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from quick_programs import QUICK_PROGRAMS  # noqa: E402

from nst_jax.options.preset_table import PRESET_CHANGES  # noqa: E402

#: Seconds by the clock after which a command line is taken to hang: long, for a machine that is busy with others.
HANGS = 900
#: JAX forgets its programs beyond so many regions of the process's memory; the system allows some 65,000.
REGIONS = 20_000


def make_pictures(folder):
    """The files that the command lines name."""
    import numpy as np
    from support import random_filters, smooth_picture

    from nst_jax.networks.weights_file import save_weights
    from nst_jax.pictures.images import save_image

    alpha = np.ones((48, 64), np.float32)
    alpha[:20, :20] = 0
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None, :, None] * np.ones((48, 1, 3), np.float32)
    save_image(folder / "photo.png", smooth_picture(48, 64, 0))
    save_image(folder / "cut.png", smooth_picture(48, 64, 1), alpha)
    save_image(folder / "painting.png", smooth_picture(48, 64, 2))
    save_image(folder / "other.jpg", smooth_picture(48, 64, 3))
    save_image(folder / "small.png", smooth_picture(12, 12, 4))
    save_image(folder / "mask.png", np.round(ramp))
    save_image(folder / "ramp.png", ramp)
    save_image(folder / "dim.png", ramp / 255)
    save_image(folder / "black.png", 0 * ramp)
    (folder / "text.png").write_text("no picture")
    save_weights(folder / "random.h5", random_filters("slim"))
    (folder / "both").mkdir()
    for number in range(2):
        save_image(folder / "both" / f"{number}.png", smooth_picture(48, 64, 5 + number))


def values(*usual, odd=()):
    """One of the usual values; one time in sixteen an odd one."""
    rare = st.sampled_from([*odd, *usual]) if odd else st.sampled_from(usual)
    return st.integers(0, 15).flatmap(lambda number: rare if number == 7 else st.sampled_from(usual)).map(str)


def several(one, most=2):
    """Some values of an option."""
    return st.lists(one, min_size=1, max_size=most)


NUMBERS = ("-1", "nan", "inf", "1e300", "x", "")
LAYERS = values(
    "conv1_1", "conv2_1:0.5", "conv3_1", "pool2", "conv4_2", odd=("relu1", "conv9_9", "conv1_1:x", "conv1_1:-1")
)
FILES = values(
    "photo.png", "painting.png", "other.jpg", "both", "cut.png", odd=("none.png", "text.png", "small.png", "b" * 300)
)
MASKS = values("mask.png", "ramp.png", odd=("dim.png", "black.png", "painting.png", "none.png"))
OPTIONS = {
    "size": values(64, 48, odd=(0, "x", 8, 10**9)),
    "steps": values(3, 1, 2, odd=(0, -1, "x", "none")),
    "strength": values(0, 0.3, 1, odd=NUMBERS),
    "content-weight": values(0, 1, 100, odd=NUMBERS),
    "style-weight": values(0, 1, 1000, odd=NUMBERS),
    "tv-weight": values(0, 1, 50, odd=NUMBERS),
    "tv-kind": values("squares", "absolute", "isotropic", "neighbours", odd=("l1",)),
    "tv-chroma": values(1, 3, odd=NUMBERS),
    "tv-excess": values(0, 0.02, 5, odd=NUMBERS),
    "content-layers": several(LAYERS),
    "style-layers": several(LAYERS, 3),
    "loss": values("normalized", "gatys2015", "gatys2016", "crowson", "wasserstein", odd=("gram",)),
    "style-octaves": values(1, 2, odd=(0, 99)),
    "moments": values(0, 1, odd=NUMBERS),
    "optimizer": values("lbfgs", "adam", odd=("sgd",)),
    "scales": values(1, 2, "auto", odd=(0, 99)),
    "scale-factor": values(2, 1.5, odd=(1, 17, *NUMBERS)),
    "coarsest": values(16, 32, odd=(0, "x", 10**9)),
    "coarse-steps": several(values(1, 2, odd=(-1, "x"))),
    "averaging": values(0, 0.5, 0.99, odd=(1, *NUMBERS)),
    "learning-rate": values(0.02, 1, odd=(0, 1e30, *NUMBERS)),
    "second-decay": values(0.9, 0.999, odd=(0, 1, *NUMBERS)),
    "history": values(1, 5, odd=(0, 2**31)),
    "init": values("content", "palette", "style", "noise", "gray", "painting.png", odd=("none.png", "text.png")),
    "detail": values(0, 0.5, 1, odd=NUMBERS),
    "content-colors": values("photograph", "painting", odd=("x",)),
    "init-noise": values(0, 0.5, 1, odd=NUMBERS),
    "seed": values(0, 7, odd=(-1, 2**40)),
    "pooling": values("avg", "max", odd=("median",)),
    "padding": values("zeros", "replicate", "reflect", "wrap", "replicate-first", odd=("x",)),
    "pixel-range": values("free", "bounded", odd=("x",)),
    "precision": values("float32", "bfloat16", "auto", odd=("half",)),
    "depth": values(8, 16, odd=(0, 12, "x")),
    "tile": values("auto", "off", 32, odd=(0, 1, "x")),
    "network": values("slim", "auto", odd=("vgg16", "vgg19", "resnet")),
    "weights": values("random.h5", odd=("text.png", "none.h5")),
    "preset": values(*PRESET_CHANGES, odd=("monet", "none.toml")),
    "style-size": values(0, 64, 48, odd=(-1, "x")),
    "style-scale": several(values(1, 0.7, 2, odd=NUMBERS)),
    "style-blend": several(values(1, 2, 0, odd=NUMBERS)),
    "keep-colors": values("none", "luminance", "cholesky", "pca", "histogram", odd=("hue",)),
    "palette": FILES,
    "content-mask": several(MASKS),
    "style-mask": several(values("painting.png", odd=("none.png", "mask.png"))),
    "freeze": MASKS,
    "mask-colors": several(values("red", "white", odd=("no", "#12"))),
    "report": values("report.json", "told.json", odd=("photo.png", "out.png", "both", "nowhere/report.json")),
    "timelapse": values("film.gif", "film.webp", "film.mp4", odd=("film.avi", "out.png", "photo.png", "no/film.gif")),
    "checkpoint": values("points", odd=("photo.png", "both", "photo.png/points")),
    "checkpoint-every": values("1", "2", "1s", odd=("0", "-1", "1m", "x")),
    "resume": values("points", odd=("photo.png", "both", "photo.png/points")),
    "output": values("out.png", "out.jpg", "out.webp", "out.tiff", odd=("out", "nowhere/out.png", "photo.png", "both")),
    "save-every": values(0, 1, 2, odd=(-1,)),
    "metadata": values("full", "short", "none", odd=("all",)),
    "save-preset": values("own.toml", odd=("own.txt",)),
    "devices": values(1, "all", odd=(0, 9, "x")),
    "coordinator-timeout": values(1, 60, odd=(0, "x")),
}  # fmt: skip
SWITCHES = ("tileable", "refine", "dry-run", "no-cache", "unknown")
#: Three lines in four look at layers that are near the picture, whose programs are compiled sooner.
NEAR = {"content-layers": ["conv2_1"], "style-layers": ["conv1_1", "conv2_1"]}


@st.composite
def command_lines(draw):
    """A command line of a photograph, paintings and a few options."""
    given_files = {"content": [draw(values("photo.png", "cut.png", odd=("none.png", "small.png", "both")))]}
    given_files["style"] = draw(several(FILES))
    usual = {"size": ["64"], "scales": ["1"], "steps": ["3"], "network": ["slim"], "report": ["report.json"]}
    usual |= {} if draw(st.integers(0, 3)) == 3 else NEAR
    names = draw(st.lists(st.sampled_from(sorted(OPTIONS)), max_size=4, unique=True))
    chosen = {name: draw(OPTIONS[name]) for name in names}
    options = given_files | usual | {name: [one] if isinstance(one, str) else one for name, one in chosen.items()}
    words = [word for name, entries in options.items() for word in (f"--{name}", *entries)]
    switches = draw(st.lists(st.sampled_from(SWITCHES), max_size=1)) if draw(st.integers(0, 5)) == 3 else []
    return [*words, *(f"--{name}" for name in switches)]


def word_after(words, option, default=None):
    """What a command line says of an option."""
    return words[words.index(option) + 1] if option in words else default


def check(words, before):
    """Runs a command line in the present folder, where ``before`` are the files; returns its status.

    AssertionError where it ends as it should not.
    """
    status, picture = ending(words, before)
    if status == 0 and "--checkpoint" in words and picture is not None:
        again = ["--resume" if word == "--checkpoint" and "--resume" not in words else word for word in words]
        resumed = ending(again, before, gone_on=True)
        assert resumed[0] == 0 and (resumed[1] == picture).all(), again
    return status


def changed_since(before):
    """What of the present folder is new or another."""
    return {path for path in Path(".").iterdir() if before.get(path) != path.stat().st_mtime_ns}


def ending(words, before, gone_on=False):
    """The status of a command line, and its picture [H, W, 3] or None. AssertionError where it is not as it should be.

    ``before`` are the files that were there before it. Of a run that has ``gone_on`` more may be there.
    """
    from nst_jax.cli.stylize import main
    from nst_jax.pictures.images import load_image

    out, err, picture = io.StringIO(), io.StringIO(), None
    faulthandler.dump_traceback_later(HANGS, exit=True, file=sys.__stderr__)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    faulthandler.cancel_dump_traceback_later()
    told = err.getvalue()
    assert status in (0, 1, 2), (words, status)
    assert "Traceback" not in told and "Warning" not in told, (words, told)
    if status == 2:
        assert told.startswith("nst-stylize: error: ") and len(told.splitlines()) == 1, (words, told)
        assert gone_on or not changed_since(before), (words, changed_since(before))
    elif "--dry-run" not in words:
        picture = load_image(word_after(words, "--output", "stylized.png")).pixels  # whole numbers: no NaN can be in it
        assert picture.max() > 0.02, (words, told)
        losses = json.loads(Path(word_after(words, "--report")).read_text())["losses"]
        finite = all(value is not None for value in losses.values())
        assert finite or status == 1, (words, losses)
        assert Path(word_after(words, "--timelapse", "photo.png")).stat().st_size > 0, words
    if status == 1:
        assert "did not stay finite" in told, (words, told)
    return status, picture


def tidy(before, copies):
    """Leaves the present folder as it was: a picture that is no input may have been written over."""
    for path in changed_since(before):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        if path in before:
            shutil.copy2(copies / path, path)


def run(count, start, copies):
    """So many different command lines, drawn from a seed; how often each status came, or "fault".

    ``copies`` is a folder with what is in the present one.
    """
    import jax

    from nst_jax.pictures import transport

    transport.SAMPLE = 4096  # a picture of 64 pixels has fewer; more take a third of a run's time
    found, seen = collections.Counter(), set()

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(command_lines())
    def one(words):
        assume(tuple(words) not in seen)  # those that are given up do not count
        seen.add(tuple(words))
        before = {path: path.stat().st_mtime_ns for path in Path(".").iterdir()}
        try:
            found[check(words, before)] += 1
        except Exception:  # hypothesis would try it again, and stop
            found["fault"] += 1
            print(f"{shlex.join(words)}\n{traceback.format_exc()}", file=sys.stderr)
        tidy(before, copies)
        maps = Path("/proc/self/maps")
        if (maps.read_text().count("\n") > REGIONS) if maps.exists() else len(seen) % 50 == 0:
            jax.clear_caches()

    one()
    return found


if __name__ == "__main__":
    warnings.simplefilter("always")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {
            "NST_JAX_WEIGHTS": str(Path(place) / "no weights"),
            "XLA_FLAGS": QUICK_PROGRAMS,
            "JAX_ENABLE_COMPILATION_CACHE": "false",
            "TF_CPP_MIN_LOG_LEVEL": "3",  # as the command sets it, before it loads JAX
        }
        copies, here = Path(place) / "copies", Path(place) / "here"
        copies.mkdir()
        make_pictures(copies)
        shutil.copytree(copies, here)
        os.chdir(here)
        endings = run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, copies)
        os.chdir("/")
    print(json.dumps({"endings": endings, "seconds": round(time.monotonic() - begun)}))
    sys.exit("fault" in endings)
