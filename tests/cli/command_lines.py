"""Random command lines through ``nst-stylize``'s own entry point: ``python tests/cli/command_lines.py 2000``.

All in one process. Each ends with status 0 and a picture, 1 and a line that says why, or 2 and one line, with nothing
written. None has a traceback, a warning, a NaN, a black picture, or hangs. Prints how many ended how, and the seconds.
"""

import collections
import contextlib
import faulthandler
import io
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["XLA_FLAGS"] = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compiles sooner
)
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as the command sets it, before it loads JAX
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from nst_jax.options.preset_table import PRESET_CHANGES  # noqa: E402

#: Seconds by the clock after which a command line is taken to hang: long, for a machine that is busy with others.
HANGS = 900


def make_pictures(folder):
    """The files that the command lines name."""
    import numpy as np
    from support import smooth_picture

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
    "output": values("out.png", "out.jpg", "out.webp", "out.tiff", odd=("out", "nowhere/out.png", "photo.png", "both")),
    "save-every": values(0, 1, 2, odd=(-1,)),
    "metadata": values("full", "short", "none", odd=("all",)),
    "save-preset": values("own.toml", odd=("own.txt",)),
}  # fmt: skip
SWITCHES = ("tileable", "dry-run", "no-cache", "unknown")


@st.composite
def command_lines(draw):
    """A command line of a photograph, paintings and a few options."""
    given_files = {"content": [draw(values("photo.png", "cut.png", odd=("none.png", "small.png", "both")))]}
    given_files["style"] = draw(several(FILES))
    usual = {"size": ["64"], "scales": ["1"], "steps": ["3"], "network": ["slim"], "report": ["report.json"]}
    names = draw(st.lists(st.sampled_from(sorted(OPTIONS)), max_size=4, unique=True))
    chosen = {name: draw(OPTIONS[name]) for name in names}
    options = given_files | usual | {name: [one] if isinstance(one, str) else one for name, one in chosen.items()}
    words = [word for name, entries in options.items() for word in (f"--{name}", *entries)]
    switches = draw(st.lists(st.sampled_from(SWITCHES), max_size=1)) if draw(st.integers(0, 5)) == 3 else []
    return [*words, *(f"--{name}" for name in switches)]


def check(words):
    """Runs a command line in the present folder; returns its status. AssertionError where it ends as it should not."""
    from nst_jax.cli.stylize import main
    from nst_jax.pictures.images import load_image

    output = Path(words[words.index("--output") + 1] if "--output" in words else "stylized.png")
    before = {path: path.stat().st_mtime_ns for path in Path(".").iterdir()}
    out, err = io.StringIO(), io.StringIO()
    faulthandler.dump_traceback_later(HANGS, exit=True, file=sys.__stderr__)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    faulthandler.cancel_dump_traceback_later()
    told = err.getvalue()
    assert status in (0, 1, 2), (words, status)
    assert "Traceback" not in told and "Warning" not in told, (words, told)
    changed = {path for path in Path(".").iterdir() if before.get(path) != path.stat().st_mtime_ns}
    if status == 2:
        assert told.startswith("nst-stylize: error: ") and len(told.splitlines()) == 1, (words, told)
        assert not changed, (words, changed)
    elif "--dry-run" not in words:
        picture = load_image(output).pixels  # whole numbers: no NaN can be in it
        assert picture.max() > 0.02, (words, told)
        losses = json.loads(Path("report.json").read_text())["losses"]
        finite = all(value is not None for value in losses.values())
        assert finite or status == 1, (words, losses)
    if status == 1:
        assert "did not stay finite" in told, (words, told)
    for path in changed:
        path.unlink()
    return status


def run(count, start):
    """So many command lines, drawn from a seed; how often each status came."""
    import jax

    found = collections.Counter()

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
        found[check(words)] += 1
        if sum(found.values()) % 50 == 0:
            jax.clear_caches()  # a process may map so many regions of memory

    one()
    return found


if __name__ == "__main__":
    warnings.simplefilter("always")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        make_pictures(Path(place))
        os.chdir(place)
        endings = run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
        os.chdir("/")
    print(json.dumps({"endings": endings, "seconds": round(time.monotonic() - begun)}))
