"""A mosaic of irregular tesserae that lie along the forms: two fish among waves, in a border."""

from __future__ import annotations

import numpy as np
from sheet import Sheet, gradient, mix, ramp, shifted


def mosaic(longest_side: int = 1024) -> np.ndarray:
    """Two fish among waves in a patterned border, of stone, glass and gold; float32 [H, W, 3] in [0, 1]."""
    sheet = Sheet(longest_side, 768)
    picture, angle, gold = _fishes(sheet)
    x, y = np.broadcast_arrays(sheet.columns, sheet.rows)
    cell = 10.0
    rng = np.random.default_rng(8)
    rows, columns = int(768 / cell) + 5, int(1024 / cell) + 5
    jitter = rng.uniform(-0.25, 0.25, (rows, columns, 2))
    seeds = (np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1) - 1.5 + jitter) * cell
    seeds[1::2, :, 0] += 0.5 * cell
    flat = seeds.reshape(-1, 2)
    turn = sheet.at(angle, flat) + rng.normal(0, 0.09, len(flat))
    cos, sin = np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)
    home_row, home_column = (y / cell + 1.5).round().astype(int), (x / cell + 1.5).round().astype(int)
    nearest = np.full(sheet.shape, 1e9, np.float32)
    second, owner = nearest.copy(), np.zeros(sheet.shape, int)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            index = np.clip(home_row + dy, 0, rows - 1) * columns + np.clip(home_column + dx, 0, columns - 1)
            ax, ay = x - flat[index, 0].astype(np.float32), y - flat[index, 1].astype(np.float32)
            u, v = np.abs(cos[index] * ax + sin[index] * ay), np.abs(cos[index] * ay - sin[index] * ax)
            far = np.sqrt(np.sqrt(u**4 + v**4))  # nearly square cells that lie along the direction
            closer = far < nearest
            second = np.where(closer, nearest, np.where((index != owner) & (far < second), far, second))
            nearest, owner = np.where(closer, far, nearest), np.where(closer, index, owner)
    stone = sheet.at(picture, flat) + rng.normal(0, 0.035, (len(flat), 1)) + rng.normal(0, 0.022, (len(flat), 3))
    shiny = sheet.at(gold, flat) > 0.5
    tilt = rng.normal(0, 1, (len(flat), 2))
    glare = np.where(shiny, 0.20, 0.075) * (tilt @ (-0.7, -0.7))
    gap = second - nearest
    face = ramp(gap, 0.7, 1.9)
    chip = sheet.noise(9, 5, 3) * 0.028 + sheet.noise(10, 60, 3) * 0.018
    pixels = stone[owner].astype(np.float32) * (1 + glare[owner] + chip)[..., None]
    dome = ramp(gap, 0.4, 4.2)
    bevel = np.clip((shifted(dome, 1, 1) - shifted(dome, -1, -1)) * sheet.scale * -0.4, -0.3, 0.28)
    pixels = pixels * (1 - bevel)[..., None]
    sparkle = ramp(nearest, 2.6, 0.6) * (shiny & (glare > 0.14))[owner]
    pixels = mix(pixels, (1.0, 0.97, 0.8), 0.5 * sparkle)
    grout = np.asarray((0.36, 0.33, 0.30), np.float32) * (1 + 0.12 * sheet.noise(11, 3, 2))[..., None]
    sheet.pixels = mix(grout, pixels, face)
    return sheet.finished(vignette=0.1)


