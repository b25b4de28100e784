"""What the drawings share: a sheet to draw on in units, fractal noise, blends and finishing.

Colours are RGB triples in [0, 1]; fields are float32 [H, W]; units are 1/1024 of the sheet's width, x to the right and
y down. A sheet is drawn at twice its final size, which smooths every edge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

OVERSAMPLING = 2
Colour = Sequence[float] | np.ndarray
Points = Sequence[tuple[float, float]] | np.ndarray


class Sheet:
    """A picture being drawn, and beside it a map of materials (whole numbers) for textures put on later."""

    def __init__(self, longest_side: int, height: float = 768) -> None:
        self.scale = longest_side * OVERSAMPLING / 1024
        self.shape = (round(height * self.scale), round(1024 * self.scale))
        self.image = Image.new("RGB", self.shape[::-1])
        self.materials = Image.new("L", self.shape[::-1])
        self.rows = (np.arange(self.shape[0], dtype=np.float32)[:, None] + 0.5) / self.scale
        self.columns = (np.arange(self.shape[1], dtype=np.float32)[None] + 0.5) / self.scale

    @property
    def pixels(self) -> np.ndarray:
        """float32 [H, W, 3] in [0, 1]."""
        return np.asarray(self.image, np.float32) / 255

    @pixels.setter
    def pixels(self, value: np.ndarray) -> None:
        self.image = Image.fromarray((np.clip(value, 0, 1) * 255 + 0.5).astype(np.uint8))

    def polygon(self, points: Points, colour: Colour, material: int = 0) -> None:
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        ImageDraw.Draw(self.image).polygon(scaled, fill=bytes3(colour))
        ImageDraw.Draw(self.materials).polygon(scaled, fill=material)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour, material: int = 0) -> None:
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        self.polygon(corners, colour, material)

    def line(self, points: Points, colour: Colour, width: float, material: int = 0) -> None:
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        thick = max(1, round(width * self.scale))
        ImageDraw.Draw(self.image).line(scaled, fill=bytes3(colour), width=thick, joint="curve")
        ImageDraw.Draw(self.materials).line(scaled, fill=material, width=thick)

    def dabs(self, centres: np.ndarray, radii: np.ndarray, colours: np.ndarray, material: int = 0) -> None:
        """Small ellipses, in order: centres [N, 2], radii [N, 2] in units, colours [N, 3]."""
        low, high = (centres - radii) * self.scale, (centres + radii) * self.scale
        draw, mark = ImageDraw.Draw(self.image), ImageDraw.Draw(self.materials)
        fills = (np.clip(colours, 0, 1) * 255).astype(int)
        for (x0, y0), (x1, y1), (r, g, b) in zip(low.tolist(), high.tolist(), fills.tolist(), strict=True):
            draw.ellipse((x0, y0, x1, y1), fill=(r, g, b))
            mark.ellipse((x0, y0, x1, y1), fill=material)

    def mask(self, points: Points, blur: float = 0) -> np.ndarray:
        """Field: 1 inside a polygon, 0 outside, its edge softened by ``blur`` units."""
        mask = Image.new("L", self.shape[::-1])
        ImageDraw.Draw(mask).polygon([(x * self.scale, y * self.scale) for x, y in points], fill=255)
        return np.asarray(mask.filter(ImageFilter.GaussianBlur(blur * self.scale)), np.float32) / 255

    def noise(self, seed: int, cell: float, octaves: int = 5, stretch: float = 1, fade: float = 0.5) -> np.ndarray:
        """Fractal value noise, mean 0 and deviation 1: the largest features ``cell`` units high, ``stretch`` wider."""
        rng = np.random.default_rng(seed)
        total = np.zeros(self.shape, np.float32)
        for octave in range(octaves):
            size = max(cell * self.scale / 2**octave, 1.0)
            rows, columns = (int(n / size / wide) + 4 for n, wide in zip(self.shape, (1, stretch), strict=True))
            grid = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
            box = (1.0, 1.0, 1 + self.shape[1] / size / stretch, 1 + self.shape[0] / size)
            total += fade**octave * np.asarray(grid.resize(self.shape[::-1], Image.Resampling.BICUBIC, box=box))
        return (total - total.mean()) / (total.std() + 1e-6)

    def at(self, field: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The field's values at points [N, 2] in units; outside, those of the edge."""
        columns = np.clip((points[:, 0] * self.scale).astype(int), 0, self.shape[1] - 1)
        rows = np.clip((points[:, 1] * self.scale).astype(int), 0, self.shape[0] - 1)
        return field[rows, columns]

    def finished(self, vignette: float = 0.0, grain: float = 0.0, seed: int = 0) -> np.ndarray:
        """float32 [H, W, 3] in [0, 1] at the final size."""
        pixels = self.pixels
        x, y = self.columns / 512 - 1, self.rows / (self.rows[-1] / 2) - 1
        pixels = pixels * (1 - vignette * (x**2 + y**2) / 2)[..., None]
        size = (self.shape[1] // OVERSAMPLING, self.shape[0] // OVERSAMPLING)
        planes = [Image.fromarray(pixels[..., c]).resize(size, Image.Resampling.LANCZOS) for c in range(3)]
        result = np.stack([np.asarray(plane) for plane in planes], axis=-1)
        result += grain * np.random.default_rng(seed).standard_normal(result.shape[:2])[..., None]
        return np.clip(result, 0, 1).astype(np.float32)


def bytes3(colour: Colour) -> tuple[int, int, int]:
    """A colour as Pillow wants it."""
    red, green, blue = (np.clip(np.asarray(colour), 0, 1) * 255 + 0.5).astype(int).tolist()
    return red, green, blue


def mix(first: np.ndarray | Colour, second: np.ndarray | Colour, share: np.ndarray | float) -> np.ndarray:
    """``first`` where ``share`` is 0, ``second`` where it is 1; a field of shares is spread over the colours."""
    share = np.asarray(share, np.float32)
    if share.ndim == 2:
        share = share[..., None]
    return np.asarray(first, np.float32) * (1 - share) + np.asarray(second, np.float32) * share


def ramp(field: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def gradient(field: np.ndarray, stops: Sequence[tuple[float, Colour]]) -> np.ndarray:
    """[H, W, 3]: colours interpolated between stops (place, colour) in rising order."""
    places = [place for place, _ in stops]
    return np.stack([np.interp(field, places, [c[i] for _, c in stops]) for i in range(3)], -1).astype(np.float32)


def blur(field: np.ndarray, radius: float) -> np.ndarray:
    """A field [H, W] or picture [H, W, 3], softened by a Gaussian of ``radius`` pixels (done at reduced size)."""
    if field.ndim == 3:
        return np.stack([blur(field[..., c], radius) for c in range(field.shape[2])], axis=-1)
    height, width = field.shape
    step = max(1, int(radius / 2))
    small = Image.fromarray(field.astype(np.float32)).resize((max(1, width // step), max(1, height // step)))
    for _ in range(2):  # Pillow blurs 8-bit pictures only: two tents make a bell
        reduced = (max(1, small.width // 2), max(1, small.height // 2))
        small = small.resize(reduced, Image.Resampling.BOX).resize(small.size, Image.Resampling.BICUBIC)
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def shifted(field: np.ndarray, right: float, down: float) -> np.ndarray:
    """The field moved by whole pixels; what comes in at the edges repeats them."""
    rows = np.clip(np.arange(field.shape[0]) - round(down), 0, field.shape[0] - 1)
    columns = np.clip(np.arange(field.shape[1]) - round(right), 0, field.shape[1] - 1)
    return field[rows][:, columns]
