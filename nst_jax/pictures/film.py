"""Films written frame by frame: MP4 by PyAV, GIF and WebP by Pillow. No format keeps its frames in memory.

A film is complete or not there, as a picture is: it is written under a temporary name. Frames are uint8 RGB, sRGB,
[H, W, 3], all of one size.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import GifImagePlugin, Image

from nst_jax.errors import NSTError
from nst_jax.files import replacing
from nst_jax.pictures.kinds import reason

#: Takes a frame and for how many frames' time it is shown.
Add = Callable[[np.ndarray, int], None]
#: Frames a second.
RATE = 25
#: Seconds after which H.264 gives a whole frame anew. That shows as a jump where nothing else moves. Most films are
#: shorter, and have one at their start alone.
WHOLE = 60
#: The longest side that a format holds, in pixels.
MAX_SIDE = {".mp4": 8192, ".gif": 65_535, ".webp": 16_383}


def check_film(path: Path, longest_side: int) -> None:
    """Before a run: can such a film be made? Raises NSTError for another format, a missing package, or a size."""
    suffix = path.suffix.lower()
    if suffix not in MAX_SIDE:
        raise NSTError(f"--timelapse is {path}: give a name that ends in {', '.join(MAX_SIDE)}")
    if suffix == ".mp4" and importlib.util.find_spec("av") is None:
        raise NSTError(
            f"--timelapse {path} takes PyAV, which is not installed: pip install 'nst_jax[video]', or give a .gif or"
            " .webp"
        )
    if longest_side > MAX_SIDE[suffix]:
        raise NSTError(f"--timelapse {path}: its format holds {MAX_SIDE[suffix]} pixels a side, not {longest_side}")


@contextlib.contextmanager
def film(path: Path) -> Iterator[Add]:
    """Gives what a film's frames are to be given to; the film is at ``path`` when the block ends well.

    Raises NSTError where it cannot be written, also within the block.
    """
    writer = {".mp4": _mp4, ".gif": _gif, ".webp": _webp}[path.suffix.lower()]
    try:
        with replacing(path) as temporary, writer(temporary) as add:

            def checked(frame: np.ndarray, times: int) -> None:
                try:
                    add(frame, times)
                except (OSError, ValueError) as error:  # PyAV's errors are such
                    raise NSTError(f"cannot write {path}: {reason(error)}") from None

            yield checked
    except OSError as error:
        raise NSTError(f"cannot write {path}: {reason(error)}") from None


@contextlib.contextmanager
def _mp4(path: Path) -> Iterator[Add]:
    """H.264 in MP4, as all players know it: colours at half the resolution, so an odd side gets one more pixel."""
    import av

    with av.open(os.fspath(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream: Any = None
        number = 0

        def add(frame: np.ndarray, times: int) -> None:
            nonlocal stream, number
            height, width = frame.shape[:2]
            if stream is None:
                stream = container.add_stream("libx264", rate=RATE, options={"crf": "18", "g": str(WHOLE * RATE)})
                stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
                context = stream.codec_context  # BT.709's matrix, sRGB's primaries and curve
                context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 13, 1
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            shown = av.VideoFrame.from_ndarray(even, format="rgb24")
            shown = shown.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            for _ in range(times):
                shown.pts, shown.time_base = number, Fraction(1, RATE)
                number += 1
                container.mux(stream.encode(shown))

        yield add
        if stream is not None:
            container.mux(stream.encode(None))


@contextlib.contextmanager
def _gif(path: Path) -> Iterator[Add]:
    """A GIF that goes round and round. Each frame has 256 colours of its own, and is written as it comes."""
    with open(path, "wb") as file:

        def add(frame: np.ndarray, times: int) -> None:
            image = Image.fromarray(frame).quantize(256)
            duration = round(1000 * times / RATE)
            if not file.tell():
                whole = io.BytesIO()
                image.save(whole, "GIF", loop=0, duration=duration, optimize=False)
                file.write(whole.getvalue()[:-1])  # its last byte says that no more frames come
            else:
                file.write(b"".join(GifImagePlugin.getdata(image, duration=duration, include_color_table=True)))

        yield add
        file.write(b";")


@contextlib.contextmanager
def _webp(path: Path) -> Iterator[Add]:
    """A WebP that goes round and round. Pillow takes all frames at once, so they wait in a TIFF on the disk."""
    with tempfile.TemporaryDirectory(prefix="nst-") as place:
        waiting, durations = os.path.join(place, "frames.tiff"), []
        with tifffile.TiffWriter(waiting, bigtiff=True) as tiff:

            def add(frame: np.ndarray, times: int) -> None:
                tiff.write(frame, photometric="rgb", contiguous=False, compression="zlib", metadata=None)
                durations.append(round(1000 * times / RATE))

            yield add
        if durations:
            with Image.open(waiting) as frames:
                frames.save(path, "WEBP", save_all=True, duration=durations, loop=0, quality=90, method=2)
