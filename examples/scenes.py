"""The two photographs: old town houses by a river, and a mountain lake."""

from __future__ import annotations

import numpy as np
from sheet import Sheet, blur, gradient, mix, ramp, shifted
from things import LEAVES, PLAIN, PLASTER, ROOF, STONE, boat, bush, church, flowers, house, hut, pine, willow


def townhouses(longest_side: int = 1024) -> np.ndarray:
    """Gabled houses, a church and willows above a river with their reflections; float32 [H, W, 3] in [0, 1]."""
    sheet = Sheet(longest_side, 768)
    rng = np.random.default_rng(7)
    water = 590.0
    sheet.pixels = _sky(sheet, 11, horizon=420, top=(0.24, 0.46, 0.78), low=(0.86, 0.9, 0.93), cover=0.1)
    far = np.linspace(-20, 1044, 60)
    hill = 300 - 46 * np.sin((far + 120) / 250) - 30 * np.sin(far / 97) + rng.normal(0, 2, 60)
    sheet.polygon([*zip(far, hill, strict=True), (1044, 500), (-20, 500)], (0.45, 0.55, 0.5), PLAIN)
    for _ in range(90):
        x = rng.uniform(-20, 1044)
        y = np.interp(x, far, hill) + 40 * rng.random() ** 2
        bush(sheet, rng, x, y, rng.uniform(18, 34), rng.uniform(12, 20), (0.42, 0.54, 0.45), 260)
    church(sheet, 318)
    facades = [
        (0.91, 0.76, 0.42), (0.82, 0.49, 0.40), (0.93, 0.89, 0.78), (0.60, 0.70, 0.74), (0.88, 0.64, 0.36),
        (0.94, 0.84, 0.62), (0.72, 0.40, 0.34), (0.75, 0.79, 0.66), (0.95, 0.92, 0.86), (0.87, 0.70, 0.55),
    ]  # fmt: skip
    shutters = [(0.20, 0.36, 0.28), (0.42, 0.20, 0.15), (0.22, 0.33, 0.47), (0.33, 0.40, 0.24), (0.45, 0.32, 0.2)]
    x = -34.0
    for number, facade in enumerate(facades):
        width = rng.uniform(92, 128)
        house(sheet, rng, x, width, rng.uniform(262, 316), 520, facade, shutters[number * 3 % 5], number)
        x += width - 1
    sheet.box(-5, 510, 1034, water - 510, (0.60, 0.56, 0.50), STONE)
    sheet.box(-5, 507, 1034, 6, (0.74, 0.70, 0.63), STONE)
    for x, top, spread in ((64, 396, 74), (545, 430, 58), (880, 380, 84), (990, 440, 60)):
        willow(sheet, rng, x, top, spread, 560)
    for _ in range(26):
        bush(sheet, rng, rng.uniform(0, 1024), rng.uniform(500, 520), rng.uniform(10, 24), 9, (0.3, 0.44, 0.18), 300)
    for x in rng.uniform(0, 1024, 9):
        bush(sheet, rng, x, rng.uniform(535, 560), rng.uniform(12, 26), rng.uniform(14, 26), (0.26, 0.4, 0.16), 420)
    pixels = _textured(sheet, light=(-0.9, -0.4))
    haze = ramp(sheet.rows, 470, 250) * np.isin(np.asarray(sheet.materials), (PLAIN, LEAVES))
    pixels = mix(pixels, (0.80, 0.86, 0.92), 0.35 * haze)
    sheet.pixels = _reflected(sheet, pixels, water, tint=(0.20, 0.27, 0.22), seed=21, clear=0.76)
    for x, y, length, colour in ((250, 640, 150, (0.30, 0.19, 0.12)), (640, 690, 210, (0.17, 0.30, 0.34))):
        boat(sheet, rng, x, y, length, colour)
    warm = ramp(sheet.rows + 0.35 * sheet.columns, 900, 100)
    sheet.pixels = sheet.pixels * mix((0.97, 0.98, 1.03), (1.06, 1.02, 0.94), warm)
    return sheet.finished(vignette=0.18, grain=0.006)


