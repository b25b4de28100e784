"""What stands in the two photographs: houses, a church, huts, boats, trees, flowers."""

from __future__ import annotations

import numpy as np
from sheet import Sheet, mix

PLASTER, ROOF, STONE, LEAVES, PLAIN = 1, 2, 3, 4, 5
Rng = np.random.Generator


def house(sheet: Sheet, rng: Rng, x: float, width: float, eave: float, base: float, wall, shutter, kind: int) -> None:
    """A town house; by ``kind`` its gable or its eave faces the river, and some show their timber frame."""
    wall = np.asarray(wall)
    middle, tile = x + width / 2, np.array((0.62, 0.30, 0.20)) * rng.uniform(0.8, 1.12)
    gabled = kind % 3 != 1
    peak = eave - width * (rng.uniform(0.74, 0.92) if gabled else rng.uniform(0.42, 0.52))
    if gabled:
        sheet.polygon([(x - 6, eave + 8), (middle, peak - 9), (x + width + 6, eave + 8)], tile, ROOF)
        sheet.polygon([(x, eave + 12), (middle, peak + 3), (x + width, eave + 12)], wall, PLASTER)
    else:
        sheet.polygon([(x - 5, eave + 3), (x + 8, peak), (x + width - 8, peak), (x + width + 5, eave + 3)], tile, ROOF)
        for at in (0.3, 0.7):
            dormer(sheet, x + at * width, eave - 14, wall, tile)
    chimney = x + width * (0.74 if kind % 2 else 0.24)
    sheet.box(chimney - 5, peak + width * 0.08, 10, 32, (0.52, 0.34, 0.28), STONE)
    sheet.box(chimney - 7, peak + width * 0.08 - 4, 14, 5, (0.42, 0.30, 0.26), STONE)
    if gabled:  # the chimney stands behind the gable
        sheet.polygon([(x, eave + 12), (middle, peak + 3), (x + width, eave + 12)], wall, PLASTER)
        sheet.line([(x - 6, eave + 8), (middle, peak - 5), (x + width + 6, eave + 8)], tile * 0.85, 5, ROOF)
    sheet.box(x, eave + 2, width, base - eave, wall, PLASTER)
    sheet.box(x + width - 3, eave + 2, 3, base - eave, wall * 0.72, PLASTER)
    sheet.box(x, base - 34, width, 34, wall * 0.72, STONE)
    floors, columns = int((base - eave - 30) / 46), 3 if width < 110 else 4
    beam = (0.30, 0.19, 0.13)
    framed = kind % 4 == 2
    if framed:
        for floor in range(floors + 1):
            sheet.line([(x, eave + 10 + 46 * floor), (x + width, eave + 10 + 46 * floor)], beam, 3.4, PLAIN)
        for column in range(columns + 1):
            at = x + 2 + (width - 4) * column / columns
            sheet.line([(at, eave + 8), (at, base - 36)], beam, 3.0, PLAIN)
        for side in (0, 1):
            ends = (x, x + width / columns) if side == 0 else (x + width, x + width * (1 - 1 / columns))
            for floor in range(floors):
                sheet.line([(ends[0], eave + 56 + 46 * floor), (ends[1], eave + 10 + 46 * floor)], beam, 2.4, PLAIN)
    for floor in range(floors):
        for column in range(columns):
            at = x + width * (column + 0.5) / columns
            window(sheet, rng, at, eave + 20 + 46 * floor, 12, 25, shutter, flowers=floor in (1, 2) and kind % 2 == 0)
    if gabled:
        for at in (-0.13, 0.13):
            window(sheet, rng, middle + at * width, eave - 19, 10, 19, shutter, flowers=False)
        window(sheet, rng, middle, eave - 0.46 * width, 8, 12, shutter, flowers=False)
    if kind % 3 == 0:
        sheet.box(middle - 8, base - 34, 16, 26, (0.24, 0.16, 0.12), PLAIN)


