"""Films: their frames, sizes and times in each format; complete or not there."""

import importlib.util

import numpy as np
import pytest
from PIL import Image
from support import smooth_picture

from nst_jax.errors import NSTError
from nst_jax.pictures import film as films
from nst_jax.pictures.film import RATE, check_film, film

FORMATS = ("mp4", "gif", "webp")


def frames_of(path):
    """The frames of a film, [H, W, 3] float, and how many frames' time each is shown."""
    if path.suffix == ".mp4":
        import av

        with av.open(str(path)) as container:
            found = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
        return found, [1] * len(found)
    with Image.open(path) as image:
        found, times = [], []
        for number in range(image.n_frames):
            image.seek(number)
            found.append(np.asarray(image.convert("RGB"), float))
            times.append(round(image.info["duration"] * RATE / 1000))
    return found, times


def made(path, frames, times):
    with film(path) as add:
        for frame, count in zip(frames, times, strict=True):
            add((255 * frame).astype("u1"), count)


@pytest.mark.parametrize("name", FORMATS)
def test_frames_come_out_as_they_went_in(tmp_path, name):
    """Of an odd size, in their order, each for its time, with their colours."""
    frames = [0.3 * smooth_picture(33, 47, 0) + 0.1 * number for number in range(6)]
    times = [25, 1, 1, 2, 1, 10]
    made(tmp_path / f"a.{name}", frames, times)
    found, shown = frames_of(tmp_path / f"a.{name}")
    assert sum(shown) == sum(times)
    first = np.cumsum([0, *times[:-1]])
    starts = list(np.cumsum([0, *shown[:-1]]))
    for number, frame in zip(first, frames, strict=True):
        there = found[starts.index(number)][:33, :47]
        assert np.abs(there.mean((0, 1)) - 255 * frame.mean((0, 1))).max() < 3
        assert np.abs(there - 255 * frame).mean() < 8
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{name}"]


def test_what_is_held_does_not_move(tmp_path):
    """In MP4 for longer than the ten seconds after which x264 by itself gives a picture anew."""
    made(tmp_path / "a.mp4", [np.random.default_rng(0).uniform(size=(48, 64, 3))], [300])
    found, _ = frames_of(tmp_path / "a.mp4")
    assert len(found) == 300
    assert all(np.array_equal(frame, found[100]) for frame in found[100:])


@pytest.mark.parametrize("name", FORMATS)
def test_a_film_that_fails_leaves_what_was_there(tmp_path, name):
    path = tmp_path / f"a.{name}"
    path.write_text("old")
    with pytest.raises(KeyError), film(path) as add:
        add(np.zeros((32, 32, 3), "u1"), 1)
        raise KeyError
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(NSTError, match="cannot write .*: No such file"), film(tmp_path / "none" / path.name):
        pass


def test_a_gif_keeps_no_frames(tmp_path):
    """What was given is in the file before the next comes, but for what waits in a buffer."""
    with film(tmp_path / "a.gif") as add:
        sizes = []
        for seed in range(4):
            add((255 * smooth_picture(96, 96, seed)).astype("u1"), 1)
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert sizes == sorted(sizes)
    assert sizes[3] > sizes[0]


def test_films_that_cannot_be(tmp_path, monkeypatch):
    with pytest.raises(NSTError, match=r"a name that ends in \.mp4, \.gif, \.webp"):
        check_film(tmp_path / "a.avi", 64)
    with pytest.raises(NSTError, match="its format holds 16383 pixels a side, not 20000"):
        check_film(tmp_path / "a.webp", 20000)
    check_film(tmp_path / "a.MP4", 64)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert films.importlib.util.find_spec("av") is None
    with pytest.raises(NSTError, match=r"takes PyAV, which is not installed: pip install 'nst_jax\[video\]'"):
        check_film(tmp_path / "a.mp4", 64)
    check_film(tmp_path / "a.gif", 64)