def landscape(longest_side: int = 1024) -> np.ndarray:
    """Snowy peaks, woods and a hut above a lake, with a flowering meadow; float32 [H, W, 3] in [0, 1]."""
    sheet = Sheet(longest_side, 704)
    rng = np.random.default_rng(5)
    shore = 452.0
    pixels = _sky(sheet, 31, horizon=400, top=(0.16, 0.38, 0.74), low=(0.93, 0.84, 0.74), cover=0.0)
    pixels = _range(sheet, pixels, 41, peaks=[(60, 250), (240, 190), (430, 262), (1000, 180)], haze=0.62)
    pixels = _range(sheet, pixels, 42, peaks=[(150, 330), (520, 120), (640, 60), (760, 132), (1010, 300)], haze=0.2)
    for layer, (base, rise, haze) in enumerate(((372, 40, 0.42), (408, 30, 0.2), (432, 20, 0.05))):
        ridge = base - rise * np.abs(np.sin(sheet.columns / (170 - 30 * layer) + 1.7 * layer)) ** 0.7
        crown = np.abs((sheet.columns / (5.5 + layer) + sheet.noise(50 + layer, 14, 2)[:1] * 0.4) % 1 - 0.5)
        edge = ridge + crown * (18 + 5 * layer) + 3 * sheet.noise(60 + layer, 7, 2)
        wood = mix((0.05, 0.15, 0.12), (0.2, 0.33, 0.17), ramp(sheet.noise(70 + layer, 9, 4, fade=0.8), -1.2, 2))
        pixels = mix(pixels, mix(wood, (0.70, 0.76, 0.84), haze), ramp(sheet.rows - edge, -0.6, 0.6))
    sheet.pixels = pixels
    meadow = [(600, 470), (660, 440), (760, 425), (880, 408), (1034, 398), (1034, 480)]
    green = mix((0.26, 0.40, 0.10), (0.58, 0.64, 0.24), ramp(sheet.noise(88, 26, 6, stretch=3, fade=0.7), -1.5, 1.8))
    sheet.pixels = mix(sheet.pixels, green, sheet.mask(meadow, 0.8))
    hut(sheet, 800, 428, 1.15)
    hut(sheet, 925, 412, 0.72)
    for x in (672, 686, 705, 716, 748, 868, 880, 892, 965, 984, 1001, 1018):
        pine(sheet, rng, x, 446 - 0.1 * (x - 640) + rng.uniform(-5, 8), rng.uniform(45, 90))
    for x in rng.uniform(-10, 500, 30):
        pine(sheet, rng, x, 455 + rng.uniform(-4, 2), rng.uniform(20, 44))
    pixels = _textured(sheet, light=(-0.8, -0.6))
    pixels = _reflected(sheet, pixels, shore, tint=(0.10, 0.23, 0.30), seed=81, clear=0.86)
    bank = shore + 128 + 70 * ((sheet.columns - 560) / 560) ** 2 * np.sign(560 - sheet.columns) * -0.6
    bank = bank + 7 * sheet.noise(90, 60, 4)
    ground = ramp(sheet.rows - bank, -1, 1)
    blades = sheet.noise(92, 9, 4, stretch=0.22, fade=0.7)
    grass = gradient(
        blades + sheet.noise(91, 80, 3) * 0.7 + (sheet.rows - 620) / 130,
        [(-3, (0.07, 0.15, 0.04)), (-0.5, (0.2, 0.36, 0.08)), (1, (0.42, 0.55, 0.14)), (3, (0.76, 0.76, 0.34))],
    )
    sheet.pixels = mix(pixels, grass, ground)
    flowers(sheet, rng, bank)
    for x, y, height in ((52, 706, 480), (140, 700, 330), (975, 716, 400), (-6, 700, 300)):
        pine(sheet, rng, x, y, height)
    glow = np.exp(-(((sheet.columns - 230) / 420) ** 2) - ((sheet.rows - 300) / 260) ** 2)
    sheet.pixels = mix(sheet.pixels, (1.0, 0.86, 0.66), 0.16 * glow)
    return sheet.finished(vignette=0.2, grain=0.006)


