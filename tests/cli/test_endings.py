"""How a run can end: signals, disks without room, readers that go away, consoles, links, devices; nothing is lost."""

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from support import signalled_after_a_step, simple_config, smooth_picture

from nst_jax import files
from nst_jax.cli import display, pace, streams, stylize
from nst_jax.cli.command import parse
from nst_jax.cli.outputs import check_outputs, check_previews
from nst_jax.cli.signals import interruptible
from nst_jax.errors import NSTError
from nst_jax.options.config import Config
from nst_jax.pictures import images
from nst_jax.runs import report
from nst_jax.runs import stylize as library
from nst_jax.runs.progress import Progress
from nst_jax.runs.result import rising

ROOT = Path(__file__).resolve().parents[2]
RUN = [sys.executable, str(ROOT / "scripts" / "stylize.py")]
QUICK = [
    "--size",
    "32",
    "--scales",
    "1",
    "--network",
    "slim",
    "--preset",
    "nst_jax-0.1",
    "--content-layers",
    "conv1_1",
    "--style-layers",
    "conv1_1",
]


@pytest.fixture
def line(pictures, tmp_path):
    return ["--content", str(pictures[0]), "--style", str(pictures[1]), *QUICK, "--output", str(tmp_path / "out.png")]


@pytest.fixture
def result(tmp_path, tiny):
    """What a run gives that has a long list of inputs, without a run."""
    from nst_jax.runs.result import Result

    config = simple_config(network=tiny, content_layers=("conv1_1",), style_layers=("conv1_1",)).for_network(tiny)
    inputs = [
        {"role": "style", "path": f"/home/somebody/{'x' * 90}{number}.png", "sha256": "0" * 64, "size": [9, 9]}
        for number in range(400)
    ]
    return Result(
        smooth_picture(20, 30, 0), None, config, {"total": 1.0}, [], 1, 1, {}, inputs, {"name": tiny, "sha256": ""}, {},
        [], "",
    )  # fmt: skip


# ---------------------------------------------------------------- signals


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_a_signal_writes_the_picture_so_far(line, tmp_path):
    words = [*RUN, *line, "--steps", "1000000", "--report", str(tmp_path / "report.json")]
    status, out, err = signalled_after_a_step(words, signal.SIGTERM)
    assert status == 143, err
    assert out.startswith(f"{tmp_path / 'out.png'}: ")
    assert images.load_image(tmp_path / "out.png").size == (32, 23)
    assert json.loads((tmp_path / "report.json").read_text())["ended"] == "stopped"


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_each_signal_has_its_status(line, tmp_path, monkeypatch, capsys, name):
    """In this process, which the first of them does not end."""

    @contextlib.contextmanager
    def signalled(_):
        yield lambda progress: signal.raise_signal(getattr(signal, name)) if progress.step == 2 else None

    monkeypatch.setattr(stylize, "display", signalled)
    assert stylize.main([*line, "--steps", "4"]) == 128 + getattr(signal, name)
    assert "stopping after this step, and writing the picture so far" in capsys.readouterr().err
    assert images.load_image(tmp_path / "out.png").size == (32, 23)


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize(
    ("name", "loading"),
    [("SIGINT", "tyro"), ("SIGTERM", "jax"), ("SIGHUP", "h5py"), ("SIGINT", "nst_jax.runs.stylize")],
)
def test_before_the_first_step_a_signal_gets_one_line(line, tmp_path, name, loading):
    """In the middle of the imports, wherever that is."""
    code = (
        "import os, signal, sys\n"
        "from nst_jax.cli import start\n"
        "class Loading:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {loading!r}: os.kill(os.getpid(), signal.{name})\n"
        "sys.meta_path.insert(0, Loading())\n"
        "sys.exit(start.stylize())"
    )
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True)
    assert done.returncode == 128 + getattr(signal, name)
    told = "interrupted" if name == "SIGINT" else f"ended by {name}"
    assert (done.stdout, done.stderr) == ("", f"nst-stylize: {told}\n")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal")