def window(sheet: Sheet, rng: Rng, x: float, y: float, width: float, height: float, shutter, flowers: bool) -> None:
    """A window around ``x`` with frame, panes that mirror the sky, sill and two shutters."""
    half = width / 2
    for side in (-1, 1):
        left = x + side * (half + 3.2) - 3
        sheet.box(left, y - 1, 6, height + 2, np.multiply(shutter, rng.uniform(0.85, 1.15)), PLAIN)
        for slat in np.arange(y + 1.5, y + height, 3.4):
            sheet.line([(left + 1, slat), (left + 5, slat)], np.multiply(shutter, 0.66), 0.8, PLAIN)
    sheet.box(x - half - 1, y - 1.5, width + 2, height + 3, (0.93, 0.91, 0.86), PLAIN)
    glass = np.array((0.13, 0.17, 0.22)) * rng.uniform(0.7, 1.4)
    sheet.box(x - half + 0.8, y + 0.6, width - 1.6, height - 1.4, glass, PLAIN)
    if rng.random() < 0.55:
        corner = [(x - half + 1, y + 1), (x + half - 1, y + 1), (x - half + 1, y + height * rng.uniform(0.5, 0.95))]
        sheet.polygon(corner, (0.48, 0.60, 0.72), PLAIN)
    sheet.line([(x, y), (x, y + height)], (0.9, 0.88, 0.83), 1.2, PLAIN)
    sheet.line([(x - half, y + 0.36 * height), (x + half, y + 0.36 * height)], (0.9, 0.88, 0.83), 1.2, PLAIN)
    sheet.box(x - half - 2, y + height + 1, width + 4, 2, (0.8, 0.77, 0.7), PLAIN)
    sheet.box(x - half - 1, y + height + 3, width + 4, 1.4, (0.3, 0.25, 0.22), PLAIN)
    if flowers:
        n = 34
        centres = np.stack([rng.uniform(x - half - 2, x + half + 2, n), rng.normal(y + height, 1.6, n)], axis=1)
        colours = np.where(rng.random((n, 1)) < 0.5, (0.84, 0.13, 0.18), (0.25, 0.42, 0.15)) * rng.uniform(
            0.7, 1.2, (n, 1)
        )
        sheet.dabs(centres, np.full((n, 2), 1.3), colours, LEAVES + 1)


def dormer(sheet: Sheet, x: float, y: float, wall, tile) -> None:
    """A small gable with a window in a roof."""
    sheet.polygon([(x - 13, y), (x, y - 19), (x + 13, y)], np.multiply(tile, 0.9), ROOF)
    sheet.polygon([(x - 9, y), (x, y - 13), (x + 9, y)], wall, PLASTER)
    sheet.box(x - 9, y - 1, 18, 12, wall, PLASTER)
    sheet.box(x - 5, y - 3, 10, 12, (0.92, 0.9, 0.85), PLAIN)
    sheet.box(x - 4, y - 2, 8, 10, (0.16, 0.2, 0.26), PLAIN)


def church(sheet: Sheet, x: float) -> None:
    """A tower with clock and spire behind the houses."""
    wall = np.array((0.74, 0.68, 0.60))
    sheet.box(x - 31, 128, 62, 240, wall, STONE)
    sheet.box(x + 8, 128, 23, 240, wall * 0.72, STONE)
    spire = np.array((0.36, 0.46, 0.46))
    sheet.polygon([(x - 36, 130), (x - 13, 88), (x, 14), (x + 13, 88), (x + 36, 130)], spire, ROOF)
    sheet.polygon([(x, 14), (x + 13, 88), (x + 36, 130), (x + 6, 130)], spire * 0.7, ROOF)
    sheet.line([(x, 18), (x, 0)], (0.75, 0.6, 0.25), 2, PLAIN)
    sheet.box(x - 34, 126, 68, 6, wall * 1.15, PLAIN)
    for at in (-15, 15):
        sheet.box(x + at - 6, 196, 12, 34, (0.2, 0.18, 0.18), PLAIN)
        sheet.dabs(np.array([[x + at, 196.0]]), np.array([[6.0, 8.0]]), np.array([[0.2, 0.18, 0.18]]), PLAIN)
    sheet.dabs(np.array([[x, 160.0]]), np.array([[16.0, 16.0]]), np.array([[0.95, 0.93, 0.86]]), PLAIN)
    sheet.dabs(np.array([[x, 160.0]]), np.array([[13.5, 13.5]]), np.array([[0.16, 0.2, 0.32]]), PLAIN)
    sheet.line([(x, 160), (x, 149)], (0.9, 0.76, 0.3), 2, PLAIN)
    sheet.line([(x, 160), (x + 8, 164)], (0.9, 0.76, 0.3), 2, PLAIN)