def _sky(sheet: Sheet, seed: int, horizon: float, top, low, cover: float) -> np.ndarray:
    """A blue gradient with clouds that are lit from the upper left."""
    height = np.broadcast_to(sheet.rows / horizon, sheet.shape)
    pixels = gradient(height, [(0, top), (0.55, np.add(top, low) / 2), (1, low)])
    cloud = sheet.noise(seed, 150, 8, stretch=2.2, fade=0.5) - 0.5 + cover + 0.5 * height
    thick = ramp(cloud, 0.05, 1.7) ** 0.8 * ramp(height, 1.5, 0.4)
    soft = blur(cloud, 3 * sheet.scale)
    lit = ramp(shifted(soft, -9 * sheet.scale, -12 * sheet.scale) - soft, 0.75, -0.55)
    white = mix((0.70, 0.74, 0.82), (1.0, 0.985, 0.96), lit)
    return mix(pixels, white, 0.95 * thick)


def _range(sheet: Sheet, pixels: np.ndarray, seed: int, peaks: list[tuple[float, float]], haze: float) -> np.ndarray:
    """A mountain range: ridges that fan out from each peak, lit from the left, snow above, haze below."""
    x, y = np.broadcast_arrays(sheet.columns, sheet.rows)
    skyline, owner = np.full(sheet.shape[1], 420.0, np.float32), np.zeros(sheet.shape[1], int)
    for number, (centre, top) in enumerate(peaks):
        flank = top + 0.80 * np.abs(sheet.columns[0] - centre) ** 0.985
        owner = np.where(flank < skyline, number, owner)
        skyline = np.minimum(skyline, flank)
    skyline = skyline + 10 * sheet.noise(seed, 60, 6, fade=0.6)[0]
    centres, tops = np.array(peaks, np.float32).T
    bend = 20 * sheet.noise(seed + 1, 110, 4) + 7 * sheet.noise(seed + 2, 24, 5, fade=0.6)
    owner = owner[np.clip((x + 0.9 * bend) * sheet.scale, 0, sheet.shape[1] - 1).astype(int)]  # [H, W]
    down = np.clip(y - tops[owner], 0, None) + 26
    fan = (x - centres[owner] + bend) / down**0.8 * 20  # the same along a ridge's way down
    wander = down * 0.9 + 37 * owner
    texture = sheet.noise(seed + 3, 54, 6, stretch=0.4, fade=0.58)
    rows = (wander * sheet.scale * 0.5).astype(int) % sheet.shape[0]
    columns = ((fan + 512 + 90 * owner) * sheet.scale).astype(int) % sheet.shape[1]
    ridges = -np.abs(texture[rows, columns]) + 0.22 * sheet.noise(seed + 4, 22, 5, fade=0.62)
    slope = sum(shifted(ridges, -d * sheet.scale, 0) - shifted(ridges, d * sheet.scale, 0) for d in (1, 3, 8))
    side = np.tanh((centres[owner] - x + 0.8 * bend) / 26) * np.exp(-np.abs(x - centres[owner]) / 170)
    light = ramp(slope + 1.1 * side, -1.9, 1.7)
    rock = gradient(light, [(0, (0.13, 0.16, 0.25)), (0.5, (0.37, 0.34, 0.36)), (1, (0.72, 0.61, 0.52))])
    snow = gradient(light, [(0, (0.33, 0.44, 0.68)), (0.45, (0.66, 0.75, 0.90)), (1, (1.0, 0.97, 0.90))])
    steep = 0.7 * np.abs(slope) + 0.32 * sheet.noise(seed + 5, 26, 5, fade=0.65)
    snowy = ramp((262 - y) / 80 + 1.0 - 0.75 * steep + 0.4 * ridges, -0.2, 0.3)
    body = mix(mix(rock, snow, snowy), (0.72, 0.78, 0.88), np.clip(haze + 0.45 * ramp(y, 240, 430), 0, 1))
    return mix(pixels, body, ramp(y - skyline[None], -0.7, 0.7))