def _fishes(sheet: Sheet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the mosaic shows [H, W, 3], the direction of its rows [H, W], and where it is gold [H, W]."""
    x, y = np.broadcast_arrays(sheet.columns, sheet.rows)
    bend = 17 * np.sin(x / 62 + 1.5 * np.sin(y / 120)) + 0.16 * x
    wave = np.sin((y + bend) / 15)
    picture = gradient(wave + 0.7 * (y - 384) / 384, [
        (-1.6, (0.78, 0.88, 0.84)), (-0.8, (0.30, 0.66, 0.70)), (0.1, (0.08, 0.42, 0.60)), (0.9, (0.04, 0.22, 0.50)),
        (1.7, (0.03, 0.10, 0.30)),
    ])  # fmt: skip
    angle = -np.arctan(17 / 62 * np.cos(x / 62 + 1.5 * np.sin(y / 120)) + 0.16)
    gold = np.zeros(sheet.shape, np.float32)
    for cx, cy, way, tints in (
        (560, 282, 1, ((0.74, 0.16, 0.10), (0.94, 0.52, 0.14), (0.98, 0.86, 0.56))),
        (450, 512, -1, ((0.80, 0.36, 0.06), (0.95, 0.72, 0.16), (1.0, 0.94, 0.78))),
    ):
        u, v = (x - cx) * way / 230, (y - cy - 26 * np.sin((x - cx) / 110)) / 88  # along and across the body
        half = np.sqrt(np.clip(1 - u**2, 0, 1)) * (1 - 0.36 * (u < 0) * u**2) * (u < 0.97)
        body = ramp(half - np.abs(v), -0.02, 0.03) * (u > -0.93)
        t = np.clip((-u - 0.80) / 0.56, 0, 1)
        tail = ramp(0.17 + 0.95 * t**0.8 - np.abs(v), 0, 0.05) * ramp(np.abs(v) - 1.1 * (t - 0.5), -0.05, 0.05)
        tail = tail * (u < -0.8) * (u > -1.36)
        back = 1.0 + 0.62 * np.clip(np.sin((u + 0.62) / 1.05 * np.pi), 0, 1) ** 0.6 - 0.2 * u
        belly = (0.9 + 0.7 * (0.12 - u)) * ((u > -0.34) & (u < 0.16))
        fin = ramp(np.where(v < 0, back * ((u > -0.6) & (u < 0.42)), belly) - np.abs(v), 0, 0.06) * (
            np.abs(v) > half - 0.04
        )
        for part, stripes in ((fin, np.sin((u + 0.25) * 34 + v * 3)), (tail, np.sin(np.arctan2(v, -u - 0.5) * 30))):
            picture = mix(picture, mix(tints[0], tints[2], ramp(stripes, -0.3, 0.5)), part)
            angle = np.where(part > 0.5, np.pi / 2 + 0.4 * v, angle)
        row = np.floor(u * 9)
        scale = np.hypot((u * 9) % 1 - 0.15, (v * 4.2 + 0.5 * row) % 1 - 0.5)
        skin = gradient(v + 0.15, [(-1, tints[0]), (-0.1, tints[1]), (0.8, tints[2])])
        skin = mix(skin, tints[0], 0.85 * ramp(scale, 0.55, 0.75))
        skin = mix(skin, tints[1], ramp(u, 0.5, 0.56))
        skin = mix(skin, (0.30, 0.05, 0.07), ramp(np.abs(u - 0.53 - 0.09 * np.cos(v * 3)), 0.035, 0.015))
        rim = ramp(half - np.abs(v), 0.11, 0.04)
        picture = mix(picture, mix(skin, (0.22, 0.04, 0.08), rim), body)
        angle = np.where(body > 0.5, np.arctan(26 / 110 * np.cos((x - cx) / 110) - 0.4 * u * v * way), angle)
        gold = np.maximum(gold, body * (1 - rim) * ramp(v, 0.2, -0.1))
        eye = np.hypot((u - 0.73) * 230, (v + 0.22) * 88)
        for radius, tint in ((21, (0.16, 0.03, 0.06)), (16, (0.99, 0.95, 0.85)), (8.5, (0.04, 0.04, 0.10))):
            picture = mix(picture, tint, ramp(eye, radius + 1, radius - 1))
    inset = np.minimum(np.minimum(x, 1024 - x), np.minimum(y, 768 - y))
    along = np.where(np.minimum(x, 1024 - x) < np.minimum(y, 768 - y), y - 384, x - 512)
    saw = np.abs((along / 62 + 0.5) % 1 - 0.5) * 2  # triangles, point to point, with a disc in each
    border = mix((0.76, 0.22, 0.13), (0.09, 0.12, 0.30), ramp(saw - (inset - 13) / 62, -0.03, 0.03))
    gilt = ramp(np.hypot(((along / 62 + 0.5) % 1 - 0.5) * 62, inset - 25), 13.5, 12)
    border = mix(border, (0.95, 0.72, 0.20), gilt)
    for low, high, tint in ((0, 11, (0.92, 0.88, 0.78)), (77, 86, (0.92, 0.88, 0.78)), (86, 95, (0.62, 0.14, 0.12))):
        border = mix(border, tint, ramp(inset, low - 0.5, low + 0.5) * ramp(inset, high + 0.5, high - 0.5))
    framed = ramp(inset, 95.5, 94.5)
    gold = gold * (1 - framed) + framed * gilt
    return mix(picture, border, framed), np.where(framed > 0.5, 0, angle), gold
