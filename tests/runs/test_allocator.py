"""What a command's process keeps of its memory, and what it gives up."""

import jax
import pytest

from nst_jax.runs import allocator


@pytest.mark.parametrize(("keeps", "pixels"), [(True, 2**19), (True, 2**18), (False, 2**19)])
def test_programs_are_given_up_for_large_pictures_by_a_process_that_keeps_memory(monkeypatch, keeps, pixels):
    """A library leaves its user's programs alone."""
    given_up = []
    monkeypatch.setattr(jax, "clear_caches", lambda: given_up.append(True))
    monkeypatch.setattr(allocator, "_keeps", keeps)
    allocator.forget_programs(pixels)
    assert bool(given_up) == (keeps and pixels >= allocator.LARGE)
