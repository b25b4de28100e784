"""A painting in thick strokes along a flow field: a whirling evening sky over hills and a field."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from sheet import Sheet, blur, gradient, mix, ramp, shifted


def swirls(longest_side: int = 1024) -> np.ndarray:
    """An evening in thick oil strokes: whirling sky, hills, cypresses, furrowed field; float32 [H, W, 3] in [0, 1]."""
    sheet = Sheet(longest_side, 800)
    rng = np.random.default_rng(3)
    colour, angle = _evening(sheet)
    height = Image.new("L", sheet.shape[::-1], 40)
    sheet.pixels = mix(colour, (0.20, 0.16, 0.14), 0.5)
    for width, length, spacing in ((15, 84, 13), (9.5, 62, 8.6), (5.6, 42, 6.2), (3.4, 26, 6.4)):
        grid = np.stack(np.meshgrid(np.arange(-10, 1034, spacing), np.arange(-10, 810, spacing)), -1).reshape(-1, 2)
        starts = grid + rng.normal(0, 0.45 * spacing, grid.shape)
        if width < 9:  # the fine strokes only where the picture has detail, and here and there
            detail = sheet.at(_detail(colour, sheet), starts)
            starts = starts[rng.random(len(starts)) < 0.22 + 1.1 * detail]
        starts = starts[rng.permutation(len(starts))]
        _strokes(sheet, height, rng, starts, colour, angle, width, length)
    relief = np.asarray(height, np.float32) / 255
    relief = blur(relief, 1.6 * sheet.scale) + 0.15 * relief
    slope = (shifted(relief, 1, 1) - shifted(relief, -1, -1)) * sheet.scale
    canvas = 0.012 * np.sin(sheet.columns * 3.1) * np.sin(sheet.rows * 3.1)
    lit = 1 + np.clip(0.6 * slope, -0.26, 0.28) + canvas
    shine = ramp(slope, 0.3, 0.8) * 0.22
    sheet.pixels = mix(sheet.pixels * lit[..., None], (1.0, 0.98, 0.9), shine)
    return sheet.finished()


def _evening(sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
    """What is painted, [H, W, 3], and the strokes' direction in radians, [H, W]."""
    x, y = np.broadcast_arrays(sheet.columns, sheet.rows)
    turn_x, turn_y = np.full(sheet.shape, 1.0, np.float32), 0.22 * np.sin(x / 95 + 0.6)
    sky = gradient(y + 26 * sheet.noise(1, 90, 4, stretch=2), [
        (0, (0.05, 0.10, 0.36)), (150, (0.10, 0.26, 0.60)), (300, (0.25, 0.52, 0.72)), (400, (0.66, 0.74, 0.60)),
        (470, (0.97, 0.74, 0.36)),
    ])  # fmt: skip
    whirls = ((330, 210, 130, 1), (560, 120, 84, -1), (120, 110, 74, -1), (640, 300, 62, 1), (950, 330, 76, 1))
    for cx, cy, radius, sense in whirls:
        dx, dy = x - cx, y - cy
        far = np.hypot(dx, dy)
        weight = 2.6 * np.exp(-((far / radius) ** 2))
        turn_x = turn_x + sense * weight * -(dy + 0.35 * dx) / (far + 9)
        turn_y = turn_y + sense * weight * (dx - 0.35 * dy) / (far + 9)
        arms = np.sin(np.log(far + 8) * 6.5 - sense * np.arctan2(dy, dx) * 2)
        sky = mix(sky, (0.80, 0.88, 0.86), 0.72 * np.exp(-((far / radius) ** 2)) * ramp(arms, -0.2, 0.9))
        sky = mix(sky, (0.06, 0.16, 0.45), 0.5 * np.exp(-((far / radius) ** 2)) * ramp(-arms, 0.1, 0.9))
    lights = [(838, 150, 54), (60, 260, 15), (225, 66, 17), (440, 50, 13), (455, 320, 12), (690, 60, 14), (985, 60, 13)]
    for cx, cy, radius in lights:
        dx, dy = x - cx, y - cy
        far = np.hypot(dx, dy) / radius
        weight = 5 * np.exp(-((far / 2.1) ** 2))
        turn_x, turn_y = turn_x - weight * dy / (far * radius + 3), turn_y + weight * dx / (far * radius + 3)
        rings = 0.72 + 0.28 * np.cos(far * 5.2)
        sky = mix(sky, (0.98, 0.80, 0.25), np.clip(1.5 * np.exp(-((far / 1.7) ** 2)) * rings, 0, 0.95))
        sky = mix(sky, (1.0, 0.95, 0.66), ramp(far, 1.05, 0.7))
    picture, angle = sky, np.arctan2(turn_y, turn_x)
    for layer, (base, swell, tint) in enumerate((
        (430, 44, (0.22, 0.34, 0.62)), (476, 30, (0.12, 0.26, 0.48)), (512, 20, (0.16, 0.38, 0.36)),
    )):  # fmt: skip
        ridge = base - swell * np.sin(sheet.columns / (118 - 14 * layer) + 1.9 * layer) - 9 * np.sin(sheet.columns / 31)
        inside = ramp(y - ridge, -1, 1)
        bands = 0.5 + 0.5 * np.sin((y - ridge) / 5 + 1.4 * sheet.noise(20 + layer, 60, 2))
        hill = mix(np.multiply(tint, 0.6), np.minimum(np.multiply(tint, 1.7), 1), bands * ramp(y - ridge, 90, -20))
        hill = mix(hill, (0.06, 0.08, 0.24), ramp(np.abs(y - ridge), 4.5, 2))
        picture = mix(picture, hill, inside)
        slope = np.arctan(np.gradient(ridge[0]) * sheet.scale) + 0.25 * np.sin(x / 40 + y / 17)
        angle = np.where(inside > 0.5, slope, angle)
    edge = 548 + 12 * np.sin(sheet.columns / 160)
    field = ramp(y - edge, -1, 1)
    depth = np.clip(y - edge, 0.0, None) + 26
    furrow = (x - 640) / depth
    rows = np.sin(furrow * 9.5 + 0.5 * sheet.noise(30, 40, 3))
    corn = gradient(rows + 0.5 * sheet.noise(31, 14, 3), [
        (-1.4, (0.36, 0.20, 0.08)), (-0.4, (0.76, 0.48, 0.10)), (0.5, (0.93, 0.73, 0.19)), (1.5, (0.99, 0.92, 0.52)),
    ])  # fmt: skip
    corn = mix(corn, (0.30, 0.44, 0.16), 0.8 * ramp(sheet.noise(32, 46, 3, stretch=2.5), 0.8, 1.5))
    poppies = ramp(sheet.noise(33, 9, 1), 2.0, 2.3) * ramp(y, 590, 660)
    picture = mix(picture, mix(corn, (0.86, 0.16, 0.10), poppies), field)
    angle = np.where(field > 0.5, np.arctan2(depth, x - 640) + 0.18 * sheet.noise(34, 30, 2), angle)
    for left, top, wide, body, roof in (
        (600, 500, 44, (0.95, 0.90, 0.78), (0.80, 0.30, 0.16)), (652, 512, 30, (0.80, 0.84, 0.86), (0.50, 0.22, 0.2)),
        (556, 514, 32, (0.90, 0.70, 0.42), (0.66, 0.24, 0.14)),
    ):  # fmt: skip
        wall = sheet.mask([(left, top), (left + wide, top), (left + wide, top + 38), (left, top + 38)])
        peak = sheet.mask([(left - 6, top + 2), (left + wide / 2, top - 24), (left + wide + 6, top + 2)])
        door = sheet.mask([(left + 8, top + 10), (left + 17, top + 10), (left + 17, top + 38), (left + 8, top + 38)])
        for area, tint, way in ((wall, body, 1.5), (peak, roof, 0.5), (door, (0.95, 0.70, 0.2), 1.5)):
            picture, angle = mix(picture, tint, area), np.where(area > 0.5, way, angle)
    for foot, base, tall, wide in ((180, 800, 640, 62), (268, 790, 400, 42), (80, 800, 290, 36)):
        t = np.clip((base - y) / tall, 0, 1)
        sway = foot + 18 * np.sin(t * 4.2) - 10 * t
        half = wide * (np.sin(np.pi * np.clip(t, 0, 1) ** 0.62) * (1 - t) ** 0.35) + 6 * np.sin(y / 13) * (1 - t)
        tree = ramp(half - np.abs(x - sway), -1, 1) * (y > base - tall)
        flame = np.sin((x - sway) / (half + 8) * 6 + y / 24 + sheet.noise(40, 40, 2))
        green = gradient(flame, [(-1, (0.03, 0.10, 0.12)), (0.2, (0.08, 0.24, 0.15)), (1, (0.36, 0.44, 0.16))])
        picture = mix(picture, green, tree)
        angle = np.where(tree > 0.5, np.pi / 2 + 0.5 * np.sin(y / 34 + (x - sway) / 26), angle)
    return picture, angle


