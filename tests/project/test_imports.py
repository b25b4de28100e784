"""The rules of docs/architecture.md, read from the source: who may import whom, who may print, what is documented."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nst_jax

PACKAGE = Path(nst_jax.__file__).parent
PROJECT = Path(__file__).resolve().parents[2]
TREES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
}
#: The floors of the house, from the ground up: a module imports from its own room, and from the floors below it.
FLOORS = (
    ("errors", "version"),
    ("choices", "files", "layers", "limits", "apart", "ordinary", "meshes"),
    ("options",),
    ("pictures",),
    ("networks",),
    ("losses",),
    ("optim",),
    ("pages",),
    ("runs",),
    ("sweeps",),
    ("batch",),
    ("cli",),
)
#: The core: what is computed, without files or people.
CORE = [name for name in TREES if name.split(".")[0] in ("losses", "optim")] + [
    *(f"networks.{name}" for name in ("vgg", "convolution", "winograd", "pooling", "precision", "weights"))
]
#: What knows files, pictures' formats, people, or which machine this is.
RIM = {"h5py", "PIL", "tyro", "rich", "pathlib", "os", "io", "sys", "json", "platformdirs", "tomllib", "tomli_w", "re"}
#: What may be imported without waiting for JAX.
PLAIN = (
    *("errors", "version", "choices", "files", "layers", "ordinary"),
    *("options.config", "options.kinds", "options.presets", "options.folders"),
)
CONNECTIONS = {"requests", "pooch", "urllib", "socket", "http", "ftplib", "asyncio", "aiohttp", "httpx", "ssl"}


def imports(tree, typing_too=True):
    """The modules that a tree imports: top-level names, and the package's own modules as ``TREES`` names them."""
    skipped = set()
    if not typing_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped |= {id(inner) for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written in full"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name.removeprefix("nst_jax.") in TREES else node.module for name in inner}
    return {name.removeprefix("nst_jax.") if name.startswith("nst_jax") else name.split(".")[0] for name in found}


def reachable(module, trees=TREES):
    """All that a module of the package imports, at the top or within a function, through the package's own too."""
    seen, open_ends = set(), [module]
    while open_ends:
        for name in imports(trees[open_ends.pop()], typing_too=False) - seen:
            seen.add(name)
            if name in trees:
                open_ends.append(name)
    return seen


def floor(module):
    """How high a module of the package lives."""
    room = module.split(".")[0]
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize("module", [name for name in TREES if name != "__init__"])
def test_nothing_is_imported_upwards(module):
    room = module.split(".")[0]
    inner = {name for name in imports(TREES[module]) if name in TREES}
    assert all(floor(name) < floor(module) or name.split(".")[0] == room for name in inner)
    assert "nst_jax" not in imports(TREES[module])


@pytest.mark.parametrize("module", CORE)
def test_the_core_knows_no_files_pictures_or_command_line(module):
    """By whatever way: a module that reaches a weights file reaches h5py."""
    assert not reachable(module) & RIM


def test_the_core_s_test_sees_through_what_is_imported(monkeypatch):
    """The fault that it once was blind to: the network reached h5py by way of the weights file."""
    monkeypatch.setitem(TREES, "networks.vgg", ast.parse("from nst_jax.networks.weights_file import load_weights"))
    assert "h5py" in reachable("losses.objective", TREES)


def test_the_optimisers_know_no_network():
    inner = {name for name in reachable("optim.minimise") if name in TREES}
    assert {name.split(".")[0] for name in inner} == {"optim", "choices", "errors", "meshes"}


@pytest.mark.parametrize("module", [name for name in TREES if name not in ("runs.machine", "__init__")])
def test_the_device_is_handed_in(module):
    """Only ``runs.machine`` asks which device there is, and what the processor is."""
    source = ast.unparse(TREES[module])
    asked = ("default_backend", "jax.devices(", "local_devices", "device_count", "cpuinfo", "jax_default_device")
    assert not [word for word in asked if word in source]


@pytest.mark.parametrize("module", PLAIN)
def test_plain_modules_do_not_wait_for_jax(module):
    assert not reachable(module) & {"jax", "flax", "optax", "h5py", "PIL", "numpy"}


@pytest.mark.parametrize("module", TREES)
def test_nothing_opens_a_connection(module):
    """But for the processes of one run, which look for their coordinator."""
    assert not imports(TREES[module]) & CONNECTIONS or module == "runs.processes"


@pytest.mark.parametrize("module", [name for name in TREES if not name.startswith("cli")])
def test_nobody_but_the_commands_prints_or_is_imported_from_them(module):
    assert "nst_jax.cli" not in imports(TREES[module])
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"print", "sys.stdout.write", "sys.stderr.write", "input"}