def hut(sheet: Sheet, x: float, y: float, size: float) -> None:
    """A wooden house with a wide roof; ``y`` is its floor."""
    a = 36 * size
    wood, dark = (0.45, 0.27, 0.16), (0.33, 0.19, 0.12)
    sheet.box(x - a, y - 0.75 * a, 1.15 * a, 0.75 * a, wood, PLAIN)
    for line in np.arange(0.08, 0.75, 0.1):
        sheet.line([(x - a, y - line * a), (x + 0.15 * a, y - line * a)], dark, 0.8, PLAIN)
    sheet.polygon([(x - a, y - 0.74 * a), (x - 0.42 * a, y - 1.32 * a), (x + 0.15 * a, y - 0.74 * a)], wood, PLAIN)
    sheet.box(x + 0.15 * a, y - 0.75 * a, 0.95 * a, 0.75 * a, dark, PLAIN)
    sheet.box(x - a, y - 0.2 * a, 2.1 * a, 0.22 * a, (0.68, 0.65, 0.6), STONE)
    roof = [
        (x - 0.42 * a, y - 1.42 * a),
        (x + 0.72 * a, y - 1.42 * a),
        (x + 1.25 * a, y - 0.62 * a),
        (x + 0.2 * a, y - 0.62 * a),
    ]
    sheet.polygon(roof, (0.55, 0.22, 0.16), ROOF)
    edge = [(x - 1.16 * a, y - 0.62 * a), (x - 0.42 * a, y - 1.4 * a), (x + 0.24 * a, y - 0.62 * a)]
    sheet.line(edge, (0.36, 0.15, 0.11), 3.4 * size, ROOF)
    sheet.box(x + 0.45 * a, y - 1.66 * a, 0.16 * a, 0.4 * a, (0.6, 0.55, 0.5), STONE)
    for at in (-0.72, -0.28, 0.42, 0.8):
        sheet.box(x + at * a, y - 0.58 * a, 0.2 * a, 0.24 * a, (0.95, 0.92, 0.82), PLAIN)
        sheet.box(x + (at + 0.03) * a, y - 0.55 * a, 0.14 * a, 0.18 * a, (0.98, 0.80, 0.42), PLAIN)


def boat(sheet: Sheet, rng: Rng, x: float, y: float, length: float, colour) -> None:
    """A punt with two people in it and its dark reflection."""
    end, colour = x + length, np.asarray(colour)
    depth = length * 0.085
    shade = sheet.mask(
        [(x + 6, y + depth), (end - 6, y + depth), (end - 14, y + 2.2 * depth), (x + 14, y + 2.2 * depth)], 4
    )
    sheet.pixels = mix(sheet.pixels, (0.06, 0.08, 0.07), 0.75 * shade)
    inside = [(x + 4, y), (end - 4, y), (end - 16, y + 0.45 * depth), (x + 16, y + 0.45 * depth)]
    for at, coat in ((0.34, (0.80, 0.22, 0.18)), (0.62, (0.93, 0.88, 0.76))):
        px, tall = x + at * length, length * 0.17
        body = [
            (px - 0.3 * tall, y + 3),
            (px - 0.22 * tall, y - 0.62 * tall),
            (px + 0.22 * tall, y - 0.62 * tall),
            (px + 0.3 * tall, y + 3),
        ]
        sheet.polygon(body, coat, PLAIN)
        sheet.dabs(
            np.array([[px, y - 0.85 * tall]]), np.full((1, 2), 0.22 * tall), np.array([[0.86, 0.66, 0.52]]), PLAIN
        )
        sheet.dabs(
            np.array([[px, y - 0.96 * tall]]), np.array([[0.40, 0.07]]) * tall, np.array([[0.88, 0.76, 0.46]]), PLAIN
        )
        sheet.dabs(
            np.array([[px, y - 1.06 * tall]]), np.array([[0.2, 0.12]]) * tall, np.array([[0.92, 0.82, 0.54]]), PLAIN
        )
    sheet.polygon(inside, colour * 0.5, PLAIN)
    hull = [
        (x - 8, y - 4),
        (x + 12, y + 2),
        (end - 12, y + 2),
        (end + 8, y - 4),
        (end - 14, y + depth),
        (x + 14, y + depth),
    ]
    sheet.polygon(hull, colour, PLAIN)
    sheet.line(
        [(x - 8, y - 4), (x + 12, y + 2), (end - 12, y + 2), (end + 8, y - 4)], np.minimum(colour * 2.1, 1), 2, PLAIN
    )
    for plank in (0.35, 0.65):
        sheet.line([(x + 10, y + plank * depth), (end - 10, y + plank * depth)], colour * 0.75, 1, PLAIN)
    sheet.line([(x + 0.9 * length, y + 2), (x + 1.02 * length, y - 0.55 * length)], (0.55, 0.42, 0.26), 2, PLAIN)


def bush(sheet: Sheet, rng: Rng, x: float, y: float, width: float, height: float, colour, leaves: int) -> None:
    """A cloud of leaves, dark below and right, light above and left."""
    angle, radius = rng.uniform(0, 2 * np.pi, leaves), np.sqrt(rng.random(leaves))
    lobes = 1 + 0.22 * np.sin(angle * 5 + rng.uniform(0, 6))
    away = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (radius * lobes)[:, None]
    light = -0.5 * away[:, 0] - 0.8 * away[:, 1] + rng.normal(0, 0.28, leaves)
    order = np.argsort(light)
    centres = np.array((x, y)) + away[order] * (width, height)
    shade = (1 + 0.5 * light[order])[:, None] * rng.uniform(0.85, 1.15, (leaves, 3))
    size = rng.uniform(0.8, 2.1, (leaves, 1)) * rng.uniform(0.7, 1.3, (leaves, 2))
    sheet.dabs(centres, size, np.asarray(colour) * shade, LEAVES)


