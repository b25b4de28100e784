"""Compiled programs are kept from run to run: where, when not, and that they are used."""

import json
import os
import subprocess
import sys
import zlib

import pytest

from nst_jax.cli import cache
from nst_jax.cli.cache import ENABLED_VARIABLE, FOLDER_VARIABLE, keep_programs, remove_damaged, tidy


@pytest.fixture
def user(monkeypatch, tmp_path):
    """A user who has set nothing; gives his cache folder."""
    for name in (ENABLED_VARIABLE, FOLDER_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / name)
    return tmp_path / "nst_jax"


def test_the_users_cache_folder_is_taken(user):
    keep_programs(True, "nst-stylize")
    assert os.environ[FOLDER_VARIABLE] == str(user / "programs")
    assert (user / "programs").is_dir()
    assert ENABLED_VARIABLE not in os.environ


def test_a_folder_that_the_user_has_set_stays(user, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "own"))
    keep_programs(True, "nst-stylize")
    assert os.environ[FOLDER_VARIABLE] == str(tmp_path / "own")
    monkeypatch.setenv(FOLDER_VARIABLE, "gs://bucket/programs")
    keep_programs(True, "nst-stylize")
    assert os.environ[FOLDER_VARIABLE] == "gs://bucket/programs"
    assert not user.exists()


def test_no_cache(user):
    keep_programs(False, "nst-stylize")
    assert os.environ[ENABLED_VARIABLE] == "false"
    assert not user.exists()


def test_a_folder_that_cannot_be_written_gets_one_line(user, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "file" / "programs"))
    keep_programs(True, "nst-stylize")
    assert os.environ[ENABLED_VARIABLE] == "false"
    said = capsys.readouterr().err
    assert said == f"nst-stylize: note: no programs are kept in {tmp_path / 'file' / 'programs'}: Not a directory\n"


def test_what_was_written_longest_ago_goes_first(tmp_path):
    for age, name in enumerate(("new", "newer", "old", "oldest")):
        path = tmp_path / f"{name}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    tidy(tmp_path, largest=250)
    assert {path.name for path in tmp_path.iterdir()} == {"new-cache", "newer-cache"}


RUN = """
import json, sys
from nst_jax.cli import stylize

keep_programs, found = stylize.keep_programs, []

def counted(*arguments):
    keep_programs(*arguments)
    assert "jax" not in sys.modules
    import jax.monitoring
    jax.monitoring.register_event_listener(lambda event, **_: found.append(event.rpartition("/")[2]))

stylize.keep_programs = counted
status = stylize.main(sys.argv[1:])
print(json.dumps({kind: found.count(kind) for kind in ("cache_hits", "cache_misses")}))
sys.exit(status)
"""


@pytest.mark.slow
def test_a_second_run_compiles_nothing(pictures, tmp_path):
    words = ["--content", pictures[0], "--style", pictures[1], "--network", "slim", "--output"]
    given = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}

    def run(output, *more):
        done = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, [*words, tmp_path / output, "--size", 48, "--steps", 2, *more])],
            capture_output=True,
            text=True,
            env={**given, FOLDER_VARIABLE: str(tmp_path / "programs")},
        )
        assert done.returncode == 0, done.stderr
        assert all(line.startswith(("step ", "device: ", "network: ")) for line in done.stderr.splitlines()), (
            done.stderr
        )
        return json.loads(done.stdout.splitlines()[-1])

    first, second = run("first.png"), run("second.png")
    assert first["cache_misses"] > 10
    assert second["cache_misses"] == 0
    assert second["cache_hits"] >= first["cache_misses"]
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert run("third.png", "--no-cache") == {"cache_hits": 0, "cache_misses": 0}


def test_damaged_programs_are_removed(tmp_path):
    """Also those of later runs; what was whole at the last look is not read again."""
    whole = zlib.compress(b"program" * 1000)
    (tmp_path / "whole-cache").write_bytes(whole)
    (tmp_path / "half-cache").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty-cache").write_bytes(b"")
    remove_damaged(tmp_path)
    assert {path.name for path in tmp_path.glob("*-cache")} == {"whole-cache"}
    (tmp_path / "whole-cache").write_bytes(whole[:-1] + b"x")
    remove_damaged(tmp_path)
    assert not list(tmp_path.glob("*-cache"))


def test_a_user_without_a_home_folder(user, monkeypatch, capsys):
    def homeless(*_, **__):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache.platformdirs, "user_cache_path", homeless)
    keep_programs(True, "nst-stylize")
    assert os.environ[ENABLED_VARIABLE] == "false"
    assert capsys.readouterr().err == "nst-stylize: note: no programs are kept: there is no home folder\n"
