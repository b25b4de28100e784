"""The tables of layers against the numbers of Simonyan and Zisserman (2014), and the names' errors."""

import pytest

from nst_jax import layers
from nst_jax.errors import NSTError


@pytest.mark.parametrize(
    ("network", "convolutions", "parameters"), [("vgg16", 13, 14_714_688), ("vgg19", 16, 20_024_384)]
)
def test_tables_have_the_published_sizes(network, convolutions, parameters):
    rows = layers.table(network)
    convs = [row for row in rows if row.kind == "conv"]
    assert len(convs) == convolutions
    assert [row.name for row in rows if row.kind == "pool"] == [f"pool{block}" for block in range(1, 6)]
    assert sum(9 * row.inputs * row.channels + row.channels for row in convs) == parameters
    assert all(before.channels == after.inputs for before, after in zip(rows, rows[1:], strict=False))


def test_vgg19_has_the_papers_names():
    names = [row.name for row in layers.table("vgg19")]
    assert names[:6] == ["conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2"]
    assert names[6:11] == ["conv3_1", "conv3_2", "conv3_3", "conv3_4", "pool3"]
    assert names[-2:] == ["conv5_4", "pool5"]


def test_until_ends_at_the_deepest_tap_in_any_order():
    assert [row.name for row in layers.until("vgg19", ["conv2_1", "conv1_1"])] == [
        "conv1_1", "conv1_2", "pool1", "conv2_1",
    ]  # fmt: skip
    assert layers.until("vgg19", []) == ()


def test_smallest_side_counts_the_poolings():
    sides = {tap: layers.smallest_side("vgg19", [tap]) for tap in ("conv1_2", "pool1", "conv4_2", "conv5_1", "pool5")}
    assert sides == {"conv1_2": 1, "pool1": 2, "conv4_2": 8, "conv5_1": 16, "pool5": 32}


def test_only_what_stands_for_a_wide_layer_is_a_tap_of_a_stand_in(stand_in):
    assert layers.tap_names(stand_in) == ("conv1_1", "conv2_1")
    assert layers.tap_names("vgg19") == tuple(row.name for row in layers.table("vgg19"))
    assert [row.name for row in layers.until(stand_in, ["conv2_1"])] == ["conv1_1", "pool1", "conv1_2", "conv2_1"]


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(NSTError, match="unknown network 'vgg11': choose one of .*vgg19"):
        layers.table("vgg11")
    with pytest.raises(NSTError, match=r"unknown layer 'relu4_2': .* conv4_2 .* pool5$"):
        layers.until("vgg19", ["conv1_1", "relu4_2"])


def test_walk_tells_the_size_of_each_response():
    """Each pooling halves it, and an odd last row or column is dropped."""
    sizes = {row.name: size for row, size in layers.walk(layers.table("vgg19"), 101, 66)}
    assert list(sizes) == [row.name for row in layers.table("vgg19")]
    expected = {"conv1": (101, 66), "conv2": (50, 33), "conv3": (25, 16), "conv4": (12, 8), "conv5": (6, 4)}
    for name, size in sizes.items():
        if name.startswith("conv"):
            assert size == expected[name.split("_")[0]]
    assert [sizes[f"pool{block}"] for block in range(1, 6)] == [(50, 33), (25, 16), (12, 8), (6, 4), (3, 2)]


def test_walk_goes_as_far_as_its_rows_and_keeps_them():
    rows = layers.until("vgg19", ["conv2_1"])
    found = list(layers.walk(rows, 8, 6))
    assert [row for row, _ in found] == list(rows)
    assert [size for _, size in found] == [(8, 6), (8, 6), (4, 3), (4, 3)]
    assert list(layers.walk((), 8, 6)) == []


def test_walk_leaves_one_position_of_the_smallest_side():
    for tap in ("conv1_2", "pool1", "conv4_2", "conv5_1", "pool5"):
        side = layers.smallest_side("vgg19", [tap])
        *_, (_, size) = layers.walk(layers.until("vgg19", [tap]), side, side)
        assert size == (1, 1)


def test_blocks_end_with_a_pooling():
    rows = layers.until("vgg19", ["conv3_2"])
    blocks = layers.blocks(rows)
    assert [row for block in blocks for row in block] == list(rows)
    assert [block[-1].name for block in blocks] == ["pool1", "pool2", "conv3_2"]
