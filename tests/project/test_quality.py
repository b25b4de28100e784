"""The comparison of presets and the blind choice: what is judged, drawn and read; tiny pictures, random filters."""

import json

import numpy as np
import pytest
from support import smooth_picture

from benchmarks import __main__ as command
from benchmarks import blind, curve, entries, judge, processes, quality
from benchmarks.halves import CHOOSE, REPORT
from nst_jax.pictures import images

pytestmark = pytest.mark.slow

CONTROLS = 7
PAIR = "content x style"


def told(tmp_path, name, *arguments):
    """Runs a command; gives the JSON that it wrote."""
    path = tmp_path / f"{name}.json"
    command.main([name, *map(str, arguments), "--output", str(path)])
    return json.loads(path.read_text())


@pytest.fixture
def installed(monkeypatch, weights_file):
    """Small random filters, installed as VGG-19's."""
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(weights_file.parent))


@pytest.fixture
def without(monkeypatch, tmp_path):
    """No weights are installed."""
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path / "nothing"))


@pytest.fixture
def painted(monkeypatch):
    """Runs are not made: each gives its photograph, with noise as much as its strength says. Gives what painted."""
    networks = []

    def made(path, photograph, painting, config, weights):
        networks.append((config.network, weights.network))
        noise = np.random.default_rng(0).uniform(size=photograph.shape)
        image = ((1 - config.strength) * photograph + config.strength * noise).astype("f4")
        if path is not None:
            images.save_image(path, image, metadata={"options": "secret"})
        return image, 1.0

    monkeypatch.setattr(quality, "made", made)
    return networks


@pytest.fixture
def kept(tmp_path):
    """A folder of quality's results of the pair at 48 x 34 by three presets, each of one colour; gives it and these."""
    colours = {"default": (255, 0, 0), "other-0.5": (0, 255, 0), "their tool": (0, 0, 255)}
    folder = tmp_path / "results"
    folder.mkdir()
    for name, colour in colours.items():
        pixels = np.broadcast_to(np.float32(colour) / 255, (34, 48, 3))
        images.save_image(folder / f"content.style.{name}.png", pixels, metadata={"options": name})
    return folder, colours


# ---------------------------------------------------------------- quality


def test_each_result_has_both_judges_figures_and_controls_the_one_s(tmp_path, pictures, installed, painted, capsys):
    options = ["--pair", *pictures, "--size", 48, "--presets", "default", "--strengths", 0, 0.6]
    whole = told(tmp_path, "quality", *options)
    photograph, painting = quality.inputs_of(tuple(map(str, pictures)), 48, None)
    measured = judge.Judge(photograph, painting)
    same, mixed = whole["rows"]
    assert {key: same[key] for key in judge.MEASURES} == pytest.approx(measured(photograph))
    assert same["content_rel"] == pytest.approx(0, abs=1e-5) and mixed["content_rel"] > 0.001
    assert same["structure"] > mixed["structure"] and mixed["D"] > 0 and mixed["cost"] > 0
    controls = [{"content": "content", "style": "style", **row} for row in measured.controls()]
    assert whole["controls"] == json.loads(json.dumps(controls)) and len(controls) == CONTROLS
    tables = capsys.readouterr().out.split("means")
    assert all(table.count("the painting's crops, mean") == 1 for table in tables)  # of the pair, and of the means
    floor = next(line for line in tables[0].splitlines() if line.startswith(judge.FLOOR)).split("  ")
    assert [cell.strip() for cell in floor if cell][1:6] == ["-"] * 5  # none of VGG-19's
    assert whole["shared"] == {}  # all have all pairs


def test_slim_paints_and_is_judged_without_vgg(tmp_path, pictures, without, painted, capsys):
    options = ["--pair", *pictures, "--size", 48, "--network", "slim", "--presets", "default", "--strengths", 0.5]
    (row,) = told(tmp_path, "quality", *options, "--sheet", tmp_path / "sheet.png")["rows"]
    assert painted == [("slim", "slim")] and (tmp_path / "sheet.png").exists()
    assert set(judge.MEASURES) < set(row) and "D" not in row and "content_rel" not in row
    printed = capsys.readouterr()
    assert "D, D_full, D_half, D_quarter, content_rel are left out: no weights for vgg19 in" in printed.err
    assert "D_full" not in printed.out and "structure" in printed.out


