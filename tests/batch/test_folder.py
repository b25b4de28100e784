"""A batch's folder and its leases: one result of each job, whoever is first; what the dead leave; the page."""

import json
import os
import subprocess
import sys

import pytest
from batch_support import QUICK, make_inputs, options_of

from nst_jax import files
from nst_jax.batch import leases
from nst_jax.batch.folder import Folder
from nst_jax.batch.jobs import Job, Wish
from nst_jax.batch.leases import Leases
from nst_jax.cli import batch
from nst_jax.errors import NSTError
from nst_jax.options.config import Config
from nst_jax.pages.gallery import gallery


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def held(tmp_path):
    """The leases of this process, which end with the test."""
    with_leases = Leases(tmp_path)
    yield with_leases
    with_leases.close()


def test_a_folder_gets_its_name_whole_and_the_first_keeps_it(tmp_path):
    target = tmp_path / "result"
    for text in ("first", "second"):
        with files.placing_folder(target) as folder:
            (folder / "a").write_text(text)
            assert text == "second" or not target.exists()
    with pytest.raises(RuntimeError), files.placing_folder(tmp_path / "other") as folder:
        (folder / "a").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["result"] and (target / "a").read_text() == "first"


def test_of_two_that_place_a_file_one_is_first(tmp_path, monkeypatch):
    for name in ("linked", "made"):
        assert files.place_first(tmp_path / name, "first") and not files.place_first(tmp_path / name, "second")
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"linked": "first", "made": "first"}


def test_what_a_dead_process_was_writing_goes(tmp_path, dead):
    half = tmp_path / f".nst-{files.machine()}-{dead}-01234567.tmp"
    half.mkdir()
    (half / "picture.png").write_text("half")
    other, mine = (
        tmp_path / f".nst-00000000-{dead}-01234567.tmp",
        tmp_path / f".nst-{files.machine()}-{os.getpid()}-01234567.tmp",
    )
    for path in (other, mine):
        path.write_text("")
    files.clear_temporary(tmp_path)
    assert set(tmp_path.iterdir()) == {other, mine}
    os.utime(other, (0, 0))
    files.clear_temporary(tmp_path, 3600)
    assert set(tmp_path.iterdir()) == {mine}


def test_a_process_that_waits_for_its_parent_is_dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its status is still there
    assert not files.alive(process.pid) and files.alive(os.getpid())
    process.wait()


def test_a_lease_is_one_s_until_it_is_given_back(tmp_path, held):
    assert held.take("unit")
    other = Leases(tmp_path)
    assert not other.take("unit") and leases.units_of(tmp_path, os.getpid()) == ["unit"]
    held.give_back("unit")
    assert other.take("unit")
    other.close()
    assert held.take("unit")


def test_a_lease_of_the_dead_is_anybody_s(tmp_path, held, dead):
    (tmp_path / "unit").write_text(f"{files.machine()} {dead}")
    assert held.take("unit") and (tmp_path / "unit").read_text() == f"{files.machine()} {os.getpid()}"


def test_a_lease_of_another_machine_is_left_alone_while_it_is_touched(tmp_path, held, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: clock[0])
    path = tmp_path / "unit"
    path.write_text("00000000 1")
    for now in (0, 50, 100, 150):
        clock[0] = now
        os.utime(path, (now, now))
        assert not held.take("unit")
    clock[0] = 150 + leases.LONGEST
    assert not held.take("unit")
    clock[0] += 1
    assert held.take("unit")


def test_the_holder_of_a_lease_touches_it(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.01)
    held = Leases(tmp_path)
    held.take("unit")
    os.utime(tmp_path / "unit", (0, 0))
    for _ in range(500):
        if (tmp_path / "unit").stat().st_mtime:
            break
        held._closed.wait(0.01)
    assert (tmp_path / "unit").stat().st_mtime > 0
    held.close()
    assert not (tmp_path / "unit").exists()


@pytest.fixture
def job(tmp_path):
    return Job("a" * 20, Wish("a.jpg", ("b.jpg",), Config(network="slim"), "mine.png", ".png"))


def test_an_output_name_is_the_same_picture(tmp_path, job):
    folder = Folder(tmp_path / "out")
    folder.make()
    place = folder.path / "results" / job.name
    place.mkdir()
    (place / "picture.png").write_text("a picture")
    (folder.path / "mine.png").write_text("an older one")
    folder.name(job)
    folder.name(job)
    assert os.path.samefile(folder.path / "mine.png", place / "picture.png")


