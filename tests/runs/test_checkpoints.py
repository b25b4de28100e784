"""A run that ends early goes on from its checkpoints, to the same picture bit for bit."""

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from support import random_filters, simple_config, smooth_picture

from nst_jax.cli import stylize as command
from nst_jax.errors import NSTError
from nst_jax.optim.minimise import Stop, minimise
from nst_jax.optim.steps import Method
from nst_jax.runs.checkpoints import Checkpoints, check_folder, interval
from nst_jax.runs.plan import prepare
from nst_jax.runs.pyramid import named_leaves
from nst_jax.runs.stylize import paint

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "stylize.py"


class Killed(Exception):
    """Ends a run as a kill does: nothing is done for it any more."""


def a_run(pictures, **changes):
    """A run of two scales, quick once it is compiled."""
    layers = {"network": "tiny", "content_layers": ("conv2_1",), "style_layers": ("conv1_1", "conv2_1")}
    settings = layers | {"size": 48, "scales": 2, "coarse_steps": (4,), "steps": 6, "history": 3} | changes
    return prepare(*pictures, simple_config(**settings), weights=random_filters("tiny"))


def ends_at(step, how=Killed):
    """What is called between steps, and ends the run at one of them."""

    def on_progress(progress):
        if progress.step == step:
            raise how

    return on_progress


def resumed(folder, run):
    """The result of a run that goes on, and where it went on."""
    with Checkpoints(folder, run, every="1", resume=True) as kept:
        after = len(kept.position.trace) if kept.position else 0
        return paint(kept.run, position=kept.position, keep=kept.keep), after


def waiting(kept):
    """Keeps every checkpoint that is due: a run as small as these ends before one is written, which skips the next."""
    return lambda *position: (kept.keep(*position), kept.manager.wait_until_finished())


def same(one, other):
    """Whether two results are the same but for the time that they took."""
    traces = [[row | {"seconds": 0} for row in result.trace] for result in (one, other)]
    counts = [(result.steps, result.evaluations, result.losses, result.ended) for result in (one, other)]
    return np.array_equal(one.image, other.image) and traces[0] == traces[1] and counts[0] == counts[1]


@pytest.mark.exact
@pytest.mark.parametrize("changes", [{}, {"optimizer": "adam", "averaging": 0.5, "pixel_range": "bounded"}])
def test_a_run_goes_on_to_the_same_picture(tmp_path, pictures, tiny, changes):
    """Ended between its scales, and twice in a row."""
    whole = paint(a_run(pictures, **changes))
    for number, steps in enumerate([(4,), (2, 8)]):
        folder = tmp_path / str(number)
        for step in steps:
            with pytest.raises(Killed), Checkpoints(folder, a_run(pictures, **changes), every="1", resume=True) as kept:
                paint(kept.run, ends_at(step), position=kept.position, keep=kept.keep)
        again, after = resumed(folder, a_run(pictures, **changes))
        assert 0 < after < steps[-1]  # the step at which it ended is not kept
        assert same(whole, again)


def test_checkpoints_change_nothing(tmp_path, pictures, tiny):
    with Checkpoints(tmp_path / "kept", a_run(pictures), every="2") as kept:
        again = paint(kept.run, keep=waiting(kept))
    assert same(paint(a_run(pictures)), again)
    assert len([path for path in (tmp_path / "kept").glob("*") if path.name.isdigit()]) == 2


def test_a_run_that_is_asked_to_stop_goes_on_there(tmp_path, pictures, tiny):
    with Checkpoints(tmp_path / "kept", a_run(pictures), every="1000s") as kept:
        stopped = paint(kept.run, ends_at(7, Stop), keep=kept.keep)
    assert stopped.ended == "stopped"
    again, after = resumed(tmp_path / "kept", a_run(pictures))
    assert after == 7
    assert same(paint(a_run(pictures)), again)