def test_no_folder_or_file_of_the_developers_ships():
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"NST_JAX_SHARED|\bpaper_\w+", path.read_text()), path


def test_the_pictures_of_a_folder_are_listed_in_one_place():
    sources = [
        path for folder in ("nst_jax", "convert_weights", "scripts") for path in (PROJECT / folder).rglob("*.py")
    ]
    assert [path.name for path in sources if ".iterdir()" in path.read_text()] == ["folders.py"]


def test_ctrl_c_is_handled_in_one_place():
    assert {module for module, tree in TREES.items() if "signal" in imports(tree)} == {"cli.signals"}


def undocumented(tree, prefix=""):
    """The public functions, classes and methods without a docstring."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("module", TREES)
def test_what_is_public_is_documented(module):
    assert ast.get_docstring(TREES[module])
    assert list(undocumented(TREES[module])) == []


def test_every_name_of_the_package_is_there():
    for name in nst_jax.__all__:
        assert getattr(nst_jax, name) is not None
        assert name in dir(nst_jax)
    with pytest.raises(AttributeError, match="no attribute 'styleise'"):
        nst_jax.styleise  # noqa: B018


def test_importing_the_package_is_cheap():
    code = "import sys, nst_jax, nst_jax.options.config, nst_jax.cli.stylize; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def import_graph(folder):
    """Who imports whom in the package at ``folder``, {module: modules}, read from the source.

    Imports inside functions and those for types count too. The package's own ``__init__`` is no part of it: whoever
    imports a module has loaded it already.
    """
    paths = {
        ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(folder.rglob("*.py"))
    }
    del paths[folder.name]
    graph = {}
    for module, path in paths.items():
        named = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, "imports are written in full"
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= inner & paths.keys() if inner <= paths.keys() else {*inner, node.module}
        graph[module] = named & paths.keys()
    return graph


def circles(graph):
    """For each module that imports itself by way of others, the shortest such way."""
    found = []
    for module in graph:
        ways = [(module, inner) for inner in sorted(graph[module])]
        seen = set()
        while ways:
            way = ways.pop(0)
            if way[-1] == module:
                found.append(" -> ".join(way))
                break
            if way[-1] not in seen:
                seen.add(way[-1])
                ways += [(*way, inner) for inner in sorted(graph[way[-1]])]
    return found


def test_circles_are_found_wherever_they_are_imported(tmp_path):
    """At the top, in a function, for types alone, by way of a third module; not through the package itself."""
    package = tmp_path / "house"
    (package / "room").mkdir(parents=True)
    for name, text in {
        "__init__": "from house import above, room",
        "above": "from house import below\nfrom house.room import chair",
        "below": "import house",
        "room/__init__": "",
        "room/chair": "def sit():\n    from house.room import table",
        "room/table": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.room.lamp import Lamp",
        "room/lamp": "import house.room.chair",
    }.items():
        (package / f"{name}.py").write_text(text)
    graph = import_graph(package)
    assert graph["house.above"] == {"house.below", "house.room.chair"}
    assert circles(graph) == [
        "house.room.chair -> house.room.table -> house.room.lamp -> house.room.chair",
        "house.room.lamp -> house.room.chair -> house.room.table -> house.room.lamp",
        "house.room.table -> house.room.lamp -> house.room.chair -> house.room.table",
    ]


@pytest.mark.parametrize("package", ["nst_jax", "convert_weights", "scripts/slim_training"])
def test_nobody_imports_in_a_circle(package):
    assert circles(import_graph(PROJECT / package)) == []