def _detail(colour: np.ndarray, sheet: Sheet) -> np.ndarray:
    """Field in [0, 1]: how much the picture changes within a few units."""
    grey = colour.mean(axis=-1)
    change = blur(np.abs(grey - blur(grey, 6 * sheet.scale)), 4 * sheet.scale)
    return ramp(change, 0.01, 0.12)


def _strokes(
    sheet: Sheet, height: Image.Image, rng: np.random.Generator, starts: np.ndarray, colour: np.ndarray,
    angle: np.ndarray, width: float, length: float,
) -> None:  # fmt: skip
    """Paint strokes that follow ``angle`` from ``starts`` [N, 2], and the bristles' ridges into ``height``."""
    steps = 7
    wanted = sheet.at(colour, starts)
    paths, headings = [starts], []
    for _ in range(steps):
        heading = sheet.at(angle, paths[-1])
        headings.append(heading)
        paths.append(paths[-1] + np.stack([np.cos(heading), np.sin(heading)], -1) * (length / steps))
    path = np.stack(paths, 1)  # [N, steps + 1, 2]
    headings.append(headings[-1])
    turn = np.stack(headings, 1)
    normal = np.stack([-np.sin(turn), np.cos(turn)], -1)
    # a stroke ends where the picture becomes another one
    here = np.stack([sheet.at(colour, path[:, i]) for i in range(steps + 1)], 1)
    same = np.abs(here - wanted[:, None]).max(-1) < 0.2
    ends = np.where(same.all(1), steps + 1, np.maximum(same.argmin(1), 2))
    hue = wanted + rng.normal(0, 0.055, wanted.shape) + rng.normal(0, 0.05, (len(wanted), 1))
    bold = rng.random(len(wanted)) < 0.10  # now and then a purer colour
    hue[bold] = hue[bold].mean(1, keepdims=True) + 1.7 * (hue[bold] - hue[bold].mean(1, keepdims=True))
    bristles = max(3, round(width / 1.7))
    draw, ridge = ImageDraw.Draw(sheet.image), ImageDraw.Draw(height)
    thick = max(1, round(1.55 * width / bristles * sheet.scale))
    across = np.linspace(-0.5, 0.5, bristles)
    for stroke in range(len(starts)):
        end = int(ends[stroke])
        tones = rng.normal(0, 0.045, bristles)
        levels = rng.integers(70, 180, bristles) + (np.abs(across) > 0.42) * 60
        lag = rng.random(bristles)
        taper = np.interp(np.arange(end), [0, 1, end - 1], [0.75, 1.0, 0.6])[:, None]
        for bristle in range(bristles):
            points = path[stroke, :end] + normal[stroke, :end] * (across[bristle] * width * taper)
            points = points[: end - (lag[bristle] < 0.25)] if end > 2 else points
            flat = (points * sheet.scale).ravel().tolist()
            tone = np.clip(hue[stroke] + tones[bristle], 0, 1) * 255
            draw.line(flat, fill=(int(tone[0]), int(tone[1]), int(tone[2])), width=thick)
            ridge.line(flat, fill=int(levels[bristle]), width=max(1, thick - 1))
