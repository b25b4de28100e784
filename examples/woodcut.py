"""A woodcut in black, cream and red: a bay with a sun, pines and a boat, in lines that swell."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from sheet import Sheet, blur, mix, ramp, shifted


def woodcut(longest_side: int = 1024) -> np.ndarray:
    """A bay with a red sun, pines and a boat, cut in lines that swell; float32 [H, W, 3] in [0, 1]."""
    sheet = Sheet(longest_side, 768)
    tone, phase, red = _bay(sheet)
    wobble = 0.35 * sheet.noise(1, 26, 4) + 0.10 * sheet.noise(2, 5, 2)
    line = 0.5 + 0.5 * np.sin(phase + wobble)
    rough = 0.06 * sheet.noise(3, 3, 2)
    ink = ramp(1 - tone - line + rough, -0.10, 0.10)  # the darker, the wider the black between two cuts
    ink = np.where(tone < 0.04, 1.0, np.where(tone > 0.97, 0.0, ink)).astype(np.float32)
    grain = sheet.noise(4, 5, 3, stretch=26, fade=0.7)
    worn = ramp(grain + 0.5 * sheet.noise(5, 3, 2), 1.9, 2.6) + ramp(sheet.noise(6, 2.4, 1), 2.7, 3.2)
    ink = ink * (1 - 0.85 * np.clip(worn, 0, 1))
    fibres = 0.018 * sheet.noise(7, 3, 3, stretch=5) + 0.02 * sheet.noise(8, 140, 4)
    paper = np.asarray((0.935, 0.885, 0.765), np.float32) * (1 + fibres)[..., None]
    block = shifted(red, 3, -2) * (1 - 0.5 * ramp(grain, 0.7, 2.2)) * (0.93 + 0.05 * sheet.noise(9, 6, 3))
    pixels = mix(paper, paper * np.asarray((0.86, 0.22, 0.15), np.float32), np.clip(block, 0, 1))
    black = np.asarray((0.085, 0.075, 0.085), np.float32) * (1 + 0.18 * sheet.noise(10, 4, 3))[..., None]
    sheet.pixels = mix(pixels, black, 0.97 * ink)
    return sheet.finished()


def _bay(sheet: Sheet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The woodcut's tones [H, W] (0 black, 1 paper), its lines' phase [H, W] and where the red block prints [H, W]."""
    x, y = np.broadcast_arrays(sheet.columns, sheet.rows)
    sun_x, sun_y = 640.0, 262.0
    far, ray = np.hypot(x - sun_x, y - sun_y), np.arctan2(y - sun_y, x - sun_x)
    beams = 0.5 + 0.5 * np.cos(ray * 22 + 0.4 * np.sin(far / 40))
    tone = np.clip(0.42 + 0.5 * ramp(beams, 0.3, 0.7) - (far - 120) / 1500, 0.1, 0.9)
    phase = far / 2.0
    swirl = sheet.noise(20, 120, 3, stretch=2.6)
    cloud = ramp(swirl + (190 - y) / 260, 0.55, 0.75) * ramp(far, 120, 150)
    phase = np.where(cloud > 0.5, swirl * 26, phase)
    tone = np.where(cloud > 0.5, 0.60 + 0.35 * ramp(swirl + (190 - y) / 260, 0.8, 1.6), tone)
    tone = np.where((cloud > 0.12) & (cloud <= 0.5), 0.0, tone)
    sun = ramp(far, 99, 97)
    red = sun + 0.0 * y
    tone, phase = np.where(far < 100, 1.0, tone), np.where(far < 100, 0.0, phase)
    tone = np.where(np.abs(far - 103) < 3, 0.0, tone)
    for layer, peaks in enumerate(
        (((150, 262), (330, 318), (900, 250), (1040, 300)), ((40, 330), (480, 388), (800, 372)))
    ):
        skyline = np.full(sheet.shape[1], 470.0)
        owner = np.zeros(sheet.shape[1])
        for cx, top in peaks:
            flank = top + (0.75 + 0.1 * layer) * np.abs(sheet.columns[0] - cx) ** 0.97
            owner = np.where(flank < skyline, cx, owner)
            skyline = np.minimum(skyline, flank)
        skyline = skyline + 6 * sheet.noise(30 + layer, 40, 5)[0]
        inside = y > skyline[None]
        left = (x + 22 * np.sin(y / 23) + 10 * sheet.noise(33 + layer, 34, 3)) < owner[None]
        down = y - skyline[None]
        fall = np.where(left, x * 0.9 + y * 0.75, x * 0.9 - y * 0.75)
        tone = np.where(inside, np.where(left, 0.10 + 0.12 * layer, 0.62 + 0.3 * ramp(down, 140, 0)), tone)
        tone = np.where(
            inside & (down < 34 + 16 * np.sin(x / 8) + 9 * np.sin(x / 3.1)) & (layer == 0) & ~left, 0.99, tone
        )
        tone = np.where(np.abs(down) < 2.4, 0.0, tone)
        phase = np.where(inside, fall / (1.25 + 0.15 * layer), phase)
    level = 470.0
    depth = np.clip(y - level, 0, None)
    crest = y + (5 + 0.06 * depth) * np.sin(x / (26 + 0.25 * depth) + 2.2 * np.sin(y / 21)) + 4 * sheet.noise(40, 50, 2)
    stride = 2.2 + 0.012 * depth
    swell = np.sin(crest / (9 + 0.045 * depth))
    glitter = np.exp(-(((x - sun_x + 10 * np.sin(y / 6)) / (60 + 0.42 * depth)) ** 2))
    water = y > level
    tone = np.where(water, np.clip(0.36 + 0.28 * swell + 0.5 * glitter, 0.06, 0.985), tone)
    phase = np.where(water, crest * 2 * np.pi / (3.6 * stride), phase)
    red = np.maximum(red, water * ramp(swell, 0.10, 0.14) * ramp(glitter, 0.40, 0.43))
    tone = np.where(np.abs(y - level) < 1.8, 0.0, tone)
    hull = sheet.mask([(290, 546), (330, 556), (470, 556), (516, 538), (486, 590), (330, 590)])
    halo = blur(np.maximum(hull, sheet.mask([(396, 350), (420, 350), (420, 556), (396, 556)])), 4 * sheet.scale)
    tone = np.where(halo > 0.12, 1.0, tone)
    sails = (
        sheet.mask([(404, 548), (404, 396), (322, 536)]), sheet.mask([(412, 548), (412, 372), (498, 526)]),
    )  # fmt: skip
    for sail, lean in zip(sails, (1, -1), strict=True):
        rim = blur(sail, 2.2 * sheet.scale)
        tone = np.where(rim > 0.08, 0.0, tone)
        tone = np.where(sail > 0.5, np.where(rim > 0.9, 0.72 + 0.25 * ramp(lean * (x - 408), -70, 0), 0.0), tone)
        phase = np.where(sail > 0.5, (x + lean * 0.5 * y) / 1.3, phase)
    red = np.maximum(red * (blur(hull, 3) < 0.1), sails[1] * (blur(sails[1], 3 * sheet.scale) > 0.9))
    tone = np.where(hull > 0.5, np.where(np.abs((y - 566) % 11 - 5) < 1.1, 1.0, 0.0), tone)
    tone = np.where(sheet.mask([(406, 360), (410, 360), (410, 556), (406, 556)]) > 0.5, 0.0, tone)
    return _pines(sheet, tone, phase, red)


