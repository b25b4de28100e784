"""The network that ships: its file, its place in the library, and how ``auto`` chooses."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import network, usual_objective

import nst_jax
from nst_jax import layers
from nst_jax.cli import stylize
from nst_jax.cli.display import network_line
from nst_jax.errors import NSTError
from nst_jax.losses import formulas
from nst_jax.networks import weights_file
from nst_jax.networks.vgg import features, random_weights

FILE = Path(nst_jax.__file__).parent / "data" / "slim.h5"
TAPS = layers.tap_names("slim")


def picture(seed):
    return jax.random.uniform(jax.random.key(seed), (32, 48, 3))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty weights folder."""
    monkeypatch.setenv(weights_file.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_the_file_is_small_and_says_where_it_comes_from():
    shipped = weights_file.find_weights("slim")
    assert FILE.stat().st_size <= 4_000_000
    assert shipped.sha256 == weights_file.SHIPPED["slim"] == weights_file.file_sha256(FILE)
    assert shipped.metadata["trained_by"].startswith("scripts/train_slim.py --minutes")
    assert shipped.metadata["teacher_sha256"]
    assert "Simonyan and Zisserman" in shipped.metadata["teacher"]


def test_another_file_in_its_place_is_refused(monkeypatch):
    monkeypatch.setitem(weights_file.SHIPPED, "slim", "0" * 64)
    with pytest.raises(NSTError, match="damaged: install nst_jax again"):
        weights_file.find_weights("slim")


@pytest.mark.slow
def test_layers_have_the_names_and_channels_of_vgg19():
    wide = {row.name: row.channels for row in layers.table("vgg19")}
    seen = features(network(weights_file.find_weights("slim")), picture(0), TAPS)
    assert {tap: response.shape[-1] for tap, response in seen.items()} == {tap: wide[tap] for tap in TAPS}
    assert set(nst_jax.Config.content_layers + nst_jax.Config.style_layers) <= set(TAPS)


def test_layers_that_stand_for_nothing_are_refused():
    with pytest.raises(NSTError, match="the layers of slim are conv1_1 conv2_1"):
        layers.until("slim", ["conv2_2"])


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["gatys2015", "gatys2016", "normalized"])
def test_losses_are_those_of_the_mapped_responses(convention):
    """The losses never leave the narrow space, and yet are those of ``features``."""
    net = network(weights_file.find_weights("slim"))
    photograph, painting, image = map(picture, range(3))
    weight = dict.fromkeys(TAPS, 1.0)
    goal = usual_objective(
        net, photograph, [painting], content_layers={"conv4_2": 1.0}, style_layers=weight, content_weight=1.0,
        style_weight=1.0, convention=convention,
    )  # fmt: skip
    _, terms = goal(image)
    p, s, f = (features(net, one, TAPS) for one in (photograph, painting, image))
    content = formulas.content_loss(f["conv4_2"], p["conv4_2"], convention)
    style = sum(formulas.style_loss(formulas.gram(f[tap]), formulas.gram(s[tap]), convention) for tap in TAPS)
    np.testing.assert_allclose(terms["content"], content, rtol=1e-3)
    np.testing.assert_allclose(terms["style"], style, rtol=1e-3)


@pytest.mark.slow
def test_it_is_nearer_to_vgg19_than_random_filters_are(shared):
    """Gram matrices of a real painting, at each tap, against those of the teacher."""
    import convert_weights.convert as convert

    teacher, _ = convert.convert(shared / "weights" / "vgg19_notop.h5")
    path = shared / "images" / "style" / "paper_starry_night_vangogh_1889.jpg"
    painting = jnp.asarray(nst_jax.load_image(path, longest_side=128).pixels)

    def grams(held):
        found = features(network(held), painting, TAPS)
        normalized = {tap: formulas.gram(response) for tap, response in found.items()}
        return {tap: matrix / jnp.linalg.norm(matrix) for tap, matrix in normalized.items()}

    truth, slim, random = map(grams, (teacher, weights_file.find_weights("slim"), random_weights("slim")))
    for tap in TAPS:
        assert jnp.linalg.norm(slim[tap] - truth[tap]) < 0.5 * jnp.linalg.norm(random[tap] - truth[tap]), tap


def test_auto_takes_vgg19_once_it_is_there(folder, narrow_vgg):
    assert weights_file.choose_weights("auto").network == "slim"
    weights_file.save_weights(folder / "vgg19.h5", random_weights("vgg19"))
    assert weights_file.choose_weights("auto").network == "vgg19"
    assert weights_file.choose_weights("slim").network == "slim"


@pytest.mark.slow
def test_the_command_line_says_which_network_it_is(folder, tmp_path, capsys):
    nst_jax.save_image(tmp_path / "a.png", np.asarray(picture(0)))
    nst_jax.save_image(tmp_path / "b.png", np.asarray(picture(1)))
    arguments = [
        "--content",
        f"{tmp_path / 'a.png'}",
        "--style",
        f"{tmp_path / 'b.png'}",
        "--size",
        "32",
        "--steps",
        "1",
    ]
    assert stylize.main([*arguments, "--output", str(tmp_path / "c.png")]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("network:")]
    assert said == [network_line("slim")]
    assert "convert_weights --download vgg19" in said[0]
