"""The command line: one line and status 2 for every mistake, and nothing overwritten."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from convert_support import make_arrays, write_keras

from convert_weights.cli import main
from nst_jax.networks.weights_file import load_weights, weights_path

ROOT = Path(__file__).parents[2]


@pytest.fixture
def keras(tmp_path, monkeypatch):
    monkeypatch.setenv("NST_JAX_WEIGHTS", str(tmp_path / "weights"))
    write_keras(tmp_path / "source.h5", make_arrays())
    return tmp_path / "source.h5"


def mistake(capsys, *arguments):
    """Runs the command, expects status 2 and one line, and gives the line."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.err.startswith("nst-convert-weights: ")
    return captured.err


def test_into_the_weights_folder(keras, capsys):
    assert main([str(keras)]) == 0
    assert load_weights(weights_path("vgg19"), "vgg19").metadata["source_file"] == "source.h5"
    output = capsys.readouterr().out
    assert "vgg19 from Keras HDF5, preprocessing caffe" in output and f"wrote {weights_path('vgg19')}" in output


def test_to_a_file_that_is_replaced(keras, tmp_path):
    output = tmp_path / "deep" / "out.h5"
    assert main([str(keras), "--output", str(output)]) == 0
    assert main([str(keras), "--output", str(output), "--preprocessing", "torchvision"]) == 0
    assert load_weights(output).preprocessing.channel_order == "RGB"
    assert [path.name for path in output.parent.iterdir()] == ["out.h5"]


def test_a_console_that_lacks_a_character(keras, tmp_path, monkeypatch):
    """The file is written all the same, and told with the character escaped."""
    console = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", console)
    assert main([str(keras), "--output", str(tmp_path / "ü.h5")]) == 0
    assert load_weights(tmp_path / "ü.h5").network == "vgg19"
    assert b"\\xfc.h5 (" in console.buffer.getvalue()


def test_a_name_that_is_no_utf_8(keras, tmp_path, capsys):
    source = keras.rename(keras.with_name("caf\udce9.h5"))
    assert main([str(source), "--output", str(tmp_path / "out.h5")]) == 0
    assert load_weights(tmp_path / "out.h5").metadata["source_file"] == r"caf\xe9.h5"
    assert main([str(tmp_path / "out.h5"), "--output", str(tmp_path / "b\udcff.h5")]) == 0
    assert r"b\xff.h5" in capsys.readouterr().out


def test_a_failure_leaves_the_old_result(keras, tmp_path, capsys):
    output = tmp_path / "out.h5"
    assert main([str(keras), "--output", str(output)]) == 0
    before = output.read_bytes()
    keras.write_bytes(keras.read_bytes()[:3000])
    assert "truncated" in mistake(capsys, keras, "--output", output)
    assert output.read_bytes() == before


def test_the_source_in_the_weights_folder_is_not_replaced(keras, capsys):
    """Whose own name would be the result's."""
    assert main([str(keras)]) == 0
    before = weights_path("vgg19").read_bytes()
    assert "is the source file itself" in mistake(capsys, weights_path("vgg19"), "--preprocessing", "torchvision")
    assert weights_path("vgg19").read_bytes() == before


def test_options_that_do_not_go_together(keras, tmp_path, capsys):
    assert "give one of FILE" in mistake(capsys)
    assert "give one of FILE" in mistake(capsys, keras, "--download", "vgg19")
    assert "--source goes with --download" in mistake(capsys, keras, "--source", "keras")
    assert "--pooling goes with --normalize" in mistake(capsys, keras, "--pooling", "max")
    assert "does not hold vgg16" in mistake(capsys, "--download", "vgg19", "--network", "vgg16")
    assert "is no folder" in mistake(capsys, keras, "--normalize", tmp_path / "nothing")
    assert "is a folder" in mistake(capsys, keras, "--output", tmp_path)
    assert "is the source file itself" in mistake(capsys, keras, "--output", keras)


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--nope"], "--nope"),
        (["--network", "vgg17"], "vgg17"),
        (["--preprocessing", "x"], "choose from"),
        (["--download", "resnet"], "vgg19"),
        (["a", "b"], "unrecognized arguments: b"),
        (["a", "--\x1b[31m"], r"unrecognized arguments: --\x1b[31m"),
    ],
)
def test_unknown_options_and_values(capsys, arguments, part):
    assert part in mistake(capsys, *arguments)


def test_wrong_network(keras, capsys):
    message = mistake(capsys, keras, "--network", "vgg16")
    assert "does not hold vgg16" in message and "unexpected conv3_4 conv4_4 conv5_4" in message


def test_unwritable_output(keras, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "cannot write" in mistake(capsys, keras, "--output", tmp_path / "file" / "out.h5")


def test_interrupted(keras, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("convert_weights.convert.checked_size", interrupt)
    assert main([str(keras)]) == 130
    assert capsys.readouterr().err == "nst-convert-weights: interrupted, nothing written\n"


def test_help_loads_nothing_heavy():
    code = (
        "import sys, convert_weights.cli as cli; status = cli.main(['--help']); "
        "assert not {'jax', 'h5py', 'numpy', 'pooch', 'requests'} & set(sys.modules), 'heavy'; sys.exit(status)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "--normalize DIR" in run.stdout


def test_the_readmes_command(real, tmp_path):
    command = [sys.executable, "-m", "convert_weights", str(real), "--output", str(tmp_path / "vgg19.h5")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and run.stderr == ""
    assert len(load_weights(tmp_path / "vgg19.h5", "vgg19").arrays) == 16


def test_module_reports_a_mistake_with_status_2():
    command = [sys.executable, "-m", "convert_weights", "no-such-file"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("nst-convert-weights: no file at no-such-file") and run.stderr.count("\n") == 1
