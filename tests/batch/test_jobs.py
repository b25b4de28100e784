"""The jobs of a batch: which there are, what they are called, and what is said of a manifest that is no good."""

import dataclasses
import json
import os

import pytest
from batch_support import QUICK, make_inputs, options_of

from nst_jax.batch.folder import Folder
from nst_jax.batch.inputs import Inputs
from nst_jax.batch.jobs import from_manifest
from nst_jax.cli import batch
from nst_jax.errors import NSTError
from nst_jax.options.config import Config


@pytest.fixture
def inputs(tmp_path):
    return make_inputs(tmp_path / "inputs", contents=3, styles=2)


def planned(options):
    folder = Folder(options.output)
    folder.make()
    return batch.planned(options, folder)


def names(options):
    return [job.name for job in planned(options)[0]]


def manifest(tmp_path, name, text):
    path = tmp_path / "inputs" / name
    path.write_text(text)
    return path


def test_contents_times_styles_by_files_folders_and_patterns(inputs, tmp_path):
    contents, styles = inputs
    wanted = [(content, (style,)) for content in contents for style in styles]
    for given in (contents, [str(tmp_path / "inputs" / "content-*.png")]):
        jobs, _ = planned(options_of(given, styles, tmp_path / "out"))
        assert [(job.wish.content, job.wish.styles) for job in jobs] == wanted
    jobs, _ = planned(options_of(contents, [str(tmp_path / "inputs")], tmp_path / "out"))
    assert len(jobs) == 15
    with pytest.raises(NSTError, match="--content has nowhere.jpg, which is no file, no folder and no pattern"):
        planned(options_of(["nowhere.jpg"], styles, tmp_path / "out"))


def test_a_name_is_that_of_what_is_in_the_files_and_of_the_options(inputs, tmp_path):
    contents, styles = inputs
    first = names(options_of(contents, styles, tmp_path / "out"))
    os.rename(contents[0], tmp_path / "elsewhere.png")
    moved = [str(tmp_path / "elsewhere.png"), *contents[1:]]
    assert names(options_of(moved, styles, tmp_path / "out")) == first
    assert names(options_of(moved, styles, tmp_path / "out", "--workers", "7", lanes=1)) == first
    for more in (["--strength", "0.7"], ["--format", "jpg"]):
        assert not set(names(options_of(moved, styles, tmp_path / "out", *more))) & set(first)


def test_the_same_picture_under_several_names_is_a_job_for_each(inputs, tmp_path):
    contents, styles = inputs
    for path in contents:
        with open(path, "wb") as file:
            file.write(b"no picture")
    jobs, units = planned(options_of([*contents, contents[0]], styles[:1], tmp_path / "out"))
    assert len({job.name for job in jobs}) == 3 and units == []
    assert len(Folder(tmp_path / "out").failures(jobs)) == 3


def test_units_follow_from_the_jobs_and_lanes_alone(inputs, tmp_path):
    contents, styles = inputs
    _, units = planned(options_of(contents, styles, tmp_path / "out", lanes=0))
    _, again = planned(options_of(contents[::-1], styles[::-1], tmp_path / "out", lanes=0))
    assert [unit.name for unit in units] == [unit.name for unit in again] and units[0].lanes == 6
    _, fewer = planned(options_of(contents, styles, tmp_path / "out", lanes=4))
    assert [(len(unit.jobs), unit.lanes) for unit in fewer] == [(3, 3), (3, 3)]
    assert {unit.name for unit in units}.isdisjoint(unit.name for unit in fewer)


def test_a_file_is_read_again_only_if_it_has_changed(inputs, tmp_path, monkeypatch):
    contents, _ = inputs
    (tmp_path / "out").mkdir()
    Inputs(tmp_path / "out").look(contents)
    read = []
    monkeypatch.setattr("nst_jax.batch.inputs.looked_at", lambda path: read.append(path) or known[path])
    with open(contents[1], "ab") as file:
        file.write(b" ")
    known = Inputs(tmp_path / "out")
    known._known[contents[1]] = None
    again = Inputs(tmp_path / "out")
    monkeypatch.setattr(again, "_write", lambda: None)
    again.look(contents)
    assert read == [contents[1]] and again[contents[0]].size == (24, 32)


