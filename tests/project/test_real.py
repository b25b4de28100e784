"""With the real VGG-19: recorded responses, and the losses told for a real picture."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import simple_config

from nst_jax.networks import vgg
from nst_jax.pictures import images
from nst_jax.runs import report
from nst_jax.runs.stylize import stylize

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "vgg19_responses.json").read_text())


def synthetic():
    """The image of the record: see its ``image``."""
    y, x = np.mgrid[0:48, 0:64]
    waves = [(0.31, 0.12, 0.0), (-0.17, 0.43, 1.0), (0.77, 0.59, 2.0)]
    return np.stack([0.5 + 0.5 * np.sin(a * x + b * y + c) for a, b, c in waves], axis=-1)


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_responses_equal_the_recorded_ones(vgg19, pooling):
    recorded = RECORDED[pooling]
    net = vgg.network(vgg19, pooling)
    found = vgg.features(net, jnp.asarray(synthetic(), jnp.float32), recorded)
    assert len(recorded) == 21
    for tap, expected in recorded.items():
        response = np.asarray(found[tap], np.float64)
        assert list(response.shape) == expected["shape"]
        assert response.mean() == pytest.approx(expected["mean"], rel=1e-4), tap
        assert np.sqrt(np.square(response).mean()) == pytest.approx(expected["rms"], rel=1e-4), tap
        for *position, value in expected["at"]:
            assert response[tuple(position)] == pytest.approx(value, rel=1e-3, abs=1e-4 * expected["rms"]), tap


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["normalized", "gatys2015"])
def test_the_losses_told_are_those_of_the_picture(vgg19, shared, tmp_path, loss):
    """To 1e-4 from the result and to 1 % from the file, by float64 NumPy with the project's own start and targets."""
    content = shared / "images" / "content" / "paper_neckarfront_tuebingen.jpg"
    style = shared / "images" / "style" / "paper_starry_night_vangogh_1889.jpg"
    ratio = {"content_weight": 1e-3, "style_weight": 1.0} if loss == "gatys2015" else {}
    config = simple_config(size=96, steps=8, scales=1, history=5, loss=loss, style_octaves=2, **ratio).for_network(
        "vgg19"
    )
    result = stylize(content, style, config, weights=vgg19)
    photograph, painting = (images.load_image(path, longest_side=96).pixels for path in (content, style))
    terms = reference.objective(vgg19, config, photograph, [painting])
    expected = terms(result.image)
    assert result.losses == {name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}
    assert min(row["total"] for row in result.trace) < 0.7 * result.trace[0]["total"]
    report.save(tmp_path / "out.png", result)
    written = images.load_image(tmp_path / "out.png").pixels
    assert result.losses["total"] == pytest.approx(terms(written)["total"], rel=0.01)