def test_pictures_of_others_are_judged_where_there_are_some(tmp_path, pictures, without, painted, capsys):
    again = tmp_path / "again.png"
    again.write_bytes(pictures[0].read_bytes())
    theirs = smooth_picture(34, 48, 5)
    images.save_image(tmp_path / "their-content-style.png", theirs)
    options = ["--pair", *pictures, "--pair", again, pictures[1], "--size", 48, "--network", "slim"]
    options += ["--presets", "default", "--strengths", 0.5, "--folder", tmp_path / "kept"]
    pattern = f"their tool={tmp_path}/their-{{content}}-{{style}}.png"
    whole = told(tmp_path, "quality", *options, "--others", pattern)
    ours, other, second = whole["rows"]
    assert [row["preset"] for row in whole["rows"]] == ["default-0.5", "their tool", "default-0.5"]
    assert second["content"] == "again" and "seconds" not in other
    found = images.load_image(tmp_path / "their-content-style.png").pixels
    measured = judge.Judge(*quality.inputs_of(tuple(map(str, pictures)), 48, None))
    assert {key: other[key] for key in judge.MEASURES} == pytest.approx(measured(found))
    assert [(row["preset"], row["pairs"]) for row in whole["means"]] == [("default-0.5", 2), ("their tool", 1)]
    shared = whole["shared"]["their tool"]
    assert [row["pairs"] for row in shared] == [1, 1] and shared[0]["strokes"] == ours["strokes"]
    assert "means over the pairs of their tool" in capsys.readouterr().out
    kept = images.load_image(tmp_path / "kept" / "content.style.their tool.png").pixels
    np.testing.assert_array_equal(kept, found)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nothing", "give NAME=PATTERN"),
        ("tool={content}.png", "give NAME=PATTERN"),
        ("default={content}-{style}.png", "there is a default already"),
        ("tool=missing-{content}-{style}.png", "no such file for any of the pairs"),
        ("tool=FOLDER/large-{content}-{style}.png", "has 60 x 40 pixels, our results 48 x 34"),
    ],
)
def test_others_that_cannot_be_judged_are_refused(tmp_path, pictures, word, said):
    images.save_image(tmp_path / "large-content-style.png", smooth_picture(40, 60, 0))
    photographs = {tuple(map(str, pictures)): smooth_picture(34, 48, 0)}
    with pytest.raises(SystemExit, match=said):
        entries.others_of([word.replace("FOLDER", str(tmp_path))], photographs, {"default"})


def test_pairs_are_those_of_a_half_or_those_named():
    def asked(*words):
        parser = command.argparse.ArgumentParser()
        entries.add_pairs(parser)
        return entries.pairs_of(parser.parse_args(words))

    assert asked("--half", "choose") == list(CHOOSE) and asked("--half", "report", "--pairs", "2") == list(REPORT[:2])
    assert len(asked()) == 8 and asked()[0] == CHOOSE[0]
    assert asked("--pair", "a.jpg", "b/c.jpg") == [("a.jpg", "b/c.jpg")]
    with pytest.raises(SystemExit):
        asked("--half", "choose", "--pair", "a", "b")


# ---------------------------------------------------------------- the curve