def _pines(
    sheet: Sheet, tone: np.ndarray, phase: np.ndarray, red: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rocks and wind-bent pines in front, and the frame."""
    x, y = np.broadcast_arrays(sheet.columns, sheet.rows)
    rng = np.random.default_rng(14)
    rock = 640 + 0.42 * np.abs(x - 60) ** 0.98 - 46 * np.exp(-(((x - 190) / 60) ** 2)) + 12 * sheet.noise(50, 46, 5)
    rock = np.minimum(rock, 700 + 0.8 * np.abs(x - 1000) + 10 * sheet.noise(51, 30, 4))
    crack = sheet.noise(52, 60, 4)
    stone = y > rock
    tone = np.where(stone, np.where(y - rock < 3, 0.0, np.clip(0.32 + 0.34 * crack, 0.03, 0.95)), tone)
    phase = np.where(stone, (x * 0.5 + y * 1.1 + 14 * crack) / 1.3, phase)
    red = red * ~stone
    canvas = Image.new("L", sheet.shape[::-1])
    trunk = ImageDraw.Draw(canvas)
    needles: list[tuple[float, float, float]] = []
    for base, lean, tall in (
        ((150.0, 640.0), 0.18, 470.0),
        ((76.0, 680.0), -0.12, 360.0),
        ((1000.0, 720.0), -0.24, 250.0),
    ):
        t = np.linspace(0, 1, 24)
        px = base[0] + lean * tall * t + 15 * np.sin(t * 6 + base[0])
        py = base[1] - tall * t
        for i in range(23):
            line = [px[i] * sheet.scale, py[i] * sheet.scale, px[i + 1] * sheet.scale, py[i + 1] * sheet.scale]
            trunk.line(line, fill=255, width=max(1, round((20 * (1 - t[i]) + 5) * tall / 470 * sheet.scale)))
        for at in np.linspace(0.42, 1.0, 8):
            side = 1 if rng.random() < 0.5 else -1
            reach = tall * (0.34 * (1.15 - at) + 0.06) * rng.uniform(0.8, 1.2)
            sx, sy = float(np.interp(at, t, px)), float(np.interp(at, t, py))
            ex, ey = sx + side * reach, sy - 0.18 * reach
            trunk.line(
                [sx * sheet.scale, sy * sheet.scale, ex * sheet.scale, ey * sheet.scale],
                fill=255,
                width=round(5 * sheet.scale),
            )
            for share in (0.55, 1.0):
                needles.append(
                    (sx + side * reach * share, sy - 0.2 * reach * share - 6, 0.1 * tall * rng.uniform(0.7, 1.1))
                )
    wood = np.asarray(canvas, np.float32) / 255
    tone = np.where(blur(wood, 2.5 * sheet.scale) > 0.05, 0.0, tone)
    bark = np.sin(x / 1.6 + 2 * np.sin(y / 9)) > 0.72
    tone = np.where((wood > 0.5) & bark & (blur(wood, 3 * sheet.scale) > 0.8), 1.0, tone)
    for cx, cy, radius in needles:
        dx, dy = (x - cx) / (1.7 * radius), (y - cy) / (0.62 * radius)
        far = np.hypot(dx, dy) + 0.06 * np.sin(np.arctan2(dy, dx) * 17)
        fan = np.arctan2(y - cy - 0.9 * radius, x - cx)
        cut = (np.sin(fan * 46) > 0.55) & (far < 0.9) & (far > 0.25) & (dy < 0.25)
        tone = np.where(far < 1.0, np.where(cut, 1.0, 0.0), tone)
        red = np.where(far < 1.0, 0.0, red)
    inset = np.minimum(np.minimum(x, 1024 - x), np.minimum(y, 768 - y)) + 1.2 * sheet.noise(53, 12, 3)
    tone = np.where(inset < 24, 1.0, np.where(inset < 31, 0.0, tone))
    return tone, phase, np.where(inset < 31, 0.0, red)
