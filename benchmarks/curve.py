"""A drawing of what the strength does: strokes against structure, one line for each preset."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Blue, vermilion, green, purple, ochre, sky blue and black of Okabe and Ito, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#B8860B", "#56B4E9", "#222222")
PAPER, INK, FAINT = "#FFFFFF", "#333333", "#8A8A8A"
#: Least distance of two presets' names, and the width of a point's disc, in points.
APART, DISC = 15, 17


class Point(NamedTuple):
    """Means at one strength."""

    strength: float
    structure: float
    strokes: float


def check(path: str, strengths: Sequence[float] | None) -> None:
    """Raises SystemExit, before anything is painted, where no curve can be drawn to ``path``."""
    if not strengths:
        raise SystemExit("--curve draws what the strength does: give it some --strengths, such as 0.1 0.3 0.5 0.7 0.9")
    if importlib.util.find_spec("matplotlib") is None:
        raise SystemExit("--curve draws with matplotlib: pip install 'nst_jax[plots]'")
    from matplotlib.figure import Figure  # not above: only who draws needs it

    kinds = Figure().canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in kinds:
        raise SystemExit(f"--curve {path}: give a file that ends in .svg, .png or .pdf")
    if not Path(path).resolve().parent.is_dir():
        raise SystemExit(f"--curve {path}: there is no such folder")


def draw(path: str, lines: Mapping[str, Sequence[Point]], floor: float) -> None:
    """Writes the drawing to ``path``, in the format that its ending tells; the same figures give the same SVG."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "nst_jax"}):
        svg = path.lower().endswith(".svg")
        drawing(lines, floor).savefig(path, dpi=160, metadata={"Date": None} if svg else None)


def drawing(lines: Mapping[str, Sequence[Point]], floor: float) -> Figure:
    """The drawing.

    Args:
      lines: of each preset, its points by strength.
      floor: strokes of the painting's own crops.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.2), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot(facecolor=PAPER)
    axes.set_xlabel("structure (1 is all of the photograph's)  →", color=INK)
    axes.set_ylabel("←  strokes (lower is nearer to the painting)", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, length=3, color=FAINT)
    axes.grid(color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.05, y=0.1)
    axes.axhline(floor, color=FAINT, linewidth=1.2, linestyle=(0, (5, 3)))
    note: dict[str, Any] = {"xytext": (0, -4), "textcoords": "offset points", "ha": "right", "va": "top"}
    axes.annotate(
        "the painting's own crops", (1, floor), xycoords=axes.get_yaxis_transform(), color=FAINT, fontsize=9, **note
    )
    disc: dict[str, Any] = {"marker": "o", "markersize": DISC, "markerfacecolor": PAPER, "markeredgewidth": 1.6}
    within: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 7.5}
    for turn, points in enumerate(lines.values()):
        x, y = [point.structure for point in points], [point.strokes for point in points]
        axes.plot(x, y, color=_colour(turn), linewidth=2.2, zorder=2 + turn / 10, **disc)
        for point in points:
            axes.annotate(f"{point.strength:g}", point[1:], color=_colour(turn), zorder=2.05 + turn / 10, **within)
    _name_ends(figure, axes, lines)
    return figure


def _name_ends(figure: Figure, axes: Axes, lines: Mapping[str, Sequence[Point]]) -> None:
    """Writes the presets' names in a column to the left of all lines, each beside its line's end, none over another."""
    left, right = axes.get_xlim()
    room = min(0.5, (2 * DISC + 7 * max(map(len, lines))) / 500)  # as a part of the width, 500 points
    axes.set_xlim(right - (right - left) / (1 - room), right)
    figure.draw_without_rendering()  # settles where the points are
    column = min(point.structure for points in lines.values() for point in points)
    ends = {name: (points[-1].structure, points[-1].strokes) for name, points in lines.items()}
    scale = 72 / figure.dpi
    across, up = (dict(zip(ends, scale * side, strict=True)) for side in axes.transData.transform([*ends.values()]).T)
    start = scale * axes.transData.transform((column, 0))[0]
    lowest = float("-inf")
    for name in sorted(ends, key=up.__getitem__):
        lowest = max(up[name], lowest + APART)
        colour = _colour(list(lines).index(name))
        axes.annotate(
            name,
            ends[name],
            xytext=(start - across[name] - 1.2 * DISC, lowest - up[name]),
            textcoords="offset points",
            ha="right",
            va="center",
            color=colour,
            fontsize=10,
            weight="bold",
            zorder=1.5,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 2, "shrinkB": DISC / 2},
        )


def _colour(turn: int) -> str:
    return COLOURS[turn % len(COLOURS)]
