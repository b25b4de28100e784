"""The papers' figures: each is the runs that it should be, laid out like the paper's, and says where it differs."""

import dataclasses
import json

import numpy as np
import pytest
from support import random_filters, smooth_picture

from nst_jax.cli import reproduce as door
from nst_jax.errors import NSTError
from nst_jax.networks import weights_file
from nst_jax.pages.sheet import Cell, contact_sheet
from nst_jax.pictures import images
from nst_jax.sweeps import figures as reproduce
from nst_jax.sweeps.grid import PHOTOGRAPH

BASE = reproduce.base_config(network="vgg19")
NAMES = ["a", "b", "c", "d", "e"]


def lanes_of(name, styles=1):
    """The configs, style numbers and layout of a figure."""
    lanes, layout = reproduce.figure(name).runs(BASE, NAMES[:styles])
    return [lane.config for lane in lanes], [lane.style for lane in lanes], layout


@pytest.mark.parametrize("name", reproduce.FIGURES)
def test_every_lane_has_one_place(name):
    lanes, layout = reproduce.figure(name).runs(BASE, NAMES[:2])
    placed = [cell for row in layout.cells for cell in row if cell != PHOTOGRAPH]
    assert sorted(placed) == list(range(len(lanes)))
    assert len({(lane.config, lane.style) for lane in lanes}) == len(lanes)
    assert not layout.captions or len(layout.captions) == len(lanes)
    assert not layout.rows or len(layout.rows) == len(layout.cells)
    assert all(layout.label(lane) for lane in range(len(lanes)))
    assert {lane.config.loss for lane in lanes} == {"gatys2015"}


def test_nothing_of_the_default_is_in_the_figures():
    """What the papers do not have is not there, and they have one size."""
    base = reproduce.base_config()
    assert (base.tv_weight, base.tv_excess, base.detail, base.content_colors) == (0, 0, 0, "photograph")
    assert (base.init, base.pooling, base.padding, base.scales, base.style_octaves) == ("noise", "avg", "zeros", 1, 1)
    assert (base.keep_colors, base.moments, base.tileable, base.averaging) == ("none", 0, False, 0)


def test_fig1():
    configs, _, _ = lanes_of("fig1-content")
    assert [config.content_layers for config in configs] == [(tap,) for tap in reproduce.LAYERS]
    assert {(config.style_layers, config.style_weight, config.init) for config in configs} == {((), 0.0, "noise")}
    configs, _, _ = lanes_of("fig1-style")
    assert [config.style_layers for config in configs] == [reproduce.LAYERS[:count] for count in range(1, 6)]
    assert {(config.content_layers, config.content_weight) for config in configs} == {((), 0.0)}


def test_fig2():
    configs, styles, layout = lanes_of("fig2", 5)
    assert [config.content_weight / config.style_weight for config in configs] == [1e-3] * 3 + [1e-4] * 2
    assert styles == [0, 1, 2, 3, 4]
    assert layout.cells == ((PHOTOGRAPH, 0), (1, 2), (3, 4))
    assert layout.captions[0] == "B  a, ratio 0.001"


def test_fig3():
    configs, _, layout = lanes_of("fig3")
    assert np.shape(layout.cells) == (5, 4)
    for row, cells in enumerate(layout.cells):
        for column, cell in enumerate(cells):
            assert configs[cell].style_layers == reproduce.LAYERS[: row + 1]
            assert configs[cell].content_weight == pytest.approx(10 ** (column - 5))
    assert layout.columns == ("ratio 1e-05", "ratio 0.0001", "ratio 0.001", "ratio 0.01")


def test_the_figures_of_2016():
    configs, _, _ = lanes_of("tradeoff")
    assert [config.content_weight for config in configs] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    configs, _, _ = lanes_of("content-layers")
    assert [config.content_layers for config in configs] == [("conv2_2",), ("conv4_2",)]
    configs, _, layout = lanes_of("initialisation")
    assert [config.init for config in configs] == ["content", "style", *["noise"] * 4]
    assert [config.seed for config in configs[2:]] == [0, 1, 2, 3]
    assert layout.cells == ((0, 1), (2, 3, 4, 5))
    assert {config.content_weight for config in configs} == {1e-3}


def test_texture():
    configs, styles, layout = lanes_of("texture", 2)
    assert np.shape(layout.cells) == (5, 2)
    assert styles == [0, 1] * 5
    assert configs[-1].style_layers == ("conv1_1", "pool1", "pool2", "pool3", "pool4")


def test_an_unknown_figure():
    with pytest.raises(NSTError, match="unknown figure 'fig4': choose one of fig1-content, fig1-style, fig2, fig3"):
        reproduce.figure("fig4")


