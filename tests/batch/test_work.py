"""A worker: lanes of many photographs, whatever is done before; what cannot be made; nothing twice."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from batch_support import made_here, make_inputs, options_of, pictures_of
from support import compiled_by, smooth_picture

import nst_jax
from nst_jax.batch import work
from nst_jax.batch.folder import Folder
from nst_jax.batch.work import Worker, paint_lanes
from nst_jax.cli import batch
from nst_jax.pictures import images


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A batch of five photographs and two paintings: its inputs, folder and jobs."""
    place = tmp_path_factory.mktemp("whole")
    inputs = make_inputs(place / "inputs")
    folder, jobs = made_here(options_of(*inputs, place / "out"))
    return inputs, folder, jobs


def test_every_job_has_its_picture_its_report_and_no_other_file(whole):
    _, folder, jobs = whole
    assert folder.done() == {job.name for job in jobs} and len(jobs) == 10
    for job in jobs:
        place = folder.path / "results" / job.name
        assert {path.name for path in place.iterdir()} == {"picture.png", "report.json", "thumbnail.jpg"}
        told = json.loads((place / "report.json").read_text())
        assert [entry["path"] for entry in told["inputs"]] == [job.wish.content, *job.wish.styles]
        assert told["job"] == job.name and told["steps"] == 2 and told["ended"] == ""
    assert not list((folder.path / "leases").iterdir())


def test_a_lane_is_what_a_run_alone_makes(whole):
    """Each with its own photograph and painting; a program of several lanes rounds differently."""
    _, folder, jobs = whole
    for job in (jobs[0], jobs[-1]):
        alone = nst_jax.stylize(job.wish.content, job.wish.styles, job.wish.config)
        there = images.load_image(folder.path / "results" / job.name / "picture.png").pixels
        np.testing.assert_allclose(there, alone.image, atol=1.5 / 255)
        told = json.loads((folder.path / "results" / job.name / "report.json").read_text())
        assert told["losses"]["total"] == pytest.approx(alone.losses["total"], rel=1e-3)


def test_what_is_done_before_changes_no_picture(whole, tmp_path):
    inputs, folder, jobs = whole
    options = options_of(*inputs, tmp_path / "out")
    half = Folder(options.output)
    half.make()
    for job in jobs[::3]:
        shutil.copytree(folder.path / "results" / job.name, half.path / "results" / job.name)
    before = {job.name: (half.path / "results" / job.name).stat().st_mtime_ns for job in jobs[::3]}
    made_here(options)
    assert pictures_of(half) == pictures_of(folder)
    assert before == {name: (half.path / "results" / name).stat().st_mtime_ns for name in before}


def test_what_has_the_same_shape_compiles_nothing(whole, tmp_path):
    inputs, _, jobs = whole
    options = options_of(*inputs, tmp_path / "out", "--strength", "0.6")
    assert compiled_by(lambda: made_here(options)) == 0
    assert len(Folder(options.output).done()) == len(jobs)


def test_what_cannot_be_made_is_recorded_and_the_rest_is_made(tmp_path):
    contents, styles = make_inputs(tmp_path / "inputs", contents=4, styles=1)
    options = options_of(contents, styles, tmp_path / "out")
    good = pictures_of(made_here(options)[0])
    cut = (tmp_path / "inputs" / "content-1.png").read_bytes()
    (tmp_path / "inputs" / "content-1.png").write_bytes(cut[: len(cut) // 2])  # its header is whole
    (tmp_path / "inputs" / "content-2.png").write_bytes(b"no picture")
    options = options_of(contents, styles, tmp_path / "again")
    folder, jobs = made_here(options)
    assert folder.done() == {jobs[0].name, jobs[3].name}
    lines = folder.failures(jobs)
    assert len(lines) == 2 and "content-1.png is" in lines[0] and "content-2.png is not a picture" in lines[1]
    assert pictures_of(folder).keys() <= good.keys()
    stamps = {path: path.stat().st_mtime_ns for path in (folder.path / "failed").iterdir()}
    made_here(options)
    assert stamps == {path: path.stat().st_mtime_ns for path in (folder.path / "failed").iterdir()}


def test_a_loss_that_is_not_finite_is_a_failure(tmp_path, monkeypatch):
    inputs = make_inputs(tmp_path / "inputs", contents=2, styles=1)

    def painted(*arguments):
        first, second = paint_lanes(*arguments)
        return [dataclasses.replace(first, ended="not finite"), second]

    monkeypatch.setattr(work, "paint_lanes", painted)
    folder, jobs = made_here(options_of(*inputs, tmp_path / "out"))
    (line,) = folder.failures(jobs)
    assert line.endswith(".png: the loss did not stay finite")
    assert len(folder.done()) == 1


def test_a_transparent_photograph_is_made_beside_the_lanes(tmp_path):
    contents, styles = make_inputs(tmp_path / "inputs", contents=3, styles=1)
    alpha = np.ones((24, 32), np.float32)
    alpha[:, :16] = 0
    images.save_image(contents[1], smooth_picture(24, 32, 1), alpha)
    folder, jobs = made_here(options_of(contents, styles, tmp_path / "out"))
    assert len(folder.done()) == 3
    place = folder.path / "results" / jobs[1].name / "picture.png"
    assert images.load_image(place).alpha[:, 0].max() == 0


def test_a_worker_that_is_to_end_leaves_no_half_and_no_lease(tmp_path, monkeypatch):
    inputs = make_inputs(tmp_path / "inputs")
    options = options_of(*inputs, tmp_path / "out")
    folder = Folder(options.output)
    folder.make()
    _, units = batch.planned(options, folder)
    worker = Worker(folder)

    def make(claim):
        worker.stopping = lambda: True
        assert len(list((folder.path / "leases").iterdir())) == 2  # this unit's and the next one's
        return Worker.make(worker, claim)

    monkeypatch.setattr(worker, "make", make)
    worker.work(units)
    assert [path for path in folder.path.rglob("*") if path.parent.name in ("results", "leases")] == []
