"""A run as a film: what it shows, in which steps, and that it ends no run."""

import dataclasses

import numpy as np
import pytest
from support import random_filters, simple_config

from nst_jax.cli import stylize as command
from nst_jax.networks.weights_file import save_weights
from nst_jax.pictures import images
from nst_jax.runs import timelapse
from nst_jax.runs.plan import prepare
from nst_jax.runs.progress import Progress
from nst_jax.runs.stylize import paint
from nst_jax.runs.timelapse import FADE, FIRST, LAST, MOST, PACE, Timelapse


@pytest.fixture
def frames(monkeypatch):
    """The frames of the films that a test makes, with their times, in place of a file."""
    shown = []

    class Film:
        def __enter__(self):
            return lambda frame, times: shown.append((frame, times))

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(timelapse, "film", lambda path: Film())
    return shown


def a_run(pictures, tiny, **changes):
    layers = {"content_layers": ("conv2_1",), "style_layers": ("conv1_1", "conv2_1")}
    settings = {"network": tiny, "size": 48, "scales": 3, "coarse_steps": (4,), "steps": 4} | layers | changes
    return prepare(*pictures, simple_config(**settings), weights=random_filters(tiny))


@pytest.mark.parametrize("changes", [{"init": "palette", "detail": 1.0}, {"keep_colors": "luminance"}])
def test_no_frame_jumps(pictures, tiny, frames, changes):
    """From the photograph over all sizes to the result, each frame of the result's size."""
    run = a_run(pictures, tiny, **changes)
    with Timelapse("a.gif", run) as film:
        result = paint(run, film.show)
        film.end(result)
    images_shown, times = zip(*frames, strict=True)
    assert {frame.shape for frame in images_shown} == {(34, 48, 3)}
    np.testing.assert_array_equal(images_shown[0], images.to_uint8(run.pictures.photograph.pixels))
    np.testing.assert_array_equal(images_shown[-1], images.to_uint8(result.image))
    assert (times[0], times[-1]) == (FIRST, LAST)
    steps = [np.abs(one.astype(float) - two).mean() for one, two in zip(images_shown, images_shown[1:], strict=False)]
    whole = np.abs(images_shown[0].astype(float) - images_shown[FADE]).mean()
    assert max(steps[:FADE]) < 2 * whole / FADE + 1
    assert len(frames) > FADE + 3


def test_there_are_more_frames_where_more_changes(pictures, tiny, frames):
    run = a_run(pictures, tiny)
    grey = np.full((34, 48, 3), 0.5, "f4")

    def show(change):
        before = len(frames)
        film.show(Progress(1, 9, {}, (48, 34), lambda: grey + np.float32(change)))
        return len(frames) - before

    with Timelapse("a.gif", run) as film:
        assert show(0) == FADE
        assert show(0.5 * PACE) == 0
        assert show(1.1 * PACE) == 1
        assert show(5.1 * PACE) == 4
        assert show(0.4) == MOST


def test_what_is_transparent_is_white(pictures, tiny, frames):
    run = a_run(pictures, tiny)
    alpha = np.ones((34, 48), "f4")
    alpha[:10] = 0
    photograph = dataclasses.replace(run.pictures.photograph, alpha=alpha)
    with Timelapse("a.gif", run._replace(pictures=run.pictures._replace(photograph=photograph))):
        pass
    assert frames[0][0][:10].min() == 255
    assert frames[0][0][12:].min() < 255


def test_a_film_that_fails_ends_no_run(tmp_path, pictures, tiny):
    told = []
    run = a_run(pictures, tiny)
    with Timelapse(tmp_path / "none" / "a.gif", run, told.append) as film:
        result = paint(run, film.show)
        film.end(result)
    assert result.ended == ""
    assert len(told) == 1
    assert "the run goes on without the film" in told[0]


def test_the_command_makes_the_film_and_the_same_picture(tmp_path, pictures, tiny):
    save_weights(tmp_path / "tiny.h5", random_filters(tiny))
    words = ["--content", pictures[0], "--style", pictures[1], "--weights", tmp_path / "tiny.h5", "--network", tiny]
    words += ["--content-layers", "conv2_1", "--style-layers", "conv1_1", "--output", tmp_path / "a.png"]
    words = [str(word) for word in (*words, "--size", 32, "--steps", 2, "--scales", 1)]
    assert command.main(words) == 0
    whole = (tmp_path / "a.png").read_bytes()
    for name in ("film.mp4", "film.gif", "film.webp"):
        assert command.main([*words, "--timelapse", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 1000
        assert (tmp_path / "a.png").read_bytes() == whole
