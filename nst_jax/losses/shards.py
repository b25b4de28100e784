"""Value and gradient of an objective on several devices, each of which holds some of the picture's rows.

The rows of all that is of the picture's shape lie on the axis ``AXIS`` of a mesh: as many on each device, so that the
last ones may have rows beyond the picture, which count nowhere. A shard is a part of the picture (``parts.Part``): its
window reaches a margin beyond its own rows, as a tile's does, and only its own positions count in its sums. So a step
on each device is that of a tile, and two things go from device to device: the rows of the margins, by collective
permutes, whose transposes add the gradients of the margins to the neighbours' own; and the sums, by all-reduces.

What the terms hold of the picture's shape is laid out once, for each device the rows of its window. A device whose
window is too large goes through it by tiles.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from nst_jax import layers
from nst_jax.losses.objective import Objective
from nst_jax.losses.parts import Part, halved
from nst_jax.losses.tiles import (
    Span,
    add_more,
    add_spread,
    add_window,
    gradient_of_tile,
    margin,
    nothing,
    reach,
    spans,
    strides_of,
    sums_of_part,
    sums_of_tile,
    together,
)
from nst_jax.meshes import AXIS, everywhere, on_mesh, whole


class Grid(NamedTuple):
    """How a device goes through its window: by tiles of one shape.

    Attributes:
      own: rows that a tile has, but for the last one.
      window: (height, width) of what it sees.
      tiles: of each its number from above, and its ``Span`` along the picture's width, [tiles, 4].
    """

    own: int
    window: tuple[int, int]
    tiles: np.ndarray


class Cut(NamedTuple):
    """How the rows of a picture at one of its sizes are shared out.

    Attributes:
      height: of the picture.
      own: rows that each device has.
      window: rows that it sees.
      beside: rows of the margin.
      rest: rows that the poolings drop.
      wraps: whether windows reach around the picture's border; not where each is the whole picture.
    """

    height: int
    own: int
    window: int
    beside: int
    rest: int
    wraps: bool

    def start(self, device: int) -> int:
        """The row at which a device's window begins; below 0 where it reaches around the picture's border."""
        if self.window == self.height:
            return 0
        first = device * self.own - self.beside
        return first if self.wraps else min(max(first, 0), self.height - self.window)

    def rows(self, device: int, stride: int = 1) -> np.ndarray:
        """The positions, ``stride`` pixels apart, of a device's window among all of the picture's."""
        found: np.ndarray = (self.start(device) // stride + np.arange(self.window // stride)) % (self.height // stride)
        return found


@dataclasses.dataclass(frozen=True)
class Shards:
    """How a picture lies on several devices: a function of an objective and an image as ``minimise`` takes it.

    Of the objective it takes what ``lay`` gives, of the image what ``place`` gives: [devices · ``rows``, W, 3].

    Attributes:
      mesh: the devices, with the one axis ``AXIS``; for ``abstract`` and what follows they need not be there.
      size: (height, width) of the picture.
      multiple: what the rows of each device are a multiple of: all that poolings and octaves divide by.
      side: of the tiles in which each device goes through its window, in pixels, about; 0 for the window at once.
    """

    mesh: Mesh
    size: tuple[int, int]
    multiple: int
    side: int = 0

    @property
    def count(self) -> int:
        """The devices."""
        return int(self.mesh.devices.size)

    @property
    def rows(self) -> int:
        """Rows of the picture on each device."""
        return -(-self.size[0] // (self.count * self.multiple)) * self.multiple

    def cut(self, goal: Objective, octave: int = 0) -> Cut:
        """How the rows of the picture halved ``octave`` times are shared out."""
        rows, wraps = layers.until(goal.network.name, goal.taps[octave]), goal.network.padding == "wrap"
        height, own, beside, stride = self.size[0] >> octave, self.rows >> octave, margin(rows), reach(rows)[1]
        rest = height % stride
        window = own + 2 * beside + (0 if wraps else rest)
        if window >= height or (wraps and rest):
            return Cut(height, own, height, beside, rest, False)
        return Cut(height, own, window, beside, rest, wraps)

    # ------------------------------------------------------------ what is laid out

    def sharding(self, *spec: str | None) -> NamedSharding:
        """Where an array lies whose axes are along those of the mesh: ``AXIS`` for the rows, None for none."""
        return NamedSharding(self.mesh, PartitionSpec(*spec))

    def place(self, image: Float[np.ndarray, "h w c"]) -> Array:
        """An image, or what is of its shape, on the devices."""
        beyond = self.count * self.rows - image.shape[0]
        return on_mesh(np.pad(np.asarray(image), ((0, beyond), (0, 0), (0, 0))), self.sharding(AXIS))

    def everywhere(self, arrays: Sequence[Array]) -> list[Array]:
        """Arrays of which each device has all."""
        return everywhere([np.asarray(array) for array in arrays], self.mesh)

    def taken(self, image: Array) -> Float[np.ndarray, "h w c"]:
        """What ``place`` was given, from what it gave; all processes must ask for it."""
        return whole(image)[: self.size[0]]

    def lay(self, goal: Objective) -> Objective:
        """An objective on the devices: of what is of the picture's shape each has the rows of its window."""

        def window(array: Array, octave: int, tap: str | None, axis: int) -> Array:
            stride, held = self._window(goal, octave, tap)
            known, cut = np.asarray(array), self.cut(goal, octave)
            shape = (*known.shape[:axis], self.count * held, *known.shape[axis + 1 :])

            def of_device(index: Any) -> np.ndarray:
                return known.take(cut.rows((index[axis].start or 0) // held, stride), axis)

            return jax.make_array_from_callback(shape, self.sharding(*[None] * axis, AXIS), of_device)

        leaves, structure = jax.tree.flatten(goal.along(window))
        parted = [AXIS in spec for spec in jax.tree.leaves(specs_of(goal))]
        others = iter(self.everywhere([leaf for leaf, part in zip(leaves, parted, strict=True) if not part]))
        laid: Objective = jax.tree.unflatten(
            structure,
            [leaf if part else next(others) for leaf, part in zip(leaves, parted, strict=True)],
        )
        return laid

    def abstract(self, goal: Objective) -> Objective:
        """The shapes of what ``lay`` gives of an objective of shapes, with where they lie: to compile for."""

        def window(array: Any, octave: int, tap: str | None, axis: int) -> jax.ShapeDtypeStruct:
            shape = (*array.shape[:axis], self.count * self._window(goal, octave, tap)[1], *array.shape[axis + 1 :])
            return jax.ShapeDtypeStruct(shape, array.dtype)

        laid: Objective = jax.tree.map(
            lambda array, spec: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=self.sharding(*spec)),
            goal.along(window),
            specs_of(goal),
        )
        return laid

    def abstract_image(self) -> jax.ShapeDtypeStruct:
        """The shape of what ``place`` gives, with where it lies."""
        shape = (self.count * self.rows, self.size[1], 3)
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=self.sharding(AXIS))

    def _window(self, goal: Objective, octave: int, tap: str | None) -> tuple[int, int]:
        """Pixels between two positions of a layer, and how many rows of them are in a device's window."""
        stride = 1 if tap is None else strides_of(goal.network.name, [tap])[tap]
        return stride, self.cut(goal, octave).window // stride

    # ------------------------------------------------------------ value and gradient

    def __call__(self, goal: Objective, image: Float[Array, "h w 3"]) -> tuple[Array, Any]:
        """What the objective gives of the image, before they were laid out."""

        def on_device(goal: Objective, image: Array) -> tuple[Array, Any]:
            return goal.total(jax.lax.psum(self._sums(goal, image), AXIS))

        found: tuple[Array, Any] = self._mapped(on_device, goal, image, PartitionSpec())
        return found

    def value_and_gradient(
        self, goal: Objective, image: Float[Array, "h w 3"]
    ) -> tuple[tuple[Array, Any], Float[Array, "h w 3"]]:
        """The value and the terms, and the gradient by the image, which lies as the image does."""

        def on_device(goal: Objective, image: Array) -> tuple[tuple[Array, Any], Array]:
            if self.side:
                sums, back = self._sums(goal, image), functools.partial(self._gradient, goal, image)
            else:
                sums, pull = jax.vjp(functools.partial(self._sums, goal), image)
                back = functools.partial(_first, pull)
            value, slopes = jax.value_and_grad(goal.total, has_aux=True)(jax.lax.psum(sums, AXIS))
            return value, back(slopes)

        outs = PartitionSpec(), PartitionSpec(AXIS)
        found: tuple[tuple[Array, Any], Array] = self._mapped(on_device, goal, image, outs)
        return found

    def _mapped(self, function: Callable[[Objective, Array], Any], goal: Objective, image: Array, outs: Any) -> Any:
        ins = specs_of(goal), PartitionSpec(AXIS)
        return jax.shard_map(function, mesh=self.mesh, in_specs=ins, out_specs=outs, check_vma=False)(goal, image)

    # ------------------------------------------------------------ what each device does

    def _sums(self, goal: Objective, image: Float[Array, "r w 3"]) -> Any:
        """The sums of a device's own positions; ``image`` are its rows."""
        if not self.side:
            each = []
            for octave, rows in enumerate(octaves(goal, image)):
                grid = self._grid(goal, octave)
                window = gathered(self.cut(goal, octave), self.count, rows)
                each.append(
                    sums_of_part(goal, octave, self.size, window, self._part(goal, octave, grid, grid.tiles[0]))
                )
            return jax.tree.map(lambda *sums: functools.reduce(jnp.add, sums), *each)
        total = nothing(goal, self.size, image.dtype)
        for octave, rows in enumerate(octaves(goal, image)):
            window = gathered(self.cut(goal, octave), self.count, rows)
            of_tile = functools.partial(sums_of_tile, goal, octave, self.size, window)
            total = self._over(goal, octave, of_tile, add_more, total)
        return together(*total)

    def _gradient(self, goal: Objective, image: Float[Array, "r w 3"], slopes: Any) -> Float[Array, "r w 3"]:
        """The gradient by a device's rows, tile by tile."""
        found: list[Array] = []
        for octave, rows in enumerate(octaves(goal, image)):
            window, back = jax.vjp(functools.partial(gathered, self.cut(goal, octave), self.count), rows)
            of_tile = functools.partial(gradient_of_tile, goal, octave, self.size, window, slopes)
            found.append(back(self._over(goal, octave, of_tile, add_window, jnp.zeros_like(window)))[0])
        gradient = found.pop()
        while found:
            gradient = add_spread(found.pop(), gradient)
        return gradient

    def _over(
        self,
        goal: Objective,
        octave: int,
        find: Callable[[Part], Any],
        add: Callable[[Part, Any, Any], Any],
        total: Any,
    ) -> Any:
        """``total`` with what ``find`` gives of each tile of a device, which ``add`` adds to it."""
        grid = self._grid(goal, octave)

        def more(total: Any, tile: Array) -> tuple[Any, None]:
            part = self._part(goal, octave, grid, tile)
            return add(part, find(part), total), None

        return jax.lax.scan(more, total, jnp.asarray(grid.tiles))[0]

    def _grid(self, goal: Objective, octave: int) -> Grid:
        """The tiles of each device's window; one where there is no ``side``, or another would save nothing."""
        cut, width = self.cut(goal, octave), self.size[1] >> octave
        rows, wraps = layers.until(goal.network.name, goal.taps[octave]), goal.network.padding == "wrap"
        if not self.side:
            return Grid(cut.own, (cut.window, width), np.asarray([[0, 0, 0, width]], np.int32))
        stride = reach(rows)[1]
        count = -(-cut.own // (-(-self.side // stride) * stride))
        own = -(-cut.own // (count * stride)) * stride
        height = own + 2 * cut.beside + (0 if cut.wraps else cut.rest)
        if height >= cut.window or (wraps and not cut.wraps):  # a picture that wraps is seen to do so as a whole
            count, own, height = 1, cut.own, cut.window
        across, columns = spans(width, self.side, rows, wraps)
        return Grid(
            own, (height, across), np.asarray([[row, *span] for row in range(count) for span in columns], np.int32)
        )

    def _part(self, goal: Objective, octave: int, grid: Grid, tile: Array | np.ndarray) -> Part:
        """A tile of this device's window as a part of the picture."""
        cut, device = self.cut(goal, octave), jax.lax.axis_index(AXIS)
        window = jnp.asarray([cut.start(each) for each in range(self.count)], jnp.int32)[device]
        first = device * cut.own + tile[0] * grid.own
        end = jnp.minimum(jnp.minimum(first + grid.own, (device + 1) * cut.own), cut.height)
        start = jnp.clip(first - cut.beside, window, window + cut.window - grid.window[0])
        span = Span(*tile[1:])
        return Part(
            jnp.stack([start, span.start]),
            jnp.stack([first - start, span.first]),
            jnp.stack([jnp.maximum(end, first) - start, span.end]),
            (cut.height, self.size[1] >> octave),
            grid.window,
            goal.network.padding == "wrap",
            tuple(strides_of(goal.network.name, goal.taps[octave]).items()),
            start - window,
        )


@dataclasses.dataclass(frozen=True)
class Laid:
    """An image on the devices, of which NumPy makes an array where somebody asks for it.

    Attributes:
      shards: as which it lies.
      image: as ``Shards.place`` gives it.
    """

    shards: Shards
    image: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of the image."""
        return (*self.shards.size, self.image.shape[-1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The image; all processes must ask for it."""
        return np.asarray(self.shards.taken(self.image), dtype)


def specs_of(goal: Objective) -> Objective:
    """Where each leaf of an objective lies: what is of the picture's shape by rows, the others everywhere."""
    specs: Objective = jax.tree.map(lambda _: PartitionSpec(), goal)
    return specs.along(lambda _, octave, tap, axis: PartitionSpec(*[None] * axis, AXIS))


def _first(pull: Callable[[Any], tuple[Array]], slopes: Any) -> Array:
    return pull(slopes)[0]


def octaves(goal: Objective, image: Array) -> Iterator[Array]:
    """A device's rows of the image, of that halved, …."""
    for octave, _ in enumerate(goal.taps):
        image = halved(image) if octave else image
        yield image


def gathered(cut: Cut, count: int, rows: Float[Array, "r w c"]) -> Float[Array, "_r w c"]:
    """The rows of a device's window, from its own ``rows`` and from those of the ``count - 1`` others that have some.

    From each device that is so many places further the same rows are sent, of which any asks for one.
    """
    wanted: dict[int, list[tuple[int, np.ndarray]]] = {}  # by places further: (device, its window's rows there)
    places = []
    for device in range(count):
        held = cut.rows(device)
        owner = held // cut.own
        around = (cut.start(device) + np.arange(cut.window)) // cut.height  # once for each time around the picture
        hops = owner - device + count * around
        places.append((hops, held % cut.own))
        for hop in np.unique(hops).tolist():
            wanted.setdefault(hop, []).append((device, held[hops == hop] % cut.own))
    pieces, before, offsets = [], 0, {}
    for hop in sorted(wanted):
        first, end = (edge([edge(local) for _, local in wanted[hop]]) for edge in (min, max))
        piece = rows[first : end + 1]
        if hop:
            pairs = [((device + hop) % count, device) for device, _ in wanted[hop]]
            piece = jax.lax.ppermute(piece, AXIS, pairs)
        offsets[hop] = before - first
        before += piece.shape[0]
        pieces.append(piece)
    index = np.stack([local + np.vectorize(offsets.get)(hops) for hops, local in places]).astype(np.int32)
    all_rows, mine = jnp.concatenate(pieces), jax.lax.axis_index(AXIS)
    if (np.diff(index) == 1).all():
        return jax.lax.dynamic_slice_in_dim(all_rows, jnp.asarray(index[:, 0])[mine], cut.window)
    return all_rows.at[jnp.asarray(index)[mine]].get(unique_indices=True, mode="promise_in_bounds")
