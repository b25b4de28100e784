"""What a term sees of an image: the whole of it, or a part that knows its place in the whole.

A part is a window on the picture with a range of *own* positions: the windows overlap, the own positions do not, and
those of all parts are the picture. Window and range begin where no pooling parts a pair, so at every layer a position
is some part's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.networks.pooling import pool


@flax.struct.dataclass
class Part:
    """Where a window lies in a picture at one of its sizes, and which of its positions are its own.

    Attributes:
      start: (row, column) of the picture at which the window begins, [2]; where the picture wraps it may be any.
      first, end: the range of its own rows and columns, counted from the window's start, [2] each.
      size: (height, width) of the picture.
      window: (height, width) of the window.
      wraps: whether the picture goes on at its other side.
      strides: of each layer, the pixels along a side from one position to the next.
      row: the row at which the window begins in what a shard holds of the picture; None where there are no shards.
    """

    start: Array
    first: Array
    end: Array
    size: tuple[int, int] = flax.struct.field(pytree_node=False)
    window: tuple[int, int] = flax.struct.field(pytree_node=False)
    wraps: bool = flax.struct.field(pytree_node=False)
    strides: tuple[tuple[str, int], ...] = flax.struct.field(pytree_node=False)
    row: Array | None = None

    def stride(self, tap: str | None) -> int:
        """Pixels from one position of a layer to the next; 1 for None, the pixels themselves."""
        return 1 if tap is None else dict(self.strides)[tap]

    def positions(self, axis: int, tap: str | None = None) -> Array:
        """The row (axis 0) or column (1) of a layer of the whole picture at which each of the window's stands."""
        stride = self.stride(tap)
        found = self.start[axis] // stride + jnp.arange(self.window[axis] // stride)
        return found % (self.size[axis] // stride) if self.wraps else found

    def own(self, tap: str | None = None) -> Float[Array, "h w"]:
        """1 at the window's own positions of a layer, 0 at the others."""
        stride = self.stride(tap)
        sides = []
        for axis in (0, 1):
            pixels = stride * jnp.arange(self.window[axis] // stride)
            sides.append((pixels >= self.first[axis]) & (pixels < self.end[axis]))
        return (sides[0][:, None] & sides[1]).astype(jnp.float32)

    def beside(self, down: int, right: int) -> Float[Array, "h w"]:
        """1 at the window's pixels whose neighbour so far below and right is in the picture too, 0 at the others."""
        rows, columns = self.positions(0) + down, self.positions(1) + right
        inside = (rows < self.size[0])[:, None] & (columns >= 0) & (columns < self.size[1])
        return inside.astype(jnp.float32)

    def shards_row(self, rows: int, tap: str | None) -> Array | None:
        """Where in so many ``rows`` of a layer the window begins, if those are what a shard holds and not all rows."""
        if self.row is None or rows == self.size[0] // self.stride(tap):
            return None
        return self.row // self.stride(tap)

    def cut(self, array: Array, tap: str | None = None, axis: int = 0) -> Array:
        """The window's part of an array over all positions of a layer, whose rows are along ``axis``.

        The array may also have only the rows that a shard holds.
        """
        for side in (0, 1):
            length = self.window[side] // self.stride(tap)
            if length == array.shape[axis + side]:
                continue
            row = None if side else self.shards_row(array.shape[axis], tap)
            if self.wraps and row is None:
                array = jnp.take(array, self.positions(side, tap), axis + side)
            else:
                start = self.start[side] // self.stride(tap) if row is None else row
                array = jax.lax.dynamic_slice_in_dim(array, start, length, axis + side)
        return array

    def added(self, whole: Float[Array, "h w c"], window: Float[Array, "_h _w c"], tap: str | None = None) -> Array:
        """``whole``, over all positions of a layer, with an array over those of the window added in its place.

        It may also have only the rows that a shard holds.
        """
        row = self.shards_row(whole.shape[0], tap)
        if self.wraps:
            rows = self.positions(0, tap) if row is None else row + jnp.arange(window.shape[0])
            return whole.at[rows[:, None], self.positions(1, tap)].add(window)
        first, column = (self.start[side] // self.stride(tap) for side in (0, 1))
        corner = first if row is None else row, column, jnp.int32(0)
        before = jax.lax.dynamic_slice(whole, corner, window.shape)
        return jax.lax.dynamic_update_slice(whole, before + window, corner)


#: Makes of a term's array over the positions of a layer (None for the pixels) at an octave, whose rows are along an
#: axis, what is put in its place: ``put(array, octave, tap, axis)``.
Put = Callable[[Any, int, str | None, int], Any]


class Seen(NamedTuple):
    """What a term sees of the image at one of its sizes: the full one, then that halved once, twice, ….

    Attributes:
      image: [H, W, 3].
      responses: of the network's own filters, [H', W', n], at the layers that some term asks for at this size.
      part: which part of the picture that is; None for the whole of it.
    """

    image: Array
    responses: Mapping[str, Array]
    part: Part | None = None

    def whole(self, tap: str) -> tuple[int, ...]:
        """The shape of all the picture's responses at a layer, [H', W', n]."""
        shape, part = self.responses[tap].shape, self.part
        return shape if part is None else (*(side // part.stride(tap) for side in part.size), shape[-1])

    def laid(self, window: Float[Array, "_h _w n"], tap: str) -> Float[Array, "h w n"]:
        """An array over the positions of a layer that are seen, over all of them: 0 but at a part's own."""
        if self.part is None:
            return window
        counted = window * self.part.own(tap)[..., None].astype(window.dtype)
        whole = *(side // self.part.stride(tap) for side in self.part.size), window.shape[-1]
        return self.part.added(jnp.zeros(whole, window.dtype), counted, tap)

    def counted(self, tap: str) -> Float[Array, "h w n"]:
        """The responses at a layer, 0 at the positions that count in another part."""
        responses, own = self.responses[tap], self.own(tap)
        return responses if own is None else responses * own[..., None].astype(responses.dtype)

    def own(self, tap: str | None = None) -> Float[Array, "h w"] | None:
        """1 where a position counts here, 0 where it counts in another part; None for the whole picture."""
        return None if self.part is None else self.part.own(tap)

    def counts(self, guide: Float[Array, "_h _w"] | None, tap: str | None = None) -> Float[Array, "h w"] | None:
        """How much each position counts here, of a ``guide`` over the whole picture; None for everywhere alike."""
        guide, own = None if guide is None else self.cut(guide, tap), self.own(tap)
        return own if guide is None else guide if own is None else guide * own

    def cut(self, array: Array, tap: str | None = None, axis: int = 0) -> Array:
        """What is seen here of an array over all positions of a layer, or of the image; its rows are along ``axis``."""
        return array if self.part is None else self.part.cut(array, tap, axis)


def halved(image: Float[Array, "*b h w c"]) -> Float[Array, "*b h//2 w//2 c"]:
    """The means of 2×2 pixels; an odd last row or column is dropped. Differentiable in reverse, not forward."""
    height, width, _ = image.shape[-3:]
    found: Array = _halved(image[..., : height // 2 * 2, : width // 2 * 2, :])
    return found


@jax.custom_vjp
def _halved(image: Array) -> Array:
    found: Array = jax.lax.platform_dependent(image, tpu=_by_windows, default=_by_blocks)
    return found


def _halved_backward(_: None, slope: Array) -> tuple[Array]:
    spread = {by: functools.partial(_spread, by) for by in (_by_windows, _by_blocks)}
    return (jax.lax.platform_dependent(slope, tpu=spread[_by_windows], default=spread[_by_blocks]),)


_halved.defvjp(lambda image: (_halved(image), None), _halved_backward)


def _by_blocks(image: Array) -> Array:
    *batch, height, width, channels = image.shape
    return image.reshape(*batch, height // 2, 2, width // 2, 2, channels).mean((-4, -2))


def _by_windows(image: Array) -> Array:
    """The same on a TPU, which would write the blocks in a layout that is 64 times as large."""
    return pool(image, "avg")


def _spread(by: Callable[[Array], Array], slope: Array) -> Array:
    *batch, height, width, channels = slope.shape
    found: Array = jax.vjp(by, jnp.zeros((*batch, 2 * height, 2 * width, channels), slope.dtype))[1](slope)[0]
    return found
