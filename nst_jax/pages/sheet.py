"""Contact sheets: pictures in labelled rows and columns, the inputs above them, as one picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nst_jax.pictures import images

#: A sheet's pictures are reduced so that it stays below this on both sides, in pixels.
LARGEST_SHEET = 8000
#: Longest sides between which a sheet's pictures are, where that leaves it small enough.
SMALLEST_CELL, LARGEST_CELL = 128, 512
PAPER, INK = (255, 255, 255), (30, 30, 30)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One picture of a sheet, float32 RGB in [0, 1], [H, W, 3], or None while it is not there yet, and its caption."""

    pixels: np.ndarray | None
    caption: str = ""


def contact_sheet(
    cells: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    inputs: Sequence[Cell] = (),
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> np.ndarray:
    """Draws a contact sheet, float32 RGB in [0, 1], [H, W, 3].

    Args:
      cells: the pictures, row by row; rows may differ in length.
      title: stands above all.
      inputs: stand in a line of their own below the title, each with its caption.
      rows, columns: labels, one for each row and each column, or none.
    """
    pictures = [cell.pixels for row in cells for cell in row if cell.pixels is not None]
    height, width = pictures[0].shape[:2] if pictures else (96, 96)
    across = max(1, max(map(len, cells), default=1), len(inputs))
    down = len(cells) + bool(inputs)
    scale = min(
        max(1.0, SMALLEST_CELL / max(height, width)),
        LARGEST_CELL / max(height, width),
        0.8 * LARGEST_SHEET / (across * width),
        0.8 * LARGEST_SHEET / (down * height),
    )
    cell = max(16, round(height * scale)), max(16, round(width * scale))
    size = max(10, min(24, max(cell) // 14))
    font, line = _font(size), round(1.4 * size)
    gap = max(4, max(cell) // 32)
    label_width = max((_width(font, text) for label in rows for text in _lines(label)), default=-gap) + gap
    captions = line * max((_count(font, c.caption, cell[1]) for row in cells for c in row), default=0)
    above = line * max((_count(font, label, cell[1]) for label in columns), default=0)
    below_inputs = line * max((_count(font, c.caption, cell[1]) for c in inputs), default=0)

    left, top = label_width + gap, gap
    inputs_top = top + (line + gap if title else 0)
    columns_top = inputs_top + (cell[0] + below_inputs + 2 * gap if inputs else 0)
    cells_top = columns_top + above
    pitch_x, pitch_y = cell[1] + gap, cell[0] + captions + gap
    total = left + across * pitch_x, cells_top + max(1, len(cells)) * pitch_y
    total = max(total[0], left + _width(font, title) + gap), total[1]
    sheet = Image.new("RGB", total, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((left, top), title, INK, font)
    for index, entry in enumerate(inputs):
        _draw_cell(sheet, draw, font, entry, left + index * pitch_x, inputs_top, cell)
    for index, label in enumerate(columns):
        text = _wrap(font, label, cell[1])
        draw.multiline_text((left + index * pitch_x, columns_top), text, INK, font, spacing=line - size)
    for index, row in enumerate(cells):
        y = cells_top + index * pitch_y
        if rows:
            draw.multiline_text((gap, y), "\n".join(_lines(rows[index])), INK, font, spacing=line - size)
        for position, entry in enumerate(row):
            _draw_cell(sheet, draw, font, entry, left + position * pitch_x, y, cell)
    return np.asarray(sheet, np.float32) / 255


def _draw_cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    entry: Cell,
    x: int,
    y: int,
    cell: tuple[int, int],
) -> None:
    """One picture, fitted into the cell (height, width) at (x, y), with its caption below."""
    used = cell[0]
    if entry.pixels is None:
        draw.rectangle((x, y, x + cell[1] - 1, y + cell[0] - 1), outline=(200, 200, 200))
    else:
        height, width = entry.pixels.shape[:2]
        scale = min(cell[0] / height, cell[1] / width)
        used = max(1, round(height * scale))
        fitted = images.resize(entry.pixels, used, max(1, round(width * scale)))
        sheet.paste(Image.fromarray(images.to_uint8(fitted)), (x, y))
    text = _wrap(font, entry.caption, cell[1])
    draw.multiline_text((x, y + used), text, INK, font, spacing=round(0.4 * font.size))


def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, which is always there; it has no Greek letters."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _width(font: ImageFont.FreeTypeFont, text: str) -> int:
    return round(font.getlength(text))


def _lines(label: str) -> list[str]:
    """A row's label, a line for each of its parts and for every two of its layers."""
    lines = []
    for part in label.split(", "):
        words = part.split(" ")
        lines += [" ".join(words[start : start + 2]) for start in range(0, len(words), 2)]
    return lines


def _wrap(font: ImageFont.FreeTypeFont, text: str, width: int) -> str:
    """``text`` broken so that no line is wider than ``width``: at spaces, and where a word is wider, within it."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if _width(font, longer) <= width:
            lines[-1] = longer
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            lines += [""] if lines[-1] and _width(font, lines[-1] + letter) > width else []
            lines[-1] += letter
    return "\n".join(lines)


def _count(font: ImageFont.FreeTypeFont, text: str, width: int) -> int:
    """How many lines a text takes."""
    return _wrap(font, text, width).count("\n") + 1 if text else 0
