"""The whole loss, L_total = α L_content + β L_style + … (2015, equation 7), as a pytree that is called with an image.

Everything that a run may vary — the network's parameters, the targets, the weights — is a leaf. Passed to a jitted
function as an argument, another picture of the same size or another ratio compiles nothing, and ``vmap`` over any
leaf is a sweep.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float

from nst_jax.choices import check_kind
from nst_jax.errors import NSTError
from nst_jax.losses.parts import Put, Seen, halved
from nst_jax.losses.terms import Term
from nst_jax.networks.vgg import Network, prepared, responses

#: The unweighted terms by their names, and the weighted "total".
Terms = dict[str, Array]


@flax.struct.dataclass
class Objective:
    """L_total: a network, and terms with their weights.

    Attributes:
      network: the network that sees for all terms.
      terms: (weight, term) each, the weight a scalar.
    """

    network: Network
    terms: tuple[tuple[Array, Term[Any]], ...]

    def __call__(self, image: Float[Array, "h w 3"]) -> tuple[Float[Array, ""], Terms]:
        """The weighted total, and the unweighted terms by their names with the total beside them, each a scalar."""
        return self.total(self.statistics(image))

    def statistics(self, image: Float[Array, "h w 3"]) -> tuple[Any, ...]:
        """Of each term its statistics of the image, which add up over positions."""
        return self.of(self.seen(image))

    def of(self, seen: Sequence[Seen]) -> tuple[Any, ...]:
        """Of each term its statistics of what is seen of an image, or of a part of it."""
        return tuple(term.statistics(seen) for _, term in self.terms)

    def along(self, put: Put) -> Objective:
        """The same with what ``put`` makes of the arrays of the picture's shape, of those terms that tell them."""
        told = ((weight, term.along(put) if hasattr(term, "along") else term) for weight, term in self.terms)
        return dataclasses.replace(self, terms=tuple(told))

    @property
    def taps(self) -> list[tuple[str, ...]]:
        """The layers that some term asks for at the full size, at half the size, …."""
        return taps_of([term for _, term in self.terms])

    def total(self, statistics: Sequence[Any]) -> tuple[Float[Array, ""], Terms]:
        """What a call gives, from the statistics of each term."""
        total, values = jnp.float32(0), {}
        for (weight, term), sums in zip(self.terms, statistics, strict=True):
            values[term.name] = term.value(sums)
            total += weight * values[term.name]
        return total, {**values, "total": total}

    def seen(self, image: Float[Array, "h w 3"]) -> list[Seen]:
        """What the terms see: the image, and the responses, at each size."""
        found = []
        for octave, taps in enumerate(self.taps):
            image = halved(image) if octave else image
            found.append(Seen(image, responses(self.network, image, taps) if taps else {}))
        return found


def taps_of(terms: Sequence[Term[Any]]) -> list[tuple[str, ...]]:
    """The layers that some term asks for at the full size, at half the size, …; there is always a full size."""
    sizes = itertools.zip_longest([()], *(term.taps for term in terms), fillvalue=())
    return [tuple(dict.fromkeys(itertools.chain(*each))) for each in sizes]


def objective(
    net: Network,
    terms: Sequence[tuple[float | Array, Term[Any]]],
    size: tuple[int, int] | None = None,
) -> Objective:
    """The objective of (weight, term) each, for images of (height, width) ``size``.

    Where the size is given, the network's filters are transformed once for it, if that helps at this size. Raises
    NSTError for two terms of one name, and for what are no terms.
    """
    check_kind("net", net, Network, "what network gives")
    check_kind("terms", terms, Sequence, "a list of pairs (weight, term)")
    for entry in terms:
        if not (isinstance(entry, tuple) and len(entry) == 2 and hasattr(entry[1], "name")):
            raise NSTError(f"one of terms is {type(entry).__name__}: give pairs (weight, term)")
    names = [term.name for _, term in terms]
    if twice := next((name for number, name in enumerate(names) if name in [*names[:number], "total"]), ""):
        raise NSTError(f"two terms are called {twice!r}: give each term a name of its own")
    if size is not None:
        net = prepared(net, taps_of([term for _, term in terms])[0], *size)
    return Objective(net, tuple((jnp.asarray(weight, jnp.float32), term) for weight, term in terms))
