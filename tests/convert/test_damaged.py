"""Files that are damaged by chance: a small part of what ``python tests/fuzz_weights.py`` tries."""

import collections

import fuzz_weights
import pytest

SEED, COUNT = 7, 2000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    before = dict(fuzz_weights.layers.NETWORKS)
    fuzz_weights.narrow()
    yield fuzz_weights.seeds(tmp_path_factory.mktemp("seeds"))
    fuzz_weights.layers.NETWORKS.update(before)


def test_whole_files_are_read(files):
    found = list(fuzz_weights.outcomes(files, 0, len(files), None))
    assert found == [(number, "read", "") for number in range(len(files))]


def test_each_of_thousands_is_read_or_refused_in_one_line(files):
    found = list(fuzz_weights.outcomes(files, 0, COUNT, SEED))
    assert [number for number, _, _ in found] == list(range(COUNT))
    assert [one for one in found if one[1] == "fault"] == []
    counts = collections.Counter(kind for _, kind, _ in found)
    assert counts["read"] > COUNT / 20 and counts["refused"] > COUNT / 2  # the changes are neither idle nor all alike


def test_a_fault_is_seen(monkeypatch):
    def unforeseen(*_):
        raise KeyError("x")

    monkeypatch.setattr(fuzz_weights, "convert_bytes", unforeseen)
    assert fuzz_weights.outcome(b"") == ("fault", "KeyError: 'x'")
