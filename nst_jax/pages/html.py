"""One HTML file that shows a set of runs: pictures, losses, curves, settings. It needs no network and no other file."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from nst_jax.pictures import images

#: Longest sides of the embedded pictures: of few lanes, and of many.
EMBEDDED, EMBEDDED_MANY = 512, 192
MANY = 60
CURVE = (260, 90)  # width and height of a curve
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; max-width: 110em }
img { max-width: 100%; height: auto } figure { margin: 0 } figcaption { font-size: 13px }
.lanes { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 1.2em }
table { border-collapse: collapse; font-size: 13px }
td, th { text-align: left; padding-right: .8em; vertical-align: top }
svg { background: #f6f6f6; display: block } polyline { fill: none; stroke: #26c; stroke-width: 1.5 }
"""


def page(
    title: str,
    *,
    paragraphs: Sequence[tuple[str, str]] = (),
    sheet: np.ndarray | None = None,
    lanes: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> str:
    """The page's HTML.

    Args:
      title: of the page.
      paragraphs: (heading, text) each; a text's lines are paragraphs.
      sheet: the contact sheet, [H, W, 3] in [0, 1], or None.
      lanes: of each run: ``label``; ``pixels`` [H, W, 3]; ``picture``, its file's name beside the page; ``losses``;
        ``trace``, rows with ``step`` and ``total``; ``settings``, what is its own; ``ended``.
      settings: what all have in common.
    """
    side = EMBEDDED if len(lanes) <= MANY else EMBEDDED_MANY
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
    ]
    for heading, text in paragraphs:
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        parts += [f"<p>{html.escape(line)}</p>" for line in text.splitlines()]
    if sheet is not None:
        parts.append(f'<p><img alt="contact sheet" src="{embedded(sheet, max(sheet.shape))}"></p>')
    parts.append('<h2>Runs</h2><div class="lanes">')
    for lane in lanes:
        losses = "".join(f"<tr><td>{name}</td><td>{_number(value)}</td></tr>" for name, value in lane["losses"].items())
        ended = f"<p>{html.escape(lane['ended'])}</p>" if lane["ended"] else ""
        parts.append(
            f'<figure><a href="{html.escape(lane["picture"])}">'
            f'<img alt="{html.escape(lane["label"])}" src="{embedded(lane["pixels"], side)}"></a>'
            f"<figcaption><b>{html.escape(lane['label'])}</b>{ended}<table>{losses}</table>{curve(lane['trace'])}"
            f"<details><summary>settings</summary>{_table(lane['settings'])}</details></figcaption></figure>"
        )
    parts.append(f"</div><h2>Settings of all</h2>{_table(settings)}</body></html>\n")
    return "\n".join(parts)


def embedded(pixels: np.ndarray, longest_side: int) -> str:
    """A picture, reduced where it is larger, as a JPEG in a ``data:`` address."""
    height, width = pixels.shape[:2]
    if max(height, width) > longest_side:
        pixels = images.resize(pixels, *images.fit_size(height, width, longest_side))
    file = io.BytesIO()
    Image.fromarray(images.to_uint8(pixels)).save(file, "JPEG", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def curve(trace: Sequence[Mapping[str, Any]]) -> str:
    """The total loss over the steps as an inline SVG, its axis logarithmic; empty for fewer than two values."""
    points = [(row["step"], math.log10(row["total"])) for row in trace if row["total"] and row["total"] > 0]
    if len(points) < 2:
        return ""
    width, height = CURVE
    steps, values = [x for x, _ in points], [y for _, y in points]
    right, low, high = max(steps), min(values), max(values)
    stride = max(1, len(points) // width)
    drawn = " ".join(
        f"{x / right * width:.1f},{height - 4 - (y - low) / (high - low or 1) * (height - 8):.1f}"
        for x, y in [*points[:-1:stride], points[-1]]
    )
    caption = f"total loss, {10**high:.3g} to {10**low:.3g} (logarithmic), {right} steps"
    line = f'<svg width="{width}" height="{height}" role="img"><polyline points="{drawn}"/></svg>'
    return line + caption


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.5g}"


def _table(values: Mapping[str, Any]) -> str:
    def shown(value: Any) -> str:
        return html.escape(" ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))

    rows = "".join(f"<tr><td>{html.escape(str(key))}</td><td>{shown(value)}</td></tr>" for key, value in values.items())
    return f"<table>{rows}</table>"