def test_a_hangup_that_is_to_be_ignored_is(monkeypatch):
    """As nohup asks."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible("") as asked:
            signal.raise_signal(signal.SIGHUP)
            assert asked() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path, monkeypatch):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead, alive = int(done.stdout), os.getpid()
    monkeypatch.setattr(files, "_cleared", set())
    left = [tmp_path / f".nst-{files.machine()}-{number}-0123abcd.tmp" for number in (dead, alive)]
    other = tmp_path / ".nst-ffffffff-1-0123abcd.tmp"  # another machine's
    for path in (*left, other, tmp_path / ".mine.tmp"):
        path.write_text("half")
    with files.replacing(tmp_path / "out.txt") as temporary:
        temporary.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"out.txt", left[1].name, other.name, ".mine.tmp"}


def test_a_process_that_ends_at_once_leaves_no_temporary_file(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from nst_jax import files\n"
        "from nst_jax.cli.signals import ends_at_once\n"
        "ends_at_once('nst-stylize')\n"
        "with files.replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    signal.pause()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "out.txt"], capture_output=True, text=True)
    assert done.returncode == 143
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- what is written where


def test_no_device_or_pipe_is_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no ordinary file"), files.replacing(tmp_path / "pipe"):
        pass
    with pytest.raises(NSTError, match="--report is .*pipe, which is no ordinary file"):
        check_outputs({"--report": tmp_path / "pipe"}, {})
    assert (tmp_path / "pipe").is_fifo()


def test_two_names_of_one_file_are_refused(tmp_path):
    (tmp_path / "out.png").write_text("")
    (tmp_path / "link.json").symlink_to("out.png")
    (tmp_path / "folder").mkdir()
    for other in (tmp_path / "link.json", tmp_path / "folder" / ".." / "out.png"):
        with pytest.raises(NSTError, match="--report and --output are both"):
            check_outputs({"--output": tmp_path / "out.png", "--report": other}, {})


def test_previews_take_the_place_of_no_input(tmp_path):
    photo, linked = tmp_path / "p-000004.png", tmp_path / "elsewhere.png"
    photo.write_text("")
    linked.write_text("")
    (tmp_path / "p-000006.png").symlink_to(linked)
    for every, path, message in [(2, photo, "p-000004.png"), (4, photo, "p-000004.png"), (3, linked, "elsewhere.png")]:
        with pytest.raises(NSTError, match=f"--content has .*{message}, whose name --save-every {every} needs"):
            check_previews(tmp_path / "p.png", every, {"--content": [path]})
    for every, output in [(3, "p.png"), (0, "p.png"), (2, "q.png")]:
        check_previews(tmp_path / output, every, {"--content": [photo]})
    with pytest.raises(NSTError, match="--report has .*p-000010.png"):
        check_previews(tmp_path / "p.png", 5, {"--report": [tmp_path / "p-000010.png"]})


@pytest.mark.parametrize(
    "option", ["content", "palette", "freeze", "init", "style", "weights", "report", "content-mask"]
)
def test_a_name_that_is_too_long_gets_one_line(line, capsys, option):
    words = [word for word in line]
    if f"--{option}" in words:
        words[words.index(f"--{option}") + 1] = "b" * 256 + ".png"
    else:
        words += [f"--{option}", "b" * 256 + ".png"]
    assert stylize.main(words) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "File name too long" in told


def test_what_cannot_be_looked_at_gets_one_line(line, capsys, monkeypatch, pictures):
    stat = os.stat

    def refused(path, *rest, **options):
        if not isinstance(path, int) and os.fspath(path) == str(pictures[0]):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *rest, **options)

    monkeypatch.setattr(files.os, "stat", refused)
    assert stylize.main(line) == 2
    assert capsys.readouterr().err == f"nst-stylize: error: cannot read {pictures[0]}: Permission denied\n"


def test_a_result_without_room_is_written_elsewhere(result, tmp_path, monkeypatch):
    def full(path):
        if Path(path).parent == tmp_path:
            raise NSTError(f"cannot write {path}: No space left on device")
        Path(path).write_text("here")

    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(report.tempfile, "tempdir", None)
    place, wrong = report.saved_somewhere(tmp_path / "out.png", full)
    assert wrong == f"cannot write {tmp_path / 'out.png'}: No space left on device"
    assert place.read_text() == "here"
    assert place.name == "out.png"
    assert tmp_path / "temporary" in place.parents

    def refused_name(path):
        if path.name == "out.png":
            raise NSTError("it is a folder by now")
        path.write_text("beside")

    assert report.saved_somewhere(tmp_path / "out.png", refused_name)[0] == tmp_path / "out-1.png"
    with pytest.raises(NSTError, match="nowhere"):
        report.saved_somewhere(tmp_path / "out.png", lambda path: (_ for _ in ()).throw(NSTError("nowhere")))


def test_a_run_on_a_full_disk_ends_with_its_picture(line, tmp_path, capsys, monkeypatch):
    """A preview that cannot be written is a note, and the run goes on."""
    save_image = images.save_image

    def full(path, *rest, **more):
        if Path(path).parent == tmp_path:
            raise NSTError(f"cannot write {path}: No space left on device")
        save_image(path, *rest, **more)

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(report.tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(images, "save_image", full)
    assert stylize.main([*line, "--steps", "4", "--save-every", "2"]) == 1
    told = capsys.readouterr()
    assert "note: cannot write" in told.err and "out-000002.png: No space left on device; the run goes on" in told.err
    assert f"error: cannot write {tmp_path / 'out.png'}: No space left on device; it is " in told.err
    (found,) = (tmp_path / "temporary").glob("*/out.png")
    assert str(found) in told.out
    assert images.load_image(found).size == (32, 23)


# ---------------------------------------------------------------- metadata


@pytest.mark.parametrize("extension", ["jpg", "webp", "tiff"])
def test_metadata_for_which_there_is_no_room_is_shortened(result, tmp_path, extension):
    note = report.save(tmp_path / f"out.{extension}", result)
    assert "no room for all of the metadata" in note
    told = json.loads(images.read_metadata(tmp_path / f"out.{extension}")["nst_jax"])
    assert told["inputs"]["count"] == 400
    assert len(told["inputs"]["sha256"]) == 64
    assert told["config"]["steps"] == result.config.steps
    assert report.save(tmp_path / "out.png", result) == ""
    whole = json.loads(images.read_metadata(tmp_path / "out.png")["nst_jax"])
    assert len(whole["inputs"]) == 400


def test_a_note_on_shortened_metadata_names_the_report_that_is_there(result, line, tmp_path, capsys):
    result, report_file = dataclasses.replace(result, seconds={"total": 1.0}), str(tmp_path / "report.json")
    for more, place in (([], "--report FILE"), (["--report", report_file], report_file)):
        options = parse(stylize.Stylize, [*line[:-1], str(tmp_path / "out.jpg"), *more], "nst-stylize")
        assert stylize.save_all(options, result)
        assert f"which is shortened; {place} has all of it\n" in capsys.readouterr().err
    assert len(json.loads(Path(report_file).read_text())["inputs"]) == 400


def test_metadata_is_as_it_is_wanted(result, tmp_path):
    for wanted, has in (("full", True), ("short", False)):
        report.save(tmp_path / "out.png", result, wanted)
        told = images.read_metadata(tmp_path / "out.png")["nst_jax"]
        assert ("/home/somebody" in told) is has
        assert json.loads(told)["inputs"][0]["sha256"] == "0" * 64
    report.save(tmp_path / "out.png", result, "none")
    assert images.read_metadata(tmp_path / "out.png") == {}
    with pytest.raises(NSTError, match="unknown metadata 'all': choose one of full, short, none"):
        report.save(tmp_path / "out.png", result, "all")


# ---------------------------------------------------------------- streams


class Broken:
    """A stream whose reader or disk has gone."""

    encoding = "cp1252"

    def __init__(self, error):
        self.error = error

    def write(self, text):
        raise self.error

    flush = write

    def fileno(self):
        raise OSError


def test_a_reader_that_goes_away_ends_nothing(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError(32, "Broken pipe")))
    with streams.lasting("nst-stylize"):
        print("one")
        print("two", flush=True)
    assert capsys.readouterr().err == ""


def test_output_for_which_there_is_no_room_is_a_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(OSError(28, "No space left on device")))
    with streams.lasting("nst-stylize"):
        print("one")
    told = capsys.readouterr().err
    assert told == "nst-stylize: note: cannot write to standard output: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_the_command_with_a_console_of_its_own(line, tmp_path):
    """A full disk behind it, and characters that it lacks: one line at the end, and the picture is there."""
    words = [*RUN, *line[:-1], str(tmp_path / "日本.png"), "--steps", "2"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].endswith("cannot write to standard output: No space left on device")
    assert images.load_image(tmp_path / "日本.png").size == (32, 23)


def test_characters_that_a_console_lacks_are_escaped(line, tmp_path, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", console)
    assert stylize.main([*line[:-1], str(tmp_path / "日本.png"), "--steps", "2"]) == 0
    assert b"\\u65e5\\u672c.png: 2 steps" in console.buffer.getvalue()
    assert images.load_image(tmp_path / "日本.png").size == (32, 23)


# ---------------------------------------------------------------- options


def test_an_option_that_is_there_twice_is_refused(line):
    for more in (["--style", "a.png"], ["--size=4"], ["--style_scale", "1", "--style-scale", "2"]):
        with pytest.raises(NSTError, match=r"--(style|size|style-scale) is given twice: give it once"):
            parse(stylize.Stylize, [*line, *more], "nst-stylize")


def test_an_unknown_option_is_named_though_another_is_missing():
    with pytest.raises(NSTError, match="there is no option --styel: did you mean --style?"):
        parse(stylize.Stylize, ["--content", "a", "--styel", "b"], "nst-stylize")


def test_a_tiny_painting_is_told_what_helps(line, pictures, capsys):
    """It is never enlarged to ``--size``, but by ``--style-scale``."""
    images.save_image(pictures[1], smooth_picture(8, 8, 1))
    words = [word if word != "32" else "2048" for word in line]
    words[words.index("--style-layers") + 1] = "conv5_1"
    assert stylize.main(words) == 2
    assert (
        "is 8 x 8 pixels at this size; the layers in use need 16 on the shorter side: give a larger --style-scale"
        in (capsys.readouterr().err)
    )
    assert stylize.main([*words, "--style-scale", "2", "--dry-run"]) == 0


@pytest.mark.parametrize("name", ["JAX_PLATFORMS", "JAX_PLATFORM_NAME"])
def test_a_device_that_is_not_there_gets_one_line(line, name):
    done = subprocess.run([*RUN, *line], capture_output=True, text=True, env={**os.environ, name: "tpu"})
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"there is no device as {name}=tpu asks for" in done.stderr


# ---------------------------------------------------------------- previews and the time left


def test_previews_have_the_transparency_of_the_result(tmp_path, pictures, line):
    alpha = np.ones((34, 48), np.float32)
    alpha[:10] = 0
    images.save_image(pictures[0], smooth_picture(34, 48, 0), alpha)
    assert stylize.main([*line, "--steps", "2", "--save-every", "1"]) == 0
    result, preview = (images.load_image(tmp_path / name).alpha for name in ("out.png", "out-000001.png"))
    np.testing.assert_array_equal(result, preview)
    assert result.min() == 0


def test_there_is_a_look_at_every_nth_step_of_a_chunk(monkeypatch):
    """As on an accelerator, where a chunk has many steps, and over stages whose lengths are no multiples."""
    from support import random_filters

    from nst_jax.runs import machine

    monkeypatch.setattr(machine, "CHUNK", 5)
    seen = []
    config = simple_config(
        network="slim", size=64, scales=2, steps=13, coarse_steps=(7,), content_layers=("conv1_1",),
        style_layers=("conv1_1",), optimizer="adam", precision="float32",
    )  # fmt: skip
    handed = machine.Machine("gpu", free=2**40, devices=machine.here().devices)
    library.stylize(
        smooth_picture(48, 64, 0), smooth_picture(48, 64, 1), config, weights=random_filters("slim"), machine=handed,
        on_progress=lambda progress: seen.append(progress.step), looks=4,
    )  # fmt: skip
    assert {4, 8, 12, 16, 20} <= set(seen)
    assert len(seen) < 20


def test_the_command_writes_each_preview_on_an_accelerator_s_schedule(line, tmp_path, monkeypatch):
    """Where a chunk is of 50 steps, and 20 leaves no rest in the number of steps."""
    from nst_jax.runs import machine

    monkeypatch.setattr(machine.Machine, "chunk", machine.CHUNK)
    assert machine.here().chunk == 50
    assert stylize.main([*line, "--steps", "120", "--save-every", "20"]) == 0
    previews = sorted(tmp_path.glob("out-*.png"))
    assert [path.name for path in previews] == [f"out-{step:06}.png" for step in range(20, 121, 20)]
    pixels = [images.load_image(path).pixels for path in (*previews, tmp_path / "out.png")]
    assert [(one == other).all() for one, other in zip(pixels, pixels[1:], strict=False)] == [False] * 5 + [True]


def test_the_time_left_is_of_each_stage_s_own_steps(monkeypatch):
    now = types.SimpleNamespace(monotonic=lambda: now.seconds)
    monkeypatch.setattr(pace, "time", now)
    told = pace.Pace([((30, 40), 10), ((60, 80), 10)])
    now.seconds = 100.0
    assert told.left(1) is None
    now.seconds = 101.0
    assert told.left(2) == pytest.approx(8 * 1 + 10 * 4)  # four times the pixels
    now.seconds = 109.0
    assert told.left(10) == pytest.approx(40)
    now.seconds = 150.0
    assert told.left(11) == pytest.approx(9 * 4)  # its first step says nothing: that was compiled
    now.seconds = 152.0
    assert told.left(12) == pytest.approx(8 * 2)
    assert [pace.words(seconds) for seconds in (None, 5, 300, 10_000)] == ["", "5 s left", "5 min left", "2.8 h left"]


def test_the_time_left_is_seen_in_80_columns(monkeypatch, capsys):
    from rich.console import Console

    clock = iter(range(100))
    monkeypatch.setattr(pace.time, "monotonic", lambda: float(next(clock)))
    console = Console(width=80, force_terminal=True, stderr=True)
    names = ("content", "style", "total", "tv")
    with display._bar(console, pace.Pace([((1024, 768), 1000)])) as show:
        for step in range(1, 4):
            show(Progress(step, 1000, dict.fromkeys(names, 1.234), (1024, 768), lambda: None))
    assert "min left" in capsys.readouterr().err


def test_a_rejected_last_point_and_a_refined_run_that_was_stopped_are_no_rise():
    rows = [{"size": 32, "total": total} for total in (0.2, 0.1, 0.5)]
    plain, refined = (Config(refine=refine).for_network("vgg19") for refine in (False, True))
    assert len(rising(rows, plain, "", 0.3)) == 1
    assert rising(rows, plain, "", 0.1) == []
    assert rising(rows, refined, "stopped", 0.3) == []


def test_a_loss_that_ends_above_its_start_is_a_note(line, capsys):
    assert stylize.main([*line, "--optimizer", "adam", "--learning-rate", "10", "--steps", "6"]) == 0
    assert "note: the loss ended above its start at 32 pixels" in capsys.readouterr().err
