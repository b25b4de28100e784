"""What is said of outputs before a run: room on the disk, sides and bits of a format; and results of 16 bits."""

import collections
import json
import shutil

import numpy as np
import pytest
from support import simple_config, smooth_picture

from nst_jax.batch import jobs
from nst_jax.cli import batch, replay, stylize, sweep
from nst_jax.cli.outputs import Room, check_disk, to_be_written
from nst_jax.errors import NSTError
from nst_jax.pictures import images
from nst_jax.pictures.encoding import to_levels
from nst_jax.runs.plan import prepare

LAYERS = {"content_layers": ("conv1_1",), "style_layers": ("conv1_1",)}
Usage = collections.namedtuple("Usage", "total used free")


@pytest.fixture
def line(pictures, weights_file, tmp_path):
    """A quick run, whose photograph is transparent in part."""
    alpha = np.linspace(0, 1.2, 34 * 48, dtype="f4").reshape(34, 48).clip(0, 1)
    images.save_image(pictures[0], smooth_picture(34, 48, 0), alpha)
    words = ["--content", pictures[0], "--style", pictures[1], "--weights", weights_file, "--network", "vgg19"]
    words += ["--size", 32, "--scales", 1, "--steps", 2, "--preset", "nst_jax-0.1"]
    words += ["--content-layers", "conv1_1", "--style-layers", "conv1_1"]
    return [str(word) for word in words]


@pytest.fixture
def free(monkeypatch):
    """Has every disk say that so many bytes are free, or raise."""

    def set_free(count):
        def usage(folder):
            if isinstance(count, Exception):
                raise count
            return Usage(10**12 if count else 0, 0, count)

        monkeypatch.setattr(shutil, "disk_usage", usage)

    return set_free


def refused(words, capsys):
    """The one line that a command line gets, with exit status 2."""
    assert stylize.main(words) == 2
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 1
    return told.err


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_disk_without_room_is_said_before_the_run(line, tmp_path, capsys, free, more):
    before = sorted(tmp_path.iterdir())
    free(50_000)
    words = [*line, "--output", str(tmp_path / "out.png"), "--checkpoint", str(tmp_path / "kept"), "--save-every", "1"]
    told = refused([*words, *more], capsys)
    assert told.startswith(f"nst-stylize: error: {tmp_path} has 0.1 MB free, and this run may need ")
    assert "(the picture 0.1 MB and its previews 0.1 MB and its checkpoints " in told
    assert told.endswith("): make room, or choose a folder on another disk\n")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("count", [OSError("nobody knows"), 0])
def test_a_system_that_cannot_say_is_passed_over(tmp_path, free, count):
    free(count)
    check_disk([Room("the picture", tmp_path, 10**15)])


def test_folders_of_one_disk_share_its_room(tmp_path, free):
    free(1000)
    check_disk([Room("the picture", tmp_path, 600)])
    with pytest.raises(NSTError, match="the picture .* and its checkpoints"):
        check_disk([Room("the picture", tmp_path, 600), Room("its checkpoints", tmp_path / "a" / "b", 600)])


def test_what_a_picture_made_again_needs_is_said_too(line, tmp_path, capsys, free):
    assert stylize.main([*line, "--output", str(tmp_path / "out.png")]) == 0
    capsys.readouterr()
    free(50_000)
    assert replay.main([str(tmp_path / "out.png"), "--output", str(tmp_path / "again.png")]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"nst-replay: error: {tmp_path} has 0.1 MB free, and this run may need ")
    assert len(told.err.splitlines()) == 1 and not (tmp_path / "again.png").exists()


@pytest.mark.parametrize("pictures_left, noted", [(1, True), (2, False)])
@pytest.mark.parametrize("command", [sweep, batch])
def test_a_folder_of_pictures_gets_a_note(line, tmp_path, capsys, free, command, pictures_left, noted):
    """The second picture has no room, or just has some; what is made stays, so the run is not refused."""
    free(pictures_left * (23 * (32 * 4 + 1) + 2**16))
    more = ["--init", "noise", "--seeds", "1", "2"] if command is sweep else ["--dry-run"]
    words = [*line, "--output", str(tmp_path / "out"), *more]
    if command is batch:
        words[3:4] = [words[3], words[1]]  # two paintings
    assert command.main(words) == 0
    note = f"{command.PROGRAM}: note: {tmp_path / 'out'} has "
    assert (note in capsys.readouterr().err) == noted