def test_the_curve_has_a_line_a_preset_with_its_strengths_and_the_floor(tmp_path, pictures, without, painted):
    pytest.importorskip("matplotlib")
    drawn = {}
    with pytest.MonkeyPatch.context() as patch:
        drawing = curve.drawing
        patch.setattr(curve, "drawing", lambda *of: drawn.setdefault("figure", drawing(*of)))
        options = ["--pair", *pictures, "--size", 48, "--network", "slim", "--presets", "default", "gatys2015"]
        options += ["--strengths", 0.8, 0.2, "--curve", tmp_path / "curve.svg"]
        whole = told(tmp_path, "quality", *options)
    means = {row["preset"]: row for row in whole["means"]}
    axes = drawn["figure"].axes[0]
    floor, first, second = (line.get_xydata() for line in axes.lines)
    assert set(floor[:, 1]) == {whole["controls"][-1]["strokes"]}
    for line, name in ((first, "default"), (second, "gatys2015")):
        ends = [means[f"{name}-{strength}"] for strength in (0.2, 0.8)]
        np.testing.assert_allclose(line, [(end["structure"], end["strokes"]) for end in ends])
    written = [text.get_text() for text in axes.texts]
    assert sorted(written[1:]) == sorted(["0.2", "0.8", "default", "0.2", "0.8", "gatys2015"])
    assert "crops" in written[0]
    assert "<svg" in (tmp_path / "curve.svg").read_text()[:2000]


def test_names_of_lines_that_end_at_one_place_are_apart():
    text = pytest.importorskip("matplotlib.text").Text
    ends = [0.4, 0.401, 0.4, 0.9]
    lines = {f"name {at}": [curve.Point(0, 0.9, 2), curve.Point(1, 0.4, end)] for at, end in enumerate(ends)}
    figure = curve.drawing(lines, 0.3)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent(one) for one in figure.axes[0].texts if one.get_text() in lines]
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])
    whole = figure.axes[0].get_window_extent()
    assert all(whole.x0 < box.x0 and box.x1 < whole.x1 for box in boxes)