@pytest.mark.parametrize("how", ["gone", "changed", "all of both"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, pictures, tiny, how, capfd):
    with Checkpoints(tmp_path / "kept", a_run(pictures), every="3") as kept:
        paint(kept.run, keep=waiting(kept))
    numbers = sorted(int(path.name) for path in (tmp_path / "kept").iterdir())
    damaged = numbers if how == "all of both" else numbers[-1:]
    for number in damaged:
        files = [path for path in (tmp_path / "kept" / str(number) / "arrays").rglob("*") if path.is_file()]
        largest = max(files, key=lambda path: path.stat().st_size)
        data = largest.read_bytes()
        middle = len(data) // 2
        largest.unlink()
        if how == "changed":
            largest.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    run = a_run(pictures)
    with Checkpoints(tmp_path / "kept", run, every="1", resume=True) as kept:
        assert len([note for note in kept.notes if "is damaged" in note]) == len(damaged)
        assert (kept.position is None) == (how == "all of both")
        again = paint(kept.run, position=kept.position, keep=kept.keep)
    assert same(paint(run), again)
    assert "Traceback" not in capfd.readouterr().err


def test_another_run_s_checkpoints_are_refused(tmp_path, pictures, tiny):
    with Checkpoints(tmp_path / "kept", a_run(pictures), every="1") as kept:
        paint(kept.run, keep=kept.keep)
    for run, told in (
        (a_run(pictures, strength=0.7), "strength is None, not 0.7"),
        (a_run(pictures, steps=7), "steps is 6, not 7"),
        (a_run([pictures[1], pictures[1]]), r"a picture is another one \(content\)"),
        (prepare(*pictures, a_run(pictures).config, weights=random_filters("tiny", 1)), "the network's file"),
    ):
        if "network" in told:  # filters that are drawn have no hash
            run = run._replace(passes=[each._replace(weights=named_other(each.weights)) for each in run.passes])
        with pytest.raises(NSTError, match=f"holds checkpoints of another run: {told}"):
            Checkpoints(tmp_path / "kept", run, resume=True)
    with pytest.raises(NSTError, match="holds a run's checkpoints already: continue it with --resume"):
        Checkpoints(tmp_path / "kept", a_run(pictures))


def named_other(weights):
    return dataclasses.replace(weights, sha256="other")


def test_the_way_of_the_start_is_kept(tmp_path, pictures, tiny):
    """What memory is free now decides nothing."""
    run = a_run(pictures)
    begun = run.in_way({"precision": "float32", "remat": True})
    with Checkpoints(tmp_path / "kept", begun, every="1") as kept:
        paint(kept.run, keep=kept.keep)
    with Checkpoints(tmp_path / "kept", run, resume=True) as kept:
        assert (run.plan.remat, kept.run.plan.remat) == (False, True)


def test_other_versions_are_told(tmp_path, pictures, tiny, monkeypatch):
    with Checkpoints(tmp_path / "kept", a_run(pictures), every="1") as kept:
        paint(kept.run, keep=kept.keep)
    monkeypatch.setattr("nst_jax.runs.checkpoints.versions", lambda: {"jax": "0.1"})
    with Checkpoints(tmp_path / "kept", a_run(pictures), resume=True) as kept:
        assert any("is 0.1" in note and "may differ" in note for note in kept.notes)


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photograph.jpg").touch()
    with pytest.raises(NSTError, match="file is no folder"):
        check_folder(tmp_path / "file", False)
    with pytest.raises(NSTError, match="holds other files than checkpoints, such as photograph.jpg"):
        check_folder(tmp_path / "mine", True)
    check_folder(tmp_path / "none", True)


def test_a_full_disk_ends_no_run(tmp_path, pictures, tiny, monkeypatch):
    told = []
    with Checkpoints(tmp_path / "kept", a_run(pictures), every="1", tell=told.append) as kept:

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(kept.manager, "save", full)
        result = paint(kept.run, keep=kept.keep)
    assert told == [
        f"cannot write checkpoints to {tmp_path / 'kept'}: No space left on device; the run goes on without"
    ]
    assert result.ended == ""


@pytest.mark.parametrize(("text", "found"), [("20", (20, 0)), ("60s", (0, 60)), (" 5 ", (5, 0))])
def test_how_often(text, found):
    assert interval(text) == found


@pytest.mark.parametrize("text", ["0", "-1", "s", "1.5", "5 min", "9" * 20])
def test_how_often_it_cannot_be(text):
    with pytest.raises(NSTError, match="--checkpoint-every is .*: give a number of steps, such as 20"):
        interval(text)


@pytest.mark.parametrize("name", ["adam", "lbfgs"])
def test_minimise_goes_on_from_a_point_after_a_recovery(name):
    """With its smaller rate, its count of recoveries and its best point. L-BFGS takes no such point, and comes back."""
    method = Method(name, history=3)

    def bowl(limit, x):
        value = jnp.sum((x - 1) ** 2) + jnp.where(jnp.max(x) > limit, jnp.nan, 0)
        return value, {"total": value}

    points = []

    def on_chunk(chunk):
        points.append({key: np.array(leaf) for key, leaf in named_leaves(chunk.point).items()})

    given = {
        "function": bowl,
        "argument": jnp.float32(0.6),
        "x": jnp.zeros(5),
        "steps": 30,
        "rate": 0.4,
    }
    whole = minimise(method, **given, on_chunk=on_chunk)
    assert any(point["recoveries"] for point in points) == (name == "adam")
    for point in points[:: max(1, len(points) // 4)]:
        again = minimise(method, **given, leaves=list(point.values()))
        np.testing.assert_array_equal(whole.x, again.x)
        assert (whole.steps, whole.evaluations, whole.reason) == (again.steps, again.evaluations, again.reason)
    with pytest.raises(ValueError, match="other shapes or types"):
        minimise(method, **given | {"x": jnp.zeros(6)}, leaves=list(points[0].values()))


@pytest.mark.exact
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_a_killed_command_goes_on(tmp_path):
    """``kill -9``, and then the same command once more."""
    from nst_jax.pictures import images

    for seed, name in enumerate(("photo.png", "painting.png")):
        images.save_image(tmp_path / name, smooth_picture(34, 48, seed))
    layers = ["--content-layers", "conv1_1", "--style-layers", "conv1_1", "--network", "slim", "--scales", "1"]
    line = ["--content", str(tmp_path / "photo.png"), "--style", str(tmp_path / "painting.png"), "--size", "32"]
    line += [*layers, "--steps", "100"]
    more = ["--resume", str(tmp_path / "kept"), "--checkpoint-every", "5", "--output", str(tmp_path / "out.png")]
    words = [sys.executable, str(SCRIPT), *line, *more]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 300
        while not any(path.name.isdigit() for path in (tmp_path / "kept").glob("*")) and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.png").exists()
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "going on after step " in done.stderr
    again = (tmp_path / "out.png").read_bytes()
    shutil.rmtree(tmp_path / "kept")
    assert command.main([*line, "--output", str(tmp_path / "out.png")]) == 0
    assert (tmp_path / "out.png").read_bytes() == again