def willow(sheet: Sheet, rng: Rng, x: float, top: float, spread: float, bottom: float) -> None:
    """A weeping willow: a trunk, a crown, and hanging strands."""
    sheet.polygon([(x - 7, bottom), (x - 4, top + 30), (x + 5, top + 30), (x + 8, bottom)], (0.22, 0.17, 0.12), PLAIN)
    height = 0.55 * (bottom - top)
    for layer in range(3):
        for _ in range(9):
            angle = rng.uniform(np.pi, 2 * np.pi)
            cx, cy = x + 0.62 * spread * np.cos(angle), top + 0.75 * height + 0.55 * height * np.sin(angle)
            tone = np.array((0.24, 0.36, 0.12)) * (0.62 + 0.3 * layer)
            bush(sheet, rng, cx, cy, 0.36 * spread, 0.3 * height, tone, 420)
        for start in rng.uniform(-1, 1, 130):
            sx, sy = x + start * spread, top + height * (0.42 + 0.55 * start**2) + rng.uniform(-6, 10)
            length = rng.uniform(0.4, 0.95) * (bottom - sy)
            t = np.linspace(0, 1, 7)
            points = np.stack([sx + start * 16 * t**0.6 + rng.normal(0, 1.2, 7), sy + length * t], axis=1)
            tone = np.array((0.36, 0.49, 0.16)) * rng.uniform(0.45, 0.7 + 0.3 * layer) * (1.1 - 0.25 * start)
            sheet.line(points, tone, 0.8, LEAVES)
            along = rng.uniform(0, 1, 46)
            twigs = np.stack([np.interp(along, t, points[:, i]) for i in (0, 1)], 1) + rng.normal(0, 1.1, (46, 2))
            shades = tone * rng.uniform(0.75, 1.3, (46, 1))
            sheet.dabs(twigs, rng.uniform(0.6, 1.3, (46, 2)) * (0.8, 1.7), shades, LEAVES)


def pine(sheet: Sheet, rng: Rng, x: float, base: float, height: float) -> None:
    """A fir: tiers of drooping twigs, darker to the right and below."""
    sheet.line([(x, base), (x, base - 0.8 * height)], (0.16, 0.11, 0.08), max(1.5, 0.022 * height), PLAIN)
    tiers = int(18 + height / 9)
    for tier in range(tiers):
        share = tier / tiers
        y = base - height * (0.06 + 0.94 * (share))
        reach = 0.235 * height * (1 - share) ** 0.85 * rng.uniform(0.8, 1.15) + 1
        count = int(12 + height / 5 * (1 - share))
        away = rng.uniform(-1, 1, count)
        light = 0.95 - 0.5 * away + rng.normal(0, 0.18, count)
        for side, tone in zip(away.tolist(), light.tolist(), strict=True):
            colour = np.clip(np.array((0.085, 0.185, 0.10)) * (0.45 + tone) + (0.02 * tone, 0.015 * tone, 0), 0, 1)
            tip = (x + side * reach, y + 0.055 * height * abs(side) ** 1.3 + rng.uniform(-1, 1) * 0.02 * height)
            sheet.line([(x + 0.25 * side * reach, y), tip], colour, max(0.8, 0.0065 * height), LEAVES)


def flowers(sheet: Sheet, rng: Rng, bank: np.ndarray) -> None:
    """Blades and blossoms on the ground below ``bank`` [H, W], larger towards the viewer."""
    height = sheet.shape[0] / sheet.scale
    for _ in range(2600):
        x = rng.uniform(0, 1024)
        edge = float(bank[-1, min(int(x * sheet.scale), sheet.shape[1] - 1)])
        y = edge + (height + 8 - edge) * rng.random() ** 0.7
        near = np.clip((y - edge) / (height - edge + 1e-6), 0.05, 1)
        tone = np.array((0.34, 0.5, 0.12)) * rng.uniform(0.4, 1.5)
        tip = (x + rng.normal(0, 4) * near, y - rng.uniform(6, 22) * near)
        sheet.line([(x, y), tip], tone, 1.3 * near, LEAVES)
        if rng.random() < 0.3:
            kinds = ((0.95, 0.93, 0.9), (0.96, 0.78, 0.16), (0.80, 0.16, 0.2), (0.55, 0.36, 0.78))
            colour = np.asarray(kinds[int(rng.integers(4))]) * rng.uniform(0.85, 1.05)
            sheet.dabs(np.array([tip]), np.array([[3.4, 2.6]]) * near, colour[None], LEAVES)
            sheet.dabs(np.array([tip]), np.array([[1.1, 0.9]]) * near, np.array([[0.95, 0.7, 0.15]]), LEAVES)
