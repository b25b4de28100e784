"""The command line ``nst-convert-weights``, also ``python -m convert_weights``. No logic: it asks, calls and prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from nst_jax.cli.streams import lasting
from nst_jax.errors import NSTError, printable

if TYPE_CHECKING:
    from convert_weights.download import Release

_NETWORKS = ("vgg19", "vgg16")
_EPILOG = """\
formats: Keras .h5, torch .pth (torchvision, neural-style-pt, Gatys), .safetensors (torchvision, timm), MatConvNet
.mat, NumPy .npz and .npy; torch and TensorFlow are not needed.

The result replaces the file of that name, at once or not at all. Example: python -m convert_weights --download vgg19"""


class _Parser(argparse.ArgumentParser):
    """Mistakes in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nst-convert-weights",
        description="Convert the weights of VGG-19 or VGG-16 for nst_jax.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the weights file to convert")
    parser.add_argument("--download", choices=_NETWORKS, help="fetch the network's published weights instead")
    parser.add_argument(
        "--source",
        choices=("keras", "torchvision"),
        help="whose to fetch: keras (default; the Oxford filters, 60 to 80 MB) or torchvision (trained anew, 550 MB)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write (default: your weights folder)")
    parser.add_argument("--network", choices=_NETWORKS, help="which network FILE holds (default: told from its layers)")
    parser.add_argument(
        "--preprocessing",
        choices=("caffe", "torchvision"),
        help="what the network expects: caffe (BGR, 0-255) or torchvision (RGB, 0-1) (default: told from FILE)",
    )
    parser.add_argument(
        "--normalize",
        type=Path,
        metavar="DIR",
        help="rescale each filter to mean activation 1 over the pictures in DIR",
    )
    parser.add_argument(
        "--pooling", choices=("avg", "max"), help="the pooling with which --normalize takes the means (default: avg)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, 2 for a mistake (one line on standard error), 130 for Ctrl-C."""
    parser = _parser()
    with lasting(parser.prog):
        try:
            options = parser.parse_args(argv)
        except SystemExit as stop:
            return int(stop.code or 0)
        try:
            _run(options)
        except NSTError as error:
            print(f"{parser.prog}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"{parser.prog}: interrupted, nothing written", file=sys.stderr)
            return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    _check(options)
    from convert_weights.convert import convert  # here, so that --help and mistakes answer at once
    from nst_jax.networks.weights_file import save_weights, weights_path

    pictures = None
    if options.normalize:
        from convert_weights.normalize import normalize
        from nst_jax.options.folders import pictures_in

        pictures = pictures_in(options.normalize)
    file = _download(options.download, options.source or "keras") if options.download else options.file
    weights, decision = convert(file, options.network or options.download, options.preprocessing)
    print(f"{printable(file)}: {weights.network} from {weights.metadata['source_format']}, {decision}")
    if pictures:
        weights = normalize(weights, pictures, options.pooling or "avg", _track)
        print(weights.metadata["normalized"])
    output = options.output or weights_path(weights.network)
    _check_writable(output, options.file)
    save_weights(output, weights)
    print(f"wrote {printable(output)} ({output.stat().st_size / 1e6:.1f} MB)")


def _check(options: argparse.Namespace) -> None:
    """Raises NSTError for options that do not go together, before anything is fetched or read."""
    if (options.file is None) == (options.download is None):
        raise NSTError("give one of FILE (a weights file to convert) and --download vgg19 (or vgg16)")
    if options.source and not options.download:
        raise NSTError("--source goes with --download: it says whose weights are fetched")
    if options.pooling and not options.normalize:
        raise NSTError("--pooling goes with --normalize: give --normalize DIR as well")
    if options.download and options.network not in (None, options.download):
        raise NSTError(f"--download {options.download} does not hold {options.network}: give one of the two")
    if options.output is not None:
        _check_writable(options.output, options.file)


def _check_writable(output: Path, file: Path | None) -> None:
    """Raises NSTError where the result cannot be at ``output``, or would replace the ``file`` that is read."""
    try:
        _check_output(output, file)
    except OSError as error:
        raise NSTError(f"cannot write to {output}: {error.strerror or error}") from None


def _check_output(output: Path, file: Path | None) -> None:
    if output.exists() and not (output.is_dir() or output.is_file()):
        raise NSTError(f"{output} is no ordinary file but a pipe, a device or the like: give --output a file")
    if output.is_dir():
        raise NSTError(f"{output} is a folder: give --output a file, such as {output / 'vgg19.h5'}")
    if file is not None and output.exists() and file.exists() and output.samefile(file):
        raise NSTError(f"{output} is the source file itself: give --output another name")


def _download(network: str, source: str) -> Path:
    """The release's file, with a progress bar where a person looks on."""
    from convert_weights import download

    release = download.RELEASES[network, source]
    print(f"{release.file_name}: {release.size / 1e6:.0f} MB from {download.address(release)} ({release.licence})")
    if not sys.stderr.isatty():
        return download.fetch(release)
    with _Bar(release) as bar:
        return download.fetch(release, bar)


class _Bar:
    """A rich progress bar in the form that pooch calls."""

    def __init__(self, release: Release) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=release.size)
        self.total = release.size

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, count: int) -> None:
        self._progress.update(self._task, advance=count)

    def reset(self) -> None:
        self._progress.reset(self._task, total=self.total)

    def close(self) -> None:
        self._progress.refresh()


def _track(pictures: Sequence[Path]) -> Iterable[Path]:
    """The pictures, with a progress bar where a person looks on."""
    if not sys.stderr.isatty():
        return pictures
    from rich.console import Console
    from rich.progress import track

    return track(pictures, "mean activations", console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    sys.exit(main())
