"""Value and gradient of an objective tile by tile: exactly those of the whole, in memory that tiles decide.

An objective is a function of sums over positions. So a first pass adds up the sums of all tiles; their slopes are taken
once; and a second pass takes each tile's gradient by those slopes. The first pass keeps no responses for a gradient: in
the memory of one tile of the second it has room for one about twice as large. A tile is a window with own positions in
its middle (``parts.Part``). Only those count in its sums, so the slopes are zero outside of them; what they see lies in
the window too, and the gradient by all of the window is *added* to the picture's. Then a margin as wide as the network
sees from a position is enough, where cutting gradients off takes two.

All windows of a size have one shape, so they are one program, and all lie within the picture: where one reaches the
picture's border it ends there, and sees what the padding puts beyond, as the whole would. Windows begin at multiples of
what the poolings divide by, so that no row is pooled with another neighbour, and the rows that poolings drop of an odd
picture are dropped of every window. Of a picture that wraps, windows reach around its border.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax import layers
from nst_jax.losses.abreast import in_order
from nst_jax.losses.parts import Part, Seen, halved
from nst_jax.networks.vgg import Network, responses

#: How much longer the sides of the first pass's tiles are: it needs half the memory that a gradient does, or less.
LONGER = 2**0.5


@runtime_checkable
class Summed(Protocol):
    """What adds up over positions of an image: an objective's statistics, or a painting's."""

    @property
    def network(self) -> Network:
        """The network that sees."""

    @property
    def taps(self) -> Sequence[tuple[str, ...]]:
        """The layers at which it looks at the full size, at half the size, …; there is always a full size."""

    def of(self, seen: Sequence[Seen]) -> Any:
        """The sums of what is seen of the image, or of a part of it."""


class Span(NamedTuple):
    """A window along one side: where it begins in the picture, and the range in it that is its own."""

    start: int
    first: int
    end: int


def reach(rows: Sequence[layers.Layer]) -> tuple[int, int]:
    """How many pixels a position of the last row sees to each side of its own, and what its poolings divide by."""
    seen, stride = 0, 1
    for row in rows:
        if row.kind == "conv":
            seen += stride
        else:
            stride *= 2
    return seen, stride


def margin(rows: Sequence[layers.Layer]) -> int:
    """How much wider than its own part a window is at each side: the reach, in multiples of what poolings divide by.

    It is one pixel at least, the neighbour of which the total variation knows.
    """
    seen, stride = reach(rows)
    return -(-max(1, seen) // stride) * stride


def spans(length: int, side: int, rows: Sequence[layers.Layer], wraps: bool = False) -> tuple[int, list[Span]]:
    """The length of the windows along a side of the picture, and where they are: ``side`` pixels each are its own.

    Windows begin at multiples of twice what the poolings divide by. There Winograd's tiles lie in the window as in the
    whole, at every layer before the last pooling, and so round alike: in bfloat16 that counts. Where ``side`` is less,
    windows begin wherever the poolings allow.

    The own parts are as equal as that allows, and at the picture's border as much longer as there is no margin. There
    is one window, the whole length, where another would save nothing; so too of a side that wraps and of which a
    pooling drops a row, as there windows would have to drop one at the seam.
    """
    (_, stride), beside = reach(rows), margin(rows)
    step = 2 * stride if side >= 2 * stride else stride
    inner = length - (0 if wraps else 2 * beside)  # what is to be shared out
    count = -(-(inner - inner % stride) // max(step, side // step * step))
    if count <= 1 or (wraps and inner % stride):
        return length, [Span(0, 0, length)]
    rest = 0 if wraps else inner % step  # of which the last own part is longer
    inner -= rest
    side = -(-inner // (count * step)) * step
    window = side + 2 * beside + rest
    if window >= length:
        return length, [Span(0, 0, length)]
    if wraps:
        begin = beside % step
        return window, [
            Span(first - beside, beside, beside + min(side, length + begin - first))
            for first in range(begin, length + begin, side)
        ]
    found = []
    for first in range(0, inner, side):
        start, last = min(first, length - window), first + side >= inner
        own = first + beside if first else 0, length if last else first + side + beside
        found.append(Span(start, own[0] - start, own[1] - start))
    return window, found


@dataclasses.dataclass(frozen=True)
class Tiles:
    """How a picture is gone through: a function of an objective and an image as ``minimise`` takes it.

    Attributes:
      side: of the square that is a tile's own, in pixels, about.
      loop: whether Python goes from tile to tile, as is best on a CPU, where XLA runs convolutions inside a loop four
        to five times slower; else it is a ``lax.scan``.
      at_once: how many tiles a loop has in work at once, each in a thread of its own. A CPU's cores are busier so than
        with one tile, and the memory of a tile is needed so many times. The numbers are the same, bit for bit.
    """

    side: int
    loop: bool = True
    at_once: int = 1

    def __call__(self, goal: Any, image: Float[Array, "h w 3"]) -> tuple[Array, Any]:
        """What ``goal(image)`` gives."""
        found: tuple[Array, Any] = _total(goal, self.statistics(goal, image))
        return found

    def value_and_gradient(self, goal: Any, image: Float[Array, "h w 3"]) -> tuple[tuple[Array, Any], Array]:
        """The value and the terms, and the gradient by the image."""
        value, slopes = _slopes(goal, self.statistics(goal, image))
        return value, self.gradient(goal, image, slopes)

    def statistics(self, what: Summed, image: Float[Array, "h w 3"]) -> Any:
        """The sums of the whole image."""
        size = image.shape[0], image.shape[1]
        total = nothing(what, size, image.dtype)
        longer = dataclasses.replace(self, side=round(self.side * LONGER))
        for octave, (own, parts) in enumerate(longer._octaves(what, image)):
            total = self._over(parts, functools.partial(sums_of_tile, what, octave, size, own), add_more, total)
        return together(*total)

    def gradient(self, what: Summed, image: Float[Array, "h w 3"], slopes: Any) -> Float[Array, "h w 3"]:
        """The gradient by the image of the sums, weighed by their ``slopes``."""
        size = image.shape[0], image.shape[1]
        found: list[Array] = []
        for octave, (own, parts) in enumerate(self._octaves(what, image)):
            of_tile = functools.partial(gradient_of_tile, what, octave, size, own, slopes)
            found.append(self._over(parts, of_tile, add_window, jnp.zeros_like(own)))
        gradient = found.pop()
        while found:
            gradient = add_spread(found.pop(), gradient)
        return gradient

    def responses(self, net: Network, image: Float[Array, "h w 3"], taps: tuple[str, ...]) -> dict[str, Array]:
        """The whole image's responses at layers, [H', W', n] each."""
        strides, channels = strides_of(net.name, taps), {row.name: row.channels for row in layers.table(net.name)}
        whole = {
            tap: jnp.zeros(
                (image.shape[0] // strides[tap], image.shape[1] // strides[tap], channels[tap]), net.precision
            )
            for tap in taps
        }
        parts = self.parts(net, taps, (image.shape[0], image.shape[1]))
        of_tile = functools.partial(_responses_of_tile, net, taps, image)
        found: dict[str, Array] = self._over(parts, of_tile, _add_responses, whole)
        return found

    def parts(self, net: Network, taps: tuple[str, ...], size: tuple[int, int]) -> list[Part]:
        """The tiles of a picture of (height, width) ``size``, row by row."""
        rows, wraps = layers.until(net.name, taps), net.padding == "wrap"
        (height, down), (width, across) = (spans(length, self.side, rows, wraps) for length in size)
        strides = tuple(strides_of(net.name, taps).items())

        def part(row: Span, column: Span) -> Part:
            start, first, end = (jnp.asarray(each, jnp.int32) for each in zip(row, column, strict=True))
            return Part(start, first, end, size, (height, width), wraps, strides)

        return [part(row, column) for row in down for column in across]

    def _octaves(self, what: Summed, image: Array) -> Iterator[tuple[Array, list[Part]]]:
        """The image at each of its sizes with its tiles."""
        for octave, taps in enumerate(what.taps):
            image = _halved(image) if octave else image
            yield image, self.parts(what.network, taps, (image.shape[0], image.shape[1]))

    def _over(
        self, parts: list[Part], find: Callable[[Part], Any], add: Callable[[Part, Any, Any], Any], total: Any
    ) -> Any:
        """``total`` with what ``find`` gives of each part, which ``add`` adds to it in their order."""
        if not self.loop:
            together = jax.tree.map(lambda *each: jnp.stack(each), *parts)
            return jax.lax.scan(lambda total, part: (add(part, find(part), total), None), total, together)[0]
        device = jax.tree.leaves(total)[0].device if self.at_once > 1 else None
        for part, found in zip(parts, in_order(find, parts, self.at_once, device), strict=True):
            total = add(part, found, total)
        return total


def strides_of(network: str, taps: Sequence[str]) -> dict[str, int]:
    """Pixels from one position of each layer to the next."""
    return {tap: reach(layers.until(network, [tap]))[1] for tap in taps}


_halved = jax.jit(halved)
_total = jax.jit(lambda goal, sums: goal.total(sums))


@jax.jit
def _slopes(goal: Any, sums: Any) -> tuple[tuple[Array, Any], Any]:
    """The value and the terms by an objective's sums, and the slopes by them."""
    return jax.value_and_grad(goal.total, has_aux=True)(sums)


def sums_of_part(what: Summed, octave: int, size: tuple[int, int], window: Array, part: Part) -> Any:
    """The sums of a window on the image at one of its sizes, whose full one is (height, width) ``size``.

    At the other sizes nothing is seen, so that the sums of all tiles can be added.
    """
    seen = []
    for number, taps in enumerate(what.taps):
        if number == octave:
            seen.append(Seen(window, responses(what.network, window, taps) if taps else {}, part))
        else:
            seen.append(_unseen(what.network, taps, (size[0] >> number, size[1] >> number), window.dtype))
    return what.of(seen)


def _unseen(net: Network, taps: tuple[str, ...], size: tuple[int, int], kind: Any) -> Seen:
    """A window of a few pixels none of which is its own."""
    rows = layers.until(net.name, taps)
    stride, strides = reach(rows)[1], strides_of(net.name, taps)
    window = min(stride, size[0]), min(stride, size[1])
    none = jnp.zeros(2, jnp.int32)
    part = Part(none, none, none, size, window, net.padding == "wrap", tuple(strides.items()))
    shown = {
        row.name: jnp.zeros((window[0] // strides[row.name], window[1] // strides[row.name], row.channels), kind)
        for row in rows
        if row.name in taps
    }
    return Seen(jnp.zeros((*window, 3), kind), shown, part)


class _Total(NamedTuple):
    """Sums so far, and what their rounding has lost."""

    sums: Any
    lost: Any


@functools.partial(jax.jit, static_argnums=(1, 2))
def nothing(what: Summed, size: tuple[int, int], kind: Any) -> _Total:
    """The sums of no tile."""

    def unseen(what: Summed) -> Any:
        return what.of(
            [
                _unseen(what.network, taps, (size[0] >> octave, size[1] >> octave), kind)
                for octave, taps in enumerate(what.taps)
            ]
        )

    nothing, lost = (
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(unseen, what)) for _ in (0, 1)
    )
    return _Total(nothing, lost)


@functools.partial(jax.jit, static_argnums=(1, 2))
def sums_of_tile(what: Summed, octave: int, size: tuple[int, int], image: Array, part: Part) -> Any:
    """``sums_of_part`` of a tile of the image."""
    return sums_of_part(what, octave, size, part.cut(image), part)


@functools.partial(jax.jit, donate_argnums=2)
def add_more(_: Part, more: Any, total: _Total) -> _Total:
    """The sums with those of one more tile; what rounding loses is kept apart (Knuth's exact sum of two)."""

    def rounded(before: Array, new: Array, lost: Array) -> Array:
        both = before + new
        of_new = both - before
        return lost + ((before - (both - of_new)) + (new - of_new))

    lost = jax.tree.map(rounded, total.sums, more, total.lost)
    return _Total(jax.tree.map(jnp.add, total.sums, more), lost)


@functools.partial(jax.jit, donate_argnums=0)
def together(sums: Any, lost: Any) -> Any:
    """The sums with what their rounding has lost."""
    return jax.tree.map(jnp.add, sums, lost)


@functools.partial(jax.jit, static_argnums=(1, 2))
def gradient_of_tile(
    what: Summed, octave: int, size: tuple[int, int], image: Array, slopes: Any, part: Part
) -> Float[Array, "h w 3"]:
    """The gradient of a tile's sums, weighed by their ``slopes``, by its window."""
    window = part.cut(image)
    found: Array = jax.vjp(lambda window: sums_of_part(what, octave, size, window, part), window)[1](slopes)[0]
    return found


@functools.partial(jax.jit, donate_argnums=2)
def add_window(part: Part, window: Array, whole: Array) -> Array:
    """The gradient with that of one more tile, by its window."""
    return part.added(whole, window)


@functools.partial(jax.jit, donate_argnums=0)
def add_spread(gradient: Array, coarse: Array) -> Array:
    """The gradient with one by the image halved."""
    (fine,) = jax.vjp(halved, gradient)[1](coarse)
    both: Array = gradient + fine
    return both


@functools.partial(jax.jit, static_argnums=1)
def _responses_of_tile(net: Network, taps: tuple[str, ...], image: Array, part: Part) -> dict[str, Array]:
    """A tile's responses at layers, 0 at the positions of another."""
    window = part.cut(image)
    seen = Seen(window, responses(net, window, taps), part)
    return {tap: seen.counted(tap) for tap in taps}


@functools.partial(jax.jit, donate_argnums=2)
def _add_responses(part: Part, more: dict[str, Array], whole: dict[str, Array]) -> dict[str, Array]:
    """The responses with those of one more tile."""
    return {tap: part.added(array, more[tap], tap) for tap, array in whole.items()}