def test_the_same_curve_gives_the_same_file(tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg"):
        curve.draw(str(tmp_path / name), {"default": [curve.Point(0.5, 0.5, 1)]}, 0.7)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_a_curve_that_cannot_be_drawn_is_refused_at_once(tmp_path, monkeypatch):
    options = ["quality", "--network", "slim", "--curve"]
    with pytest.raises(SystemExit, match="give it some --strengths"):
        command.main([*options, str(tmp_path / "curve.svg")])
    if curve.importlib.util.find_spec("matplotlib"):
        with pytest.raises(SystemExit, match="ends in .svg"):
            command.main([*options, str(tmp_path / "curve.xyz"), "--strengths", "0.5"])
        with pytest.raises(SystemExit, match="no such folder"):
            command.main([*options, str(tmp_path / "there" / "curve.svg"), "--strengths", "0.5"])
    monkeypatch.setattr(curve.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"pip install 'nst_jax\[plots\]'"):
        command.main([*options, str(tmp_path / "curve.svg"), "--strengths", "0.5"])


def test_only_who_draws_imports_matplotlib():
    code = "import sys, benchmarks.quality, benchmarks.blind; print('matplotlib' in sys.modules)"
    assert processes.finish(["-c", code]).told == "False\n"


# ---------------------------------------------------------------- blind


def sheets(kept, pictures, folder, *more):
    """Draws the sheet of the pair; gives the key."""
    options = ["--folder", kept[0], "--pair", *pictures, "--presets", *kept[1], "--sheets", folder, *more]
    command.main(["blind", *map(str, options)])
    return json.loads((folder / "key.json").read_text())


def test_a_sheet_shows_the_results_in_the_key_s_order_and_no_names(tmp_path, kept, pictures):
    folder, colours = kept
    key = sheets(kept, pictures, tmp_path / "sheets", "--seed", 3)
    assert list(key) == [PAIR] and list(key[PAIR]) == ["A", "B", "C"] and set(key[PAIR].values()) == set(colours)
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["content x style.png", "key.json"]
    path = tmp_path / "sheets" / "content x style.png"
    assert images.read_metadata(path) == {}
    assert not any(name.encode() in path.read_bytes() for name in colours)
    page = images.to_uint8(images.load_image(path).pixels)
    lefts = {name: np.flatnonzero((page == colour).all(-1).sum(0) > 20).min() for name, colour in colours.items()}
    assert sorted(lefts, key=lefts.get) == list(key[PAIR].values())


def test_the_seed_decides_the_order_and_all_orders_come():
    names = ["default", "crowson", "spst"]
    orders = [tuple(blind.lettered(("a", "b"), names, seed).values()) for seed in range(60)]
    assert len(set(orders)) == 6
    assert blind.lettered(("a", "b"), names[::-1], 5) == blind.lettered(("a", "b"), names, 5)
    assert len({tuple(blind.lettered((str(at), "b"), names, 0).values()) for at in range(60)}) == 6  # by the pair, too


def test_a_pair_without_all_results_is_left_out_and_a_key_is_never_replaced(tmp_path, kept, pictures, capsys):
    more = ["--pair", "elsewhere.jpg", pictures[1], "--seed", 1]
    key = sheets(kept, pictures, tmp_path / "sheets", *more)
    assert list(key) == [PAIR]
    assert "elsewhere x style is left out: there is no" in capsys.readouterr().err
    assert sheets(kept, pictures, tmp_path / "sheets", *more) == key  # the same again
    with pytest.raises(SystemExit, match="belongs to other sheets"):
        for seed in range(2, 9):
            sheets(kept, pictures, tmp_path / "sheets", "--seed", seed)
    assert json.loads((tmp_path / "sheets" / "key.json").read_text()) == key
    with pytest.raises(SystemExit, match="has no pair with results of default, nobody"):
        options = ["--folder", str(kept[0]), "--presets", "default", "nobody", "--sheets", str(tmp_path / "new")]
        command.main(["blind", "--pair", *map(str, pictures), *options])
    with pytest.raises(SystemExit, match="two or more different --presets"):
        command.main(["blind", "--folder", str(kept[0]), "--presets", "default", "--sheets", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


def test_results_of_several_sizes_are_not_compared(tmp_path, kept, pictures):
    images.save_image(kept[0] / "content.style.default.png", smooth_picture(40, 60, 0))
    with pytest.raises(SystemExit, match="differ in size"):
        sheets(kept, pictures, tmp_path / "sheets")


KEY = {
    "a x b": {"A": "default", "B": "crowson"},
    "c x d": {"A": "crowson", "B": "default"},
    "e x f": {"A": "crowson", "B": "default"},
    "g x h": {"A": "default", "B": "crowson"},
}


def choices(tmp_path, **files):
    """Writes the key and the choosers' files; gives the words of the command that reads them."""
    (tmp_path / "key.json").write_text(json.dumps(KEY))
    for name, told in files.items():
        (tmp_path / f"{name}.json").write_text(told if isinstance(told, str) else json.dumps(told))
    return ["--sheets", tmp_path, "--choices", *(tmp_path / f"{name}.json" for name in files)]


def test_who_won_is_who_all_chose(tmp_path, capsys):
    one = {"a x b": "A", "c x d": "A", "e x f": "B", "g x h": "A"}
    two = {"a x b": "A", "c x d": "B", "e x f": "B"}
    whole = told(tmp_path, "blind", *choices(tmp_path, one=one, two=two))
    assert [tuple(row.values()) for row in whole["rows"]] == [
        ("a x b", "default", "default", "default"),
        ("c x d", "crowson", "default", None),
        ("e x f", "default", "default", "default"),
        ("g x h", "default", None, None),  # the second said nothing
    ]
    assert whole["counts"] == [
        {"result": "crowson", "one.json": 1, "two.json": 0, "won": 0, "pairs": 4},
        {"result": "default", "one.json": 3, "two.json": 3, "won": 2, "pairs": 4},
    ]
    printed = capsys.readouterr().out
    assert "c x d  crowson   default   -" in printed and "how often" in printed


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ({"b x a": "A"}, "there is no sheet of b x a"),
        ({"a x b": "C"}, "a x b has the letters A, B, not C"),
        ({"a x b": ["A"]}, "not \\['A'\\]"),
        ("no JSON", "cannot read the choices"),
        (["A"], "has no choices"),
    ],
)
def test_choices_that_are_on_no_sheet_are_refused(tmp_path, file, said):
    with pytest.raises(SystemExit, match=said):
        told(tmp_path, "blind", *choices(tmp_path, one=file))


def test_choices_without_sheets_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="draw the sheets first"):
        command.main(["blind", "--sheets", str(tmp_path), "--choices", "one.json"])
