"""Camera raws, by LibRaw where the extra ``raw`` is installed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nst_jax.errors import NSTError
from nst_jax.pictures.kinds import translated, without_extra
from nst_jax.pictures.samples import Origin, Samples, array_strips


def read_raw(origin: Origin, most: int) -> Samples:
    """A camera raw, developed by LibRaw with the camera's white balance. ``most`` is not used."""
    try:
        import rawpy
    except ImportError:
        raise without_extra(origin.path, origin.kind) from None
    with translated(origin.path, origin.kind):
        origin.file.seek(0)
        raw = rawpy.imread(origin.file)
        width, height = raw.sizes.iwidth, raw.sizes.iheight
        if raw.sizes.flip & 4:
            width, height = height, width

    def strips(rows: int) -> Iterator[np.ndarray]:
        with translated(origin.path, origin.kind):
            whole = raw.postprocess(use_camera_wb=True, output_bps=16)
        if whole.shape[:2] != (height, width):
            raise NSTError(f"{origin.path} cannot be developed: its size is not what its header says")
        yield from array_strips(whole)(rows)

    return Samples(
        width, height, "rgb", strips, working=24 * width * height, why="a camera raw has to be developed whole"
    )
