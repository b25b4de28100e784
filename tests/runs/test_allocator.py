"""What a command's process keeps of its memory, and what it gives up."""

import jax
import pytest

from nst_jax.runs import allocator


@pytest.mark.parametrize("keeps", [True, False])
def test_programs_are_given_up_by_a_process_that_keeps_memory_alone(monkeypatch, keeps):
    """A library leaves its user's programs alone."""
    given_up = []
    monkeypatch.setattr(jax, "clear_caches", lambda: given_up.append(True))
    monkeypatch.setattr(allocator, "_keeps", keeps)
    allocator.forget_programs()
    assert bool(given_up) == keeps