def _textured(sheet: Sheet, light: tuple[float, float]) -> np.ndarray:
    """The sheet's colours with each material's grain, tiles or stones, and soft shadows inside of the outlines."""
    pixels, material = sheet.pixels, np.asarray(sheet.materials)
    x, y = np.broadcast_arrays(sheet.columns, sheet.rows)
    stain = 0.05 * sheet.noise(1, 60, 6, stretch=0.6) + 0.03 * sheet.noise(2, 4, 2)
    row = np.floor(y / 4.2)
    tile = np.floor(x / 4.6 + 0.5 * (row % 2))
    tone = np.modf(np.sin(row * 12.99 + tile * 78.23) * 43758.5)[0] * 0.5
    tiles = 0.18 * tone - 0.26 * ((y / 4.2) % 1) ** 3 + 0.10 * sheet.noise(3, 40, 4)
    course = np.floor(y / 11)
    block = x / 25 + 0.37 * course + 0.2 * np.sin(course * 5)
    joint = np.minimum((y / 11) % 1, (block % 1) * 2.2)
    stones = 0.3 * np.modf(np.sin(course * 3.7 + np.floor(block) * 9.1) * 951.3)[0] - 0.4 * ramp(joint, 0.16, 0.04)
    stones = stones + 0.10 * sheet.noise(4, 12, 4)
    for kind, change in ((PLASTER, stain), (ROOF, tiles), (STONE, stones)):
        pixels = pixels * (1 + np.where(material == kind, change, 0))[..., None]
    built = np.isin(material, (PLASTER, ROOF, STONE)).astype(np.float32)
    cover = np.isin(material, (ROOF, LEAVES)).astype(np.float32)  # these throw soft shadows to the lower right
    shift = (round(-9 * light[1] * sheet.scale), round(-7 * light[0] * sheet.scale))
    shadow = np.roll(blur(cover, 5 * sheet.scale), shift, (0, 1)) * (material == PLASTER)
    return np.clip(pixels * (1 - 0.5 * shadow - 0.06 * built * ramp(y, 380, 560))[..., None], 0, 1)


def _reflected(sheet: Sheet, pixels: np.ndarray, level: float, tint, seed: int, clear: float) -> np.ndarray:
    """Water below ``level``: what stands above it, mirrored, shaken by ripples that grow towards the viewer."""
    x, y = np.broadcast_arrays(sheet.columns, sheet.rows)
    depth = np.clip(y - level, 0, None)
    far = ramp(depth, 0, 150)
    ripple = sheet.noise(seed, 7, 3, stretch=9, fade=0.6) * (1 - far) + sheet.noise(seed + 1, 17, 4, stretch=6) * far
    source_y = level - depth * 1.06 - 2 + ripple * (2 + 0.09 * depth)
    source_x = x + ripple * (1 + 0.035 * depth)
    rows = np.clip((source_y * sheet.scale).astype(int), 0, round((level - 1) * sheet.scale))
    columns = np.clip((source_x * sheet.scale).astype(int), 0, sheet.shape[1] - 1)
    mirrored = mix(blur(pixels, 2.5 * sheet.scale), pixels, 0.45)[rows, columns]
    strength = clear - 0.22 * ramp(depth, 0, 260) - 0.14 * ramp(ripple, -0.2, 1.8)
    surface = mix(np.broadcast_to(np.asarray(tint, np.float32), mirrored.shape), mirrored, strength)
    glint = ramp(ripple, 1.0, 2.4) * ramp(depth, 4, 60)
    surface = mix(surface, (0.86, 0.91, 0.95), 0.42 * glint)
    surface = surface * (1 - 0.45 * ramp(depth, 9, 0))[..., None]
    return mix(pixels, surface, ramp(y - level, -0.5, 0.5))
