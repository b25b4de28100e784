"""The photograph and the paintings of the papers' figures: which works they are, and who has them. Plain Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Work:
    """A picture that a figure is made of.

    Attributes:
      title, artist, year: as the papers name it; the year is "" where they tell none.
      place: who has it.
    """

    title: str
    artist: str
    year: str = ""
    place: str = "Wikimedia Commons"

    def __str__(self) -> str:
        return ", ".join(part for part in (self.title, self.artist, self.year) if part)


NECKARFRONT = Work(
    "the Neckarfront in Tübingen",
    "photographed by Andreas Praefcke",
    place="Wikimedia Commons: Tuebingen_Neckarfront.jpg",
)
MINOTAUR = Work("The Shipwreck of the Minotaur", "J. M. W. Turner", "1805")
STARRY_NIGHT = Work("The Starry Night", "Vincent van Gogh", "1889")
SCHREI = Work("Der Schrei", "Edvard Munch", "1893")
FEMME = Work("Femme nue assise", "Pablo Picasso", "1910", "Tate, London: Seated Nude")
COMPOSITION = Work("Composition VII", "Wassily Kandinsky", "1913")


def listed(works: Sequence[Work]) -> str:
    """Some works and who has them, in a line."""
    return "; ".join(f"{work} ({work.place})" for work in works)
