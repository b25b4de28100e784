"""By which part of XLA a command's programs are made."""

import os

import pytest

from nst_jax.runs import emitters

OTHER = "--xla_cpu_use_fusion_emitters=true"


@pytest.mark.parametrize(
    ("flags", "version", "expected"),
    [
        ("", "0.8.0", emitters.OLDER),
        ("", "0.10.2", emitters.OLDER),
        ("--xla_dump_to=there", "0.10.2", f"--xla_dump_to=there {emitters.OLDER}"),
        (OTHER, "0.10.2", OTHER),
        (emitters.OLDER, "0.10.2", emitters.OLDER),
        ("", "0.11.0", ""),
        ("", "1.0.0.dev1", ""),
    ],
)
def test_commands_compile_by_the_older_emitters_unless_that_is_not_known_or_not_wanted(
    monkeypatch, flags, version, expected
):
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(emitters.metadata, "version", lambda name: version)
    emitters.compile_sooner()
    assert os.environ["XLA_FLAGS"] == expected
