"""A process of its own: what it gives, and every way in which it can end, each of them one line."""

from pathlib import Path

import apart_support
import numpy as np
import pytest

from nst_jax import apart
from nst_jax.errors import NSTError

PATH = Path("some/w.h5")


def call(function, *arguments):
    return apart.call(function, *arguments, path=PATH, size=0)


def told(function, *arguments):
    """The line that a process ends in."""
    with pytest.raises(NSTError) as caught:
        call(function, *arguments)
    return str(caught.value)


def test_it_gives_values_and_arrays_and_does_not_wait_for_jax():
    rest, arrays = call(apart_support.give, 1, "ä\udcff")
    assert rest == {"arguments": [1, "ä\udcff"], "jax": False}
    np.testing.assert_array_equal(arrays["x"], np.arange(6, dtype="f4").reshape(2, 3))
    assert arrays["x"].dtype == np.float32 and arrays["x"].flags.writeable


def test_what_a_library_prints_is_no_answer(capfd):
    assert call(apart_support.print_more) == ({"x": 1}, {})
    assert capfd.readouterr() == ("", "")


def test_what_it_refuses_is_told_as_it_is():
    assert told(apart_support.refuse) == r"this one\nis refused"


def test_what_nobody_has_foreseen_is_one_line():
    line = "some/w.h5 is damaged: reading it fails by KeyError, in up to 1.0 GiB of memory; fetch or convert it again"
    assert told(apart_support.fail) == line


def test_a_crash_is_one_line(capfd):
    for ending in (apart_support.crash, apart_support.leave):
        assert told(ending).startswith("some/w.h5 is damaged: reading it ends the process that does it;")
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_cannot_be_is_one_line():
    assert "ends the process" in told(apart_support.open_for_ever)


def test_time_is_limited_of_the_processor_and_of_the_clock(monkeypatch):
    monkeypatch.setattr(apart, "_SECONDS", 1)
    monkeypatch.setattr(apart, "_PATIENCE", 2)
    for ending in (apart_support.work_for_ever, apart_support.sleep_for_ever):
        assert "is damaged: reading it takes more than 1 seconds" in told(ending)


def test_the_time_is_limited_where_nothing_else_can_be(monkeypatch):
    monkeypatch.setattr(apart, "_SECONDS", 1)
    monkeypatch.setattr(apart, "_PATIENCE", 2)
    monkeypatch.setattr(apart, "_START", apart._START.replace("serve;", "serve; apart.resource = None;"))
    monkeypatch.setattr(
        apart, "_START", apart._START.replace("from nst_jax", "from nst_jax import apart; from nst_jax")
    )
    assert "is damaged: reading it takes more than 1 seconds" in told(apart_support.work_for_ever)


@pytest.mark.skipif(apart.resource is None, reason="memory cannot be limited here")
def test_memory_is_limited_and_no_file_is_written(tmp_path):
    assert "is damaged: reading it fails by MemoryError, in up to 1.0 GiB" in told(apart_support.take_memory)
    assert "fails by OSError" in told(apart_support.write, str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b""


def test_limits_go_after_the_size(monkeypatch):
    monkeypatch.setattr(apart, "_MEMORY", 200 << 20)
    with pytest.raises(NSTError, match=r"in up to 2.1 GiB"):
        apart.call(apart_support.take_memory, path=PATH, size=500_000_000)