def test_results_are_told_of_once_and_what_is_done_has_not_failed(tmp_path, job):
    folder = Folder(tmp_path / "out")
    folder.make()
    other = Job("b" * 20, job.wish._replace(output=""))
    folder.fail(job, "it was the memory")
    folder.fail(other, "no picture")
    place = folder.path / "results" / job.name
    place.mkdir()
    told = {"size": [9, 8], "steps": 3, "ended": "", "losses": {"total": 1.5}, "seconds": {}, "output": "picture.png"}
    (place / "report.json").write_text(json.dumps(told))
    (place / "picture.png").write_text("a picture")
    for _ in range(2):
        folder.save_overview([job, other], "two")
        rows = [json.loads(line) for line in (folder.path / "results.jsonl").read_text().splitlines()]
        assert [(row["job"], row.get("picture"), row.get("error")) for row in rows] == [
            (job.name, f"results/{job.name}/picture.png", None),
            (other.name, None, "no picture"),
        ]
    moved = job._replace(wish=job.wish._replace(content="moved.jpg", output="new.png"))
    folder.save_overview([moved, other], "two")
    first = json.loads((folder.path / "results.jsonl").read_text().splitlines()[0])
    assert (first["content"], first["output"], first["steps"]) == ("moved.jpg", "new.png", 3)
    assert folder.failures([job, other]) == ["no picture"]
    folder.forget_failures([other])
    assert not folder.is_settled(other)


def test_the_page_has_every_row_and_no_markup_of_a_name(tmp_path):
    row = {"content": "/a/<b>.jpg", "style": ["/s/é &.jpg"], "losses": {"total": 2.0, "tv": None}}
    told = gallery("<1>", [row | {"picture": "results/x/picture.png"}, row | {"error": "</script> no"}])
    assert set(told) == {"index.html", "gallery.js"}
    assert "<h1>&lt;1&gt;</h1>" in told["index.html"] and "http" not in told["index.html"]
    rows = json.loads(told["gallery.js"].removeprefix("const ROWS = ").removesuffix(";\n"))
    assert rows[0]["thumbnail"] == "results/x/thumbnail.jpg" and rows[0]["content"] == "<b>.jpg"
    assert rows[0]["total"] == 2 and rows[1]["error"] == "</script> no"
    assert rows[0]["files"][1] == "file:///s/%C3%A9%20%26.jpg"


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NSTError, match="which is no folder"):
        Folder(tmp_path / "file").make()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--content", "a.jpg"], "give --content and --style, or --manifest and neither of them"),
        (["--manifest", "a.csv", "--content", "a.jpg", "--style", "b.jpg"], "give --content and --style, or"),
        (["--manifest", "a.csv", "--content", "a.jpg"], "leave --content and --style out"),
        (["--manifest", "a.csv", "--threads", "0"], "--threads is 0: give a whole number of 1 or more"),
    ],
)
def test_command_lines_that_are_no_good(tmp_path, capsys, words, line):
    assert batch.main([*words, "--output", str(tmp_path / "out")]) == 2
    assert line in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_cluster_without_an_address():
    assert batch.with_address(["--cluster", "--size", "9"]) == ["--cluster", "", "--size", "9"]
    assert batch.with_address(["--size", "9", "--cluster"]) == ["--size", "9", "--cluster", ""]
    assert batch.with_address(["--cluster", "head:6379"]) == ["--cluster", "head:6379"]


def test_a_dry_run_says_what_is_left(tmp_path, capsys):
    contents, styles = make_inputs(tmp_path / "inputs")
    options = options_of(contents, styles, tmp_path / "out")
    folder = Folder(options.output)
    folder.make()
    jobs, _ = batch.planned(options, folder)
    (folder.path / "results" / jobs[0].name).mkdir()
    line = ["--content", *contents, "--style", *styles, "--output", str(options.output), "--dry-run", "--lanes", "2"]
    assert batch.main([*line, *QUICK]) == 0
    told = capsys.readouterr()
    assert told.out == "9 pictures are left, in 5 programs' runs\n" and "10 jobs, 1 of them done" in told.err
