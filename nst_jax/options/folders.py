"""The pictures in a folder, and which the styles of a run are: a folder stands for those in it. Plain Python."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from nst_jax.choices import flag
from nst_jax.errors import NSTError
from nst_jax.options.config import Config

#: What the pictures of a folder are known by.
EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif", ".jp2", ".j2k",
    ".tga", ".ppm", ".qoi",
)  # fmt: skip


AnyConfig = TypeVar("AnyConfig", bound=Config)


def expand(styles: Sequence[Any], config: AnyConfig, *, mixed: bool = True) -> tuple[list[Any], AnyConfig]:
    """Folders among ``styles`` replaced by their pictures, and the options that then hold for each picture.

    A number of ``style_scale`` is that of all pictures of its folder, a weight of ``style_blend`` is shared by them;
    without weights a folder counts as much as a picture, unless each picture has a region of its own. ``mixed`` says
    whether the styles go into one result; in a sweep each makes its own. What is already expanded stays as it is.

    Raises NSTError for a folder without pictures and for another number of scales or weights than of paintings.
    """
    if config.style_blend and not mixed:
        raise NSTError("--style-blend mixes paintings in one picture, and a sweep makes one of each: leave it out")
    groups = [pictures_of(style) for style in styles]
    counts = [len(group) for group in groups]
    scale, blend = config.style_scale, config.style_blend
    if len(scale) > 1:
        scale = tuple(value for value, _ in _for_each("style_scale", scale, counts))
    if blend:
        blend = tuple(weight / share for weight, share in _for_each("style_blend", blend, counts))
    elif mixed and len(counts) > 1 and max(counts) > 1 and len(config.mask_colors or config.content_mask) <= 1:
        blend = tuple(1 / count for count in counts for _ in range(count))
    pictures = [picture for group in groups for picture in group]
    return pictures, dataclasses.replace(config, style_scale=scale, style_blend=blend)


def _for_each(option: str, values: Sequence[float], counts: Sequence[int]) -> list[tuple[float, int]]:
    """For each picture the value that is meant for it, and how many pictures share that; one for each also does."""
    if len(values) == len(counts):
        return [(value, count) for value, count in zip(values, counts, strict=True) for _ in range(count)]
    if len(values) == sum(counts):
        return [(value, 1) for value in values]
    paintings = f"{sum(counts)} paintings" if sum(counts) != 1 else "1 painting"
    raise NSTError(f"{flag(option)} has {len(values)} numbers for {paintings}: give one for each --style")


def pictures_of(style: Any) -> list[Any]:
    """The pictures in a folder, by name; anything else is taken for one picture. NSTError for a folder without any."""
    if not isinstance(style, str | os.PathLike) or not os.path.isdir(style):
        return [style]
    return list(pictures_in(style))


def pictures_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The files of a folder that are named as pictures and not hidden, by name.

    Raises NSTError for what is no folder, cannot be read, or has no pictures.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NSTError(f"{folder} is no folder: give one with pictures")
    try:
        named = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in EXTENSIONS and path.is_file()]
    except OSError as error:
        raise NSTError(f"cannot read the folder {folder}: {error.strerror or error}") from None
    found = [path for path in named if not path.name.startswith(".")]
    if not found:
        raise NSTError(f"{folder} is a folder without pictures: give one with {', '.join(EXTENSIONS)} files")
    return found