def test_a_manifest_of_either_kind_gives_the_same_jobs(inputs, tmp_path):
    text = "content,style,strength,style-layers,tileable,output\n"
    text += "content-0.png,style-0.png; style-1.png,0.7,conv1_1 conv2_1:0.5,true,a.jpg\ncontent-1.png,style-1.png,,,,\n"
    rows = [
        {"content": "content-0.png", "style": ["style-0.png", "style-1.png"], "strength": 0.7, "tileable": True}
        | {"style_layers": ["conv1_1", "conv2_1:0.5"], "output": "a.jpg"},
        {"content": "content-1.png", "style": "style-1.png", "strength": None},
    ]
    lines = "\n".join(map(json.dumps, rows))
    base = Config(network="slim", size=32)
    one = from_manifest(manifest(tmp_path, "jobs.csv", text), base, ".png")
    assert one == from_manifest(manifest(tmp_path, "jobs.jsonl", lines), base, ".png")
    first, second = one
    layers = ("conv1_1", "conv2_1:0.5")
    assert first.config == dataclasses.replace(base, strength=0.7, tileable=True, style_layers=layers)
    assert (first.output, first.suffix, second.suffix, second.config) == ("a.jpg", ".jpg", ".png", base)
    assert first.content == str(tmp_path / "inputs" / "content-0.png") and len(first.styles) == 2


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (
            "a.csv",
            "content,style,strenght\na,b,1\n",
            "line 2: strenght is no column of a manifest: did you mean strength?",
        ),
        ("a.csv", "content,style,steps\na,b,many\n", "line 2: steps is 'many': give a whole number, such as 3"),
        ("a.csv", "content,style\na\n", "line 2: it has another number of columns"),
        ("a.csv", "content,style,strength\na,b,7\n", "line 2: --strength is 7: give a number from 0 to 1"),
        ("a.csv", "content,style\n", "has no jobs"),
        ("a.csv", "content,style,output\na,b,x.png\nc,d,x.png\n", "has the output x.png twice"),
        ("a.csv", "content,style,output\na,b,../x.png\n", "line 2: output is ../x.png: give a name without a folder"),
        ("a.jsonl", '{"content": "a", "style": 3}', "line 1: style is no name of a file"),
        ("a.jsonl", '\n["a"]', "line 2: it is no JSON object"),
        ("a.txt", "a b", "give a .csv or a .jsonl file"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_told_with_its_line(tmp_path, name, text, line):
    (tmp_path / "inputs").mkdir()
    with pytest.raises(NSTError) as error:
        from_manifest(manifest(tmp_path, name, text), Config(), ".png")
    assert line in str(error.value)


def test_a_folder_of_paintings_weighs_as_in_a_single_run(inputs, tmp_path):
    (tmp_path / "inputs" / "some").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        os.link(inputs[1][0], tmp_path / "inputs" / "some" / name)
    rows = [
        {"content": "content-0.png", "style": ["some", "style-1.png"], "style_blend": blend} for blend in ([1, 2], None)
    ]
    wishes = from_manifest(manifest(tmp_path, "jobs.jsonl", "\n".join(map(json.dumps, rows * 2))), Config(), ".png")
    assert [wish.config.style_blend for wish in wishes[:2]] == [(1 / 3, 1 / 3, 1 / 3, 2.0), (1 / 3, 1 / 3, 1 / 3, 1.0)]
    assert len(wishes[0].styles) == 4
    assert [wishes[at].config is wishes[at + 2].config for at in (0, 1)] == [True, True]


def test_a_name_may_have_what_ends_a_line_elsewhere(inputs, tmp_path):
    row = '{"content": "a\u2028b.png", "style": "style-0.png"}\r\n'
    (wish,) = from_manifest(manifest(tmp_path, "jobs.jsonl", row), Config(), ".png")
    assert wish.content.endswith("a\u2028b.png")


@pytest.mark.parametrize(
    "row", ['"content": "\\ud800.jpg"', '"output": "a\\u0000.png"', f'"output": "{300 * "a"}.png"']
)
def test_what_can_be_no_file_s_name_is_told_with_its_line(inputs, tmp_path, row):
    with pytest.raises(NSTError, match="line 1: .* is no name of a file"):
        from_manifest(manifest(tmp_path, "jobs.jsonl", f"{{{row}}}\n"), Config(), ".png")


def test_no_output_is_written_over_an_input(inputs, tmp_path):
    """Whatever names the folder and the input have."""
    before = (tmp_path / "inputs" / "content-0.png").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "inputs")
    path = manifest(tmp_path, "jobs.csv", "content,style,output\ncontent-0.png,style-0.png,content-0.png\n")
    for folder in (tmp_path / "inputs", tmp_path / "link"):
        assert batch.main(["--manifest", str(path), "--output", str(folder), *QUICK]) == 2
    with pytest.raises(NSTError, match="output content-0.png would write over .*content-0.png: give another name"):
        planned(batch.parsed(["--manifest", str(path), "--output", str(tmp_path / "inputs"), *QUICK]))
    assert (tmp_path / "inputs" / "content-0.png").read_bytes() == before


def test_a_dry_run_records_and_forgets_no_failure(inputs, tmp_path):
    contents, styles = inputs
    with open(contents[0], "wb") as file:
        file.write(b"no picture")
    options = options_of(contents, styles[:1], tmp_path / "out")
    planned(dataclasses.replace(options, dry_run=True))
    folder = Folder(tmp_path / "out")
    assert folder.failed() == set()
    planned(options)
    assert len(folder.failed()) == 1
    planned(dataclasses.replace(options, dry_run=True, retry_failed=True))
    assert len(folder.failed()) == 1


def test_a_missing_file_of_a_manifest_is_one_job_s_failure(inputs, tmp_path):
    path = manifest(tmp_path, "jobs.csv", "content,style\nnowhere.png,style-0.png\ncontent-0.png,style-0.png\n")
    words = ["--manifest", str(path), "--output", str(tmp_path / "out"), *QUICK]
    jobs, units = planned(batch.parsed(words))
    assert len(jobs) == 2 and [job.wish.content for unit in units for job in unit.jobs] == [jobs[1].wish.content]
    (line,) = Folder(tmp_path / "out").failures(jobs)
    assert "nowhere.png does not exist" in line