def test_the_page_says_where_it_differs():
    def text(name, **metadata):
        told = reproduce.paragraphs(reproduce.figure(name), BASE, {"name": "vgg19", **metadata}, (9, 8))
        assert [heading for heading, _ in told] == ["What the paper did", "What this run did", "Where they differ"]
        assert "9 x 8 pixels" in told[1][1]
        return told[2][1]

    assert "gradient descent" in text("fig3")
    assert text("fig3").endswith(
        "The pictures are to be these: the Neckarfront in Tübingen, photographed by Andreas Praefcke; Composition VII,"
        " Wassily Kandinsky, 1913. Whether the files that were given show them is not checked."
    )
    assert "these: The Starry Night, Vincent van Gogh, 1889. " in text("fig1-style")
    assert "rescaled to mean activation 1" in text("tradeoff")
    assert "The filters are rescaled: over 9 pictures." in text("tradeoff", normalized="over 9 pictures")
    slim = reproduce.paragraphs(reproduce.figure("fig3"), BASE, {"name": "slim"}, (9, 8))
    assert "not VGG-19" in slim[2][1]


def test_a_sheet_has_a_place_for_everything():
    picture = smooth_picture(40, 60, 0)
    cells = [[Cell(picture, "one"), Cell(None, "not yet")], [Cell(picture)]]
    plain = contact_sheet(cells)
    full = contact_sheet(
        cells, title="A title", inputs=[Cell(picture, "content")], rows=["first", "second"], columns=["left", "right"]
    )
    assert plain.dtype == np.float32
    assert 0 <= plain.min() <= plain.max() <= 1
    assert full.shape[0] > plain.shape[0] and full.shape[1] > plain.shape[1]
    many = contact_sheet([[Cell(picture)] * 40] * 25)
    assert max(many.shape) <= 8000


def test_a_long_name_stays_within_its_cell():
    picture = smooth_picture(40, 60, 0)
    name = "the_starry_night_vincent_van_gogh_1889_after_cleaning_and_framing"
    short, long = (contact_sheet([[Cell(picture, text), Cell(picture)]]) for text in (name[:5], name))
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0]  # it takes more lines
    below = long[95:]  # the pictures are some 85 pixels high, and the other has no caption
    middle = long.shape[1] // 2
    assert (below[:, :middle] < 1).any() and (below[:, middle:] == 1).all()


@pytest.fixture
def arguments(tmp_path, narrow_vgg):
    images.save_image(tmp_path / "photo.png", smooth_picture(36, 48, 0))
    images.save_image(tmp_path / "painting.png", smooth_picture(48, 40, 1))
    weights_file.save_weights(tmp_path / "narrow.h5", random_filters("vgg19"))
    return [
        "--content", str(tmp_path / "photo.png"), "--styles", str(tmp_path / "painting.png"), "--network", "vgg19",
        "--weights", str(tmp_path / "narrow.h5"), "--size", "48", "--steps", "2", "--output", str(tmp_path / "out"),
        "--optimizer", "adam",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fig1-content", "fig2", "fig3", "initialisation", "texture"])
def test_the_command(tmp_path, arguments, capsys, name):
    assert door.main([name, *arguments, "--metadata", "none"]) == 0
    assert images.read_metadata(tmp_path / "out" / "lane-000.png") == {}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    lanes, _ = reproduce.figure(name).runs(BASE, ["painting"])
    assert len(results) == len(lanes)
    assert images.load_image(tmp_path / "out" / "contact_sheet.png").pixels.size
    page = (tmp_path / "out" / "index.html").read_text()
    for heading in ("What the paper did", "What this run did", "Where they differ"):
        assert f"<h2>{heading}</h2>" in page
    (tmp_path / "out" / "lane-000.json").unlink()
    assert door.main([name, *arguments, "--resume"]) == 0
    assert f"{len(lanes)} lanes, {len(lanes) - 1} of them finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda rest: ["fig4", *rest], "unknown figure 'fig4'"),
        (lambda rest: rest, "FIGURE"),
        (lambda rest: ["fig3", *(word if word != "48" else "0" for word in rest)], "--size is 0"),
        (
            lambda rest: ["fig3", *rest[2:]],
            "fig3 needs copies of its pictures: give --content FILE with the Neckarfront in Tübingen, photographed by"
            " Andreas Praefcke (Wikimedia Commons: Tuebingen_Neckarfront.jpg)",
        ),
        (
            lambda rest: ["fig3", *rest[:2], *rest[4:]],
            "give --styles FILE ... with Composition VII, Wassily Kandinsky, 1913 (Wikimedia Commons)",
        ),
        (
            lambda rest: ["fig2", *rest[4:]],
            "Tuebingen_Neckarfront.jpg); and --styles FILE ... with The Shipwreck of the Minotaur, J. M. W. Turner,"
            " 1805 (Wikimedia Commons); The Starry Night, Vincent van Gogh, 1889 (Wikimedia Commons); Der Schrei",
        ),
        (lambda rest: ["texture", *rest[4:]], "texture needs copies of its pictures: give --styles FILE ... with The"),
        (lambda rest: ["fig3", *rest, "--resume"], "holds no sweep"),
        (
            lambda rest: ["texture", *(word if word != "vgg19" else "slim" for word in rest)],
            "texture is of layers that slim lacks (pool1, pool2, pool3, pool4): it needs VGG-19, whose weights you get",
        ),
    ],
)
def test_mistakes_get_one_line(tmp_path, arguments, capsys, changed, message):
    assert door.main(changed(arguments)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("nst-reproduce: error: ")
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_base_config_is_the_papers():
    assert dataclasses.replace(reproduce.base_config(), preset="gatys2015").init == "noise"
    assert reproduce.base_config().loss == "gatys2015"
