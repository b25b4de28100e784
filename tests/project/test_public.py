"""What ``import nst_jax`` gives: the same to Python, to a type checker, and in what is written about it."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nst_jax

PACKAGE = Path(nst_jax.__file__).parent
PROJECT = Path(__file__).resolve().parents[2]


def test_a_type_checker_sees_what_python_sees():
    """The imports for types, the table that Python goes by and ``__all__`` have the same names, of the same modules."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {}
    for node in block.body:
        for alias in node.names:
            assert alias.asname == alias.name, "only that is exported"
            seen[alias.name] = node.module
    assert seen == {name: f"nst_jax.{module}" for name, module in nst_jax._HOMES.items()}
    assert nst_jax.__all__ == sorted(seen)
    (exported,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__")
    assert ast.literal_eval(exported) == nst_jax.__all__
    for name, module in seen.items():
        assert getattr(nst_jax, name) is getattr(importlib.import_module(module), name)


def written():
    """The README, the docs and the notebooks, {name: text}."""
    found = {path.name: path.read_text() for path in [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]}
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        found[path.name] = "\n".join("".join(cell["source"]) for cell in cells)
    return found


def names_used(text):
    """What a text takes from the package itself: ``nst_jax.NAME``, and ``from nst_jax import NAME, NAME``."""
    listed = re.findall(r"^from nst_jax import ([\w, ]+)$", text, re.M)
    return {*re.findall(r"\bnst_jax\.([A-Za-z]\w*)", text), *re.findall(r"\w+", " ".join(listed))}


def test_the_names_of_a_text_are_found():
    text = "`nst_jax.one` and nst_jax/two.py\nfrom nst_jax import three, four\nfrom nst_jax.five import six"
    assert names_used(text) == {"one", "three", "four", "five"}


def test_every_name_that_is_written_about_is_exported():
    """Or it is a module."""
    used = {(name, file) for file, text in written().items() for name in names_used(text)}
    assert {"stylize", "preset", "gram"} <= {name for name, _ in used}
    modules = {path.stem for path in PACKAGE.iterdir()}
    assert sorted((name, file) for name, file in used if name not in {*nst_jax.__all__, *modules}) == []


def test_every_promise_names_a_test_that_there_is():
    text = (PROJECT / "docs" / "reliability.md").read_text()
    tests = {path: path.read_text() for path in (PROJECT / "tests").rglob("*.py")}
    files, functions = set(re.findall(r"(\w+\.py)`", text)), set(re.findall(r"`(test_\w+)`", text))
    assert files and functions
    assert files <= {path.name for path in tests}
    assert {name for name in functions if not any(f"def {name}(" in each for each in tests.values())} == set()
    rows = re.findall(r"^\| (?!promise|-).* \|$", text.partition("### What is read")[0], re.M)
    promises = [row for row in rows if not re.match(r"\| ([\w.-]+\.\w+|all|file) \|", row)]
    assert promises
    assert [row for row in promises if not re.search(r"`[\w/]+\.py`|`test_\w+`", row)] == []


def test_the_mark_of_a_typed_package_ships():
    assert (PACKAGE / "py.typed").is_file()
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["nst_jax"]


@pytest.mark.slow
def test_a_wrong_argument_is_seen_from_outside(tmp_path):
    """mypy reads the package from elsewhere: it knows what ``stylize`` takes and gives, and of no name that is none."""
    pytest.importorskip("mypy")
    (tmp_path / "mine.py").write_text(
        "import nst_jax\n"
        "result = nst_jax.stylize('a.jpg', 'b.jpg', nst_jax.Config(size='large'))\n"
        "print(result.losses['total'] + 1, result.colour, nst_jax.styleise)\n"
    )
    options = ("--strict", "--follow-imports=silent", "--cache-dir", tmp_path / "cache", "--no-error-summary")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, options), "mine.py"],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(PROJECT)}, capture_output=True, text=True,
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(told) == 3, done.stdout + done.stderr
    assert re.search(
        r'mine.py:2: error: Argument "size" to "Config" has incompatible type "str"; expected "int"', told[0]
    )
    assert '"Result" has no attribute "colour"' in told[1]
    assert re.search(r'mine.py:3: error: Module has no attribute "styleise"', told[2])
