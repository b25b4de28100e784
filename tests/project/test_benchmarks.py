"""The benchmarks' harness at a tiny size with random filters: what it writes, and that both sides do the same sum."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from support import random_filters, smooth_picture

from benchmarks import __main__ as command
from benchmarks import contenders, harness, memory, processes, quality, run, sizes, variants, ways
from nst_jax.options.presets import preset
from nst_jax.pictures import images

pytestmark = pytest.mark.slow

TORCH = importlib.util.find_spec("torch") is not None


def told(tmp_path, name, *arguments):
    """Runs a command; gives the JSON that it wrote."""
    path = tmp_path / f"{name}.json"
    command.main([name, *map(str, arguments), "--output", str(path)])
    whole = json.loads(path.read_text())
    assert whole["command"] == name and whole["options"]["output"] == str(path)
    assert whole["machine"]["cores"] and whole["machine"]["versions"]["jax"]
    assert (whole["machine"]["torch"] is not None) == TORCH
    return whole


@pytest.fixture
def pair(pictures):
    """The options for two small pictures and random filters."""
    content, style = pictures
    return ["--content", content, "--style", style, "--random"]


@pytest.mark.parametrize("name", sorted(set(command.COMMANDS) - ({"against_torch"} if not TORCH else set())))
def test_every_command_has_its_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0 and f"python -m benchmarks {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["judge", "--pair", "none.jpg", "none.jpg", "none.jpg"], "none.jpg does not exist"),
        (["step", "--content", "none", "--style", "none"], "none is no file, and there is no"),
        (["quality", "--network", "slim", "--set", "stepps=3"], "--set stepps: did you mean steps?"),
        (
            ["step", "--output", "/nowhere/told.json"],
            "--output is /nowhere/told.json: give a file in a folder that exists",
        ),
    ],
)
def test_a_mistake_is_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.startswith(f"python -m benchmarks {words[0]}: ") and message in line


def test_no_picture_that_is_read_is_written_over(pictures, capsys):
    content, style = pictures
    before = content.read_bytes()
    with pytest.raises(SystemExit):
        command.main(["judge", "--pair", str(content), str(style), str(style), "--output", str(content)])
    assert (
        f"--output is {content}, an input of this run: give another name" in capsys.readouterr().err
        and content.read_bytes() == before
    )


def test_step_tells_every_variant(tmp_path, pair, narrow_vgg, capsys):
    wanted = [*variants.OURS, "torch-float32-last", "torch-bf16-last"]
    options = [*pair, "--networks", "vgg19", "--sizes", 32, "--rounds", 2, "--variants", *wanted]
    rows = told(tmp_path, "step", *options)["rows"]
    expected = [("vgg19", 32, name) for name in wanted]
    assert [(row["network"], row["size"], row["variant"]) for row in rows] == expected
    for row in rows:
        if row["variant"] in variants.TORCH and not TORCH:
            assert row["skipped"] == "torch is not installed"
            continue
        assert len(row["times"]) == 2 and row["seconds"] > 0 and row["first"] > 0
        assert (row["width"], row["height"]) == (32, 23)
        exact = "float32" in row["variant"]
        assert abs(row["loss error"]) < (1e-4 if exact else 0.05)
        assert (row["speed"] is not None) == TORCH
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*wanted, "speed", "seconds"))


def test_optimisers_tell_what_a_step_takes_beside_adams(tmp_path, pair, narrow_vgg):
    options = [*pair, "--networks", "vgg19", "--sizes", 32, "--rounds", 2, "--calls", 4, "--histories", 2, 5]
    alone, adam, *lbfgs = rows = told(tmp_path, "optimisers", *options)["rows"]
    assert [row["contender"] for row in rows] == ["gradient alone", "adam", "lbfgs 2", "lbfgs 5"]
    assert adam["over adam"] == 1 and adam["500 steps"] == 500 * adam["seconds"]
    for row in (adam, *lbfgs):
        assert row["loss"] < alone["loss"]  # steps are taken: it is told of the fifth, the other of the photograph
        assert row["over adam"] == row["seconds"] / adam["seconds"]


def test_growth_tells_time_and_memory_of_a_pixel(tmp_path, pair, narrow_vgg, monkeypatch):
    def run_in_child(network, size, variant, options):
        return {"network": network, "size": size, "variant": variant, "pixels": size, "run bytes per pixel": 1e4 / size}

    monkeypatch.setattr(memory, "run_in_child", run_in_child)
    options = [*pair, "--sizes", 40, 50, "--rounds", 1, "--variants", "jax-float32"]
    first, second = rows = told(tmp_path, "growth", *options)["rows"]
    assert (first["time"], first["memory"], second["memory"]) == (1, 1, 0.8)
    assert second["time"] == pytest.approx(second["seconds per Mpixel"] / first["seconds per Mpixel"])
    assert [row["seconds per Mpixel"] for row in rows] == [1e6 * row["seconds"] / row["pixels"] for row in rows]


def test_ways_tell_the_loss_and_when_it_is_reached(tmp_path, pictures, narrow_vgg, monkeypatch):
    monkeypatch.setattr(ways, "ALL_PAIRS", [pictures])
    monkeypatch.setattr(ways, "find_weights", lambda network: random_filters(network))
    options = ["--size", 48, "--pairs", 1, "--ways", "default", "refine", "--set", "steps=3", "coarse_steps=[2]"]
    first, second = rows = told(tmp_path, "ways", *options)["rows"]
    assert [row["way"] for row in rows] == ["default", "refine"]
    assert first["over first"] == 1 and second["over first"] == second["loss"] / first["loss"] != 1
    assert first["level"] == max(first["loss"], second["loss"])
    assert all(len(row["curve"]) == 3 and 0 < row["seconds to it"] <= row["seconds"] for row in rows)


def test_quality_judges_each_preset_at_each_strength(tmp_path, pictures, narrow_vgg, monkeypatch):
    monkeypatch.setattr(quality, "find_weights", lambda network: random_filters(network))
    options = ["--pair", *pictures, "--size", 48, "--presets", "default", "gatys2016", "--strengths", 0, 1]
    options += ["--evaluations", 10, "--folder", tmp_path / "pictures", "--sheet", tmp_path / "sheet.png"]
    whole = told(tmp_path, "quality", *options)
    rows = whole["rows"]
    assert [row["preset"] for row in rows] == ["default-0", "default-1", "gatys2016-0", "gatys2016-1"]
    assert rows[2]["content_rel"] < rows[3]["content_rel"] and rows[2]["D"] > rows[3]["D"]
    assert all(row["D"] == pytest.approx(np.mean([row[scale] for scale in quality.SCALES])) for row in rows)
    assert all(8 < row["cost"] <= 11 for row in rows)
    assert [mean["preset"] for mean in whole["means"]] == [row["preset"] for row in rows]  # of one pair each
    assert whole["means"][0]["D"] == rows[0]["D"]
    assert (tmp_path / "sheet.png").exists()
    again = told(tmp_path, "quality", *options)["rows"]
    assert [row["seconds"] for row in again] == [row["seconds"] for row in rows]  # read, not made


def test_sizes_tell_how_far_a_larger_result_is(tmp_path, pictures, narrow_vgg, monkeypatch):
    monkeypatch.setattr(sizes, "choose_weights", lambda network: random_filters(network))
    options = ["--network", "vgg19", "--sizes", 48, 64, "--pair", *pictures, "--sheet", tmp_path / "sheet.png"]
    first, second = told(tmp_path, "sizes", *options, "--set", "coarse_steps=[2]", "steps=3")["rows"]
    assert first["far"] == 0 < second["far"] < 1
    assert (tmp_path / "sheet.png").exists()
    flat = np.full((40, 60, 3), 0.25, np.float32)
    assert sizes.difference(flat, np.full((80, 120, 3), 0.75, np.float32)) == pytest.approx(0.5)
    assert sizes.middle(flat).shape == (12, 18, 3)


def test_memory_tells_the_peak_of_a_run(tmp_path, pair, narrow_vgg):
    row = told(tmp_path, "memory", *pair, "--networks", "vgg19", "--sizes", 48, "--steps", 1, "--here")
    assert row["pixels"] == 48 * 34
    assert row["peak bytes"] >= row["loaded bytes"] > 2**20
    assert row["run bytes per pixel"] == (row["peak bytes"] - row["loaded bytes"]) / row["pixels"]


def test_memory_starts_a_process_for_each_row(tmp_path, pair, monkeypatch):
    asked = []

    def in_child(name, arguments):
        asked.append(arguments)
        return {"peak MiB": 1.0}

    monkeypatch.setattr(memory, "in_child", in_child)
    rows = told(tmp_path, "memory", *pair, "--sizes", 32, 64)["rows"]
    assert len(rows) == len(asked) == 4 * len(variants.OURS)
    assert all("--here" in arguments and "--random" in arguments for arguments in asked)


def test_a_contender_that_cannot_do_it_is_skipped_with_its_reason():
    def broken():
        raise RuntimeError("no such kernel\nand more")

    counted = []

    def fine():
        return lambda times: float(counted.append(times) or 7)

    rows = harness.interleaved({"broken": broken, "fine": fine}, rounds=3, calls=2)
    assert rows["broken"] == {"skipped": "RuntimeError: no such kernel"}
    assert counted == [1, 2, 2, 2]
    assert rows["fine"]["loss"] == 7 and len(rows["fine"]["times"]) == 3
    text = harness.table([{"name": name, **row} for name, row in rows.items()], ("name", "loss"))
    assert text.splitlines() == ["name    loss", "broken  -  skipped: RuntimeError: no such kernel", "fine    7"]


def test_a_process_is_timed_and_its_failure_told(tmp_path):
    path = tmp_path / "written"
    done = processes.finish(["-c", f"import os; open({str(path)!r}, 'w').close(); print(os.environ['X'])"], {"X": "1"})
    assert done.told == "1\n"
    assert 0 < done.since_start(path) < done.seconds + 0.1
    with pytest.raises(SystemExit, match="ended with 3"):
        processes.finish(["-c", "raise SystemExit(3)"])
    assert processes.peak_bytes() > 2**20


def test_objectives_that_differ_are_not_compared():
    harness.check_same(1.0, 1.0001)
    with pytest.raises(SystemExit, match="nothing is compared"):
        harness.check_same(1.0, 1.01)


@pytest.fixture
def two():
    """A photograph and a painting."""
    return smooth_picture(34, 48, 0), smooth_picture(40, 36, 1)


@pytest.mark.skipif(not TORCH, reason="torch is not installed")
@pytest.mark.parametrize(
    ("network", "name", "channels_last"),
    [
        ("vgg19", "nst_jax-0.1", False),
        ("vgg19", "gatys2016", True),
        ("stand-in", "gatys2015", False),
        ("stand-in", "nst_jax-0.1", True),
    ],
)
def test_ours_and_pytorchs_objective_and_gradient_are_the_same(narrow_vgg, stand_in, two, network, name, channels_last):
    from benchmarks.torch_reference import TorchObjective

    photograph, painting = two
    held, taps = random_filters(network), {"content_layers": ("conv2_1",), "style_layers": ("conv1_1:2", "conv2_1")}
    changes = (
        {"network": network} | (taps if network == stand_in else {}) | (variants.PLAIN if name == "nst_jax-0.1" else {})
    )
    config = variants.float32(dataclasses.replace(preset(name), **changes))
    ours = contenders.objective_of(held, photograph, painting, config)
    image = smooth_picture(34, 48, 2)
    (value, _), gradient = contenders.value_and_gradient(ours, image)
    theirs = TorchObjective(held, photograph, painting, config, variants.TorchVariant(channels_last=channels_last))
    x = theirs.tensor(image).requires_grad_()
    torch_value, torch_gradient = theirs.value_and_gradient(x)
    assert float(value) == pytest.approx(torch_value.item(), rel=1e-4)
    found = torch_gradient[0].permute(1, 2, 0).numpy(force=True)
    np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())


@pytest.mark.skipif(not TORCH, reason="torch is not installed")
def test_against_torch_compares_the_lowest_losses(tmp_path, pair, narrow_vgg, monkeypatch):
    from benchmarks import against_torch

    monkeypatch.setattr(against_torch, "TURN", 3)
    monkeypatch.setattr(against_torch, "MARKS", (2, 6))
    monkeypatch.setattr(against_torch, "PAIRS", (pair[1:4:2],))
    (row,) = told(tmp_path, "against_torch", "--random", "--size", 48, "--evaluations", 6, "--history", 2)["rows"]
    assert 0 < row["ours after 6"] <= row["ours after 2"] <= row["start"]
    assert row["ratio after 6"] == row["ours after 6"] / row["torch after 6"]
    assert 0.5 < row["ratio after 6"] < 2


@pytest.mark.skipif(not TORCH, reason="torch is not installed")
@pytest.mark.parametrize("variant", ["torch-float32", "torch-float32-last"])
def test_pytorchs_lbfgs_runs_in_either_layout(narrow_vgg, variant):
    from benchmarks.torch_reference import TorchObjective, TorchRun

    config = variants.plain("vgg19", 48)
    pictures = smooth_picture(36, 48, 0), smooth_picture(40, 48, 1)
    run = TorchRun(TorchObjective(random_filters("vgg19"), *pictures, config, variants.TORCH[variant]), pictures[0], 6)
    run.turn()
    assert len(run.values) == len(run.times) == 6 and min(run.values) < run.values[0]
    assert run.image().shape == (36, 48, 3)


def test_run_tells_when_each_reached_the_target():
    rows = [
        {"losses": [3.0, 2.0, 1.0], "times": [5.0, 6.0, 7.0], "written": 1.5},
        {"losses": [9.0], "times": [2.0], "written": 9.0},
    ]
    for row in rows:
        run.compare(row, target=2.0)
    assert [row["target"] for row in rows] == [6.0, None]
    assert [row["lowest / target"] for row in rows] == [0.5, 4.5]


def test_the_process_of_pytorch_loads_no_jax():
    code = "import sys, benchmarks.pictures, benchmarks.variants; print('jax' in sys.modules)"
    assert processes.finish(["-c", code]).told == "False\n"


def test_batch_tells_pictures_an_hour_of_both_ways(tmp_path, pictures):
    content, style = pictures
    quick = "--preset nst_jax-0.1 --scales 1 --steps 2 --content-layers conv1_1 --style-layers conv1_1"
    options = ["--content", content, "--style", style, "--size", 32, "--pictures", 2, "--workers", 1]
    loop, batch = told(tmp_path, "batch", *options, "--options", quick)["rows"]
    assert (loop["way"], loop["times as fast"], loop["difference"]) == ("loop over nst-stylize", 1, 0)
    assert loop["pictures"] == batch["pictures"] == 2 and batch["difference"] < 1e-2
    assert batch["pictures an hour"] == 7200 / batch["seconds"]


def test_a_large_picture_s_file_is_written_and_read_again(tmp_path, capsys):
    path = tmp_path / "a.png"
    told = []
    for what in ("write", "100", "0"):
        command.main(["files", "--megapixels", "0.05", "--depths", "16", "--here", what, str(path)])
        told.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert [row["what"] for row in told] == ["write", "read at 100", "read at 258"]
    assert {row["pixels"] for row in told} == {"258 x 194"}
    assert path.read_bytes()[24] == 16
    assert all(row["peak MiB"] >= 0 and row["file MB"] > 0.1 for row in told)


@pytest.mark.parametrize("step", [0, 0.2])
def test_a_seam_is_found(tmp_path, step):
    pixels = np.random.default_rng(0).uniform(0.3, 0.7, (400, 480, 3)).astype("f4")
    border = 64 + 128
    pixels[:, border:] += step
    images.save_image(tmp_path / "a.png", pixels)
    crop = tmp_path / "crop.png"
    down, across = told(tmp_path, "seams", tmp_path / "a.png", "--tile", 128, "--crop", crop)["rows"]
    assert (down["tiles"], across["tiles"]) == (3, 3)
    assert 0.9 < down["mean at borders"] < 1.1 and 0.9 < down["mean elsewhere"] < 1.1
    assert (across["largest"] > 1.1 * across["largest elsewhere"]) == bool(step)
    assert images.load_image(crop).pixels.shape == (344, 460, 3)  # as much as there is around the corner


def test_specks_are_counted_and_a_grid_of_them_is_found(tmp_path):
    """One pixel in a hundred, anywhere, and one in each square of 8 × 8, on flat grey."""
    flat = np.full((256, 256, 3), 0.5, "f4")
    anywhere, grid = flat.copy(), flat.copy()
    anywhere[np.random.default_rng(0).uniform(size=(256, 256)) < 0.01] += 0.2
    grid[3::8, 5::8] += 0.12
    for name, pixels in {"flat": flat, "anywhere": anywhere, "grid": grid}.items():
        images.save_image(tmp_path / f"{name}.png", pixels)
    names = [tmp_path / f"{name}.png" for name in ("flat", "anywhere", "grid")]
    rows = told(tmp_path, "specks", *names, "--style", names[1], "--top", 0.5)["rows"]
    assert [row["beyond 0.1"] for row in rows] == pytest.approx([1, 0, 1, 100 / 64], abs=0.2)
    assert [row["beyond 0.15"] for row in rows] == pytest.approx([1, 0, 1, 0], abs=0.2)
    assert all(row["by 8"] < 2 for row in rows[:3])
    assert rows[3]["by 8"] > 50 and rows[3]["by 2"] > 50