def test_what_a_run_writes_is_no_more_than_was_thought(pictures, tmp_path, tiny):
    """Previews of both sizes, and checkpoints; with 16 bits twice as much."""
    from support import random_filters

    from nst_jax.runs.checkpoints import Checkpoints
    from nst_jax.runs.stylize import paint

    settings = {"network": tiny, "size": 40, "scales": 2, "coarse_steps": (4,), "steps": 5, "history": 3} | LAYERS
    run = prepare(*pictures, simple_config(**settings), weights=random_filters(tiny))
    most = {each.what: each.most for each in to_be_written(run, tmp_path / "out.png", 2, tmp_path / "kept")}
    deep = run._replace(config=simple_config(**settings, depth=16).for_network(tiny))
    twice = {each.what: each.most for each in to_be_written(deep, tmp_path / "out.png", 2, None)}
    words = 2**16  # for metadata
    height, width = run.sizes[-1]
    assert most["the picture"] - words == height * (3 * width + 1)
    assert twice["the picture"] - words == height * (6 * width + 1)
    coarse, fine = (height * (3 * width + 1) for height, width in run.sizes)
    assert most["its previews"] == 2 * (coarse + words) + 2 * (fine + words)
    with Checkpoints(tmp_path / "kept", run, every="1") as kept:
        paint(run, keep=lambda *position: (kept.keep(*position), kept.manager.wait_until_finished()))
    written = sum(path.stat().st_size for path in (tmp_path / "kept").rglob("*"))
    assert 0 < written <= most["its checkpoints"] + 2**16  # words of theirs


@pytest.mark.parametrize("name, size", [("out.jpg", 65_501), ("out.webp", 16_384)])
def test_a_side_that_the_format_does_not_hold_is_said_before_the_run(line, tmp_path, capsys, name, size):
    before = sorted(tmp_path.iterdir())
    line[line.index("--size") + 1] = str(size)
    told = refused([*line, "--output", str(tmp_path / name)], capsys)
    assert f"its format holds {size - 1} pixels a side; use .png or .tiff" in told
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["out.jpg", "out.webp"])
def test_bits_that_the_format_does_not_have_are_said_before_the_run(line, tmp_path, capsys, name):
    before = sorted(tmp_path.iterdir())
    told = refused([*line, "--output", str(tmp_path / name), "--depth", "16"], capsys)
    assert f"cannot write {tmp_path / name} with 16 bits a channel: its format has 8; use .png or .tiff" in told
    assert "--depth is 10: give 8 or 16 bits a channel" in refused([*line, "--depth", "10"], capsys)
    assert sorted(tmp_path.iterdir()) == before


def test_a_batch_knows_too(tmp_path, pictures):
    config = simple_config(depth=16)
    assert len(jobs.product([str(pictures[0])], [str(pictures[1])], config, ".tif")) == 1
    with pytest.raises(NSTError, match=r"cannot write \.jpg with 16 bits a channel"):
        jobs.product([str(pictures[0])], [str(pictures[1])], config, ".jpg")
    manifest = tmp_path / "jobs.csv"
    manifest.write_text("content,style,output,depth\ncontent.png,style.png,a.webp,16\n")
    with pytest.raises(NSTError, match=r"line 2: cannot write \.webp with 16 bits a channel"):
        jobs.from_manifest(manifest, simple_config(), ".png")


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_a_result_of_16_bits_is_made_again_bit_for_bit(line, tmp_path, capsys, extension):
    """With its recipe, its alpha, the photograph's colours, and its previews."""
    output, shallow = tmp_path / f"out.{extension}", tmp_path / "shallow.png"
    more = ["--keep-colors", "luminance", "--save-every", "1"]
    assert stylize.main([*line, "--output", str(output), "--depth", "16", *more]) == 0, capsys.readouterr()
    assert stylize.main([*line, "--output", str(shallow), *more]) == 0
    told = json.loads(images.read_metadata(output)["nst_jax"])
    assert told["config"]["depth"] == 16 and len(told["inputs"]) == 2
    deep, eight = images.load_image(output), images.load_image(shallow)
    for preview in (output, output.with_name(f"out-000001.{extension}")):
        levels = np.concatenate(list(images.rows_of(preview, 16)))
        assert (levels % 257 != 0).mean() > 0.5  # more than 8 bits can say
    np.testing.assert_allclose(deep.alpha, eight.alpha, atol=0.51 / 255)
    shown = deep.alpha > 0.1
    np.testing.assert_allclose(deep.pixels[shown], eight.pixels[shown], atol=0.51 / 255)
    assert replay.main([str(output), "--output", str(tmp_path / f"again.{extension}")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{output}: made again, the same bit for bit"
    assert (tmp_path / f"again.{extension}").read_bytes() == output.read_bytes()
    levels = np.concatenate(list(images.rows_of(output, 16)))
    levels[3, 4, 0] ^= 1
    share = (levels / 65535).astype("f4")
    images.save_image(output, share[..., :3], share[..., 3], images.read_metadata(output), depth=16)
    assert to_levels(images.load_image(output).pixels, 16).shape == levels[..., :3].shape
    assert replay.main([str(output)]) == 1
    assert "differs in 1 of 736 pixels, by up to 1 of 65535" in capsys.readouterr().out


def test_a_replay_to_a_format_of_8_bits_is_refused_before_the_run(line, tmp_path, capsys):
    output = tmp_path / "out.png"
    assert stylize.main([*line, "--output", str(output), "--depth", "16"]) == 0
    capsys.readouterr()
    assert replay.main([str(output), "--output", str(tmp_path / "again.jpg")]) == 2
    assert "with 16 bits a channel: its format has 8" in capsys.readouterr().err
