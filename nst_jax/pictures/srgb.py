"""From a picture's own colours to sRGB: ICC profiles, PNG's gAMA and cHRM, code points (cICP, nclx), Lab, inks."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageCms

from nst_jax.pictures.kinds import reason

Space = Literal["grey", "rgb", "cmyk"]
Convert = Callable[[np.ndarray], np.ndarray]
D65, D50 = (0.3127, 0.3290), (0.34567, 0.35850)
#: x and y of red, green, blue and white
BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65)
#: Primaries of ITU-T H.273 that differ from sRGB's, by their code points.
PRIMARIES = {
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65),
}
#: Transfers that differ from sRGB's: decoding exponents. BT.709's own (1, 6, 14, 15) is what screens show as sRGB.
EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}
HDR = {16: "PQ", 18: "HLG"}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class Encoding(NamedTuple):
    """What the samples of an RGB or grey picture without a profile stand for.

    Attributes:
      primaries: x and y of red, green, blue and white.
      exponent: of decoding, 1 for linear light; None for sRGB's curve.
    """

    primaries: tuple[float, ...] = BT709
    exponent: float | None = None


def encoding_of(primaries: int, transfer: int, notes: list[str]) -> Encoding | None:
    """From the code points of ITU-T H.273; None for what is taken as sRGB, with a note where that is not the same."""
    if transfer in HDR:
        notes.append(f"it is an HDR picture ({HDR[transfer]}); its brightness is taken as sRGB's")
    if primaries not in PRIMARIES and transfer not in EXPONENTS:
        return None
    return Encoding(PRIMARIES.get(primaries, BT709), EXPONENTS.get(transfer))


def converter(space: Space, profile: bytes | None, encoding: Encoding | None, notes: list[str]) -> Convert:
    """What makes sRGB of a picture's colour [..., C] (uint8, uint16, or float32 in [0, 1]): [..., 1 or 3] alike.

    Profiles: relative colorimetric with black point compensation, as browsers do. A broken profile, or one for other
    channels than the picture's, is left out with a note in ``notes``.
    """
    if profile:
        try:
            return _through_profile(space, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            notes.append(f"its colour profile cannot be used ({reason(error)}); taken without it")
    if space == "cmyk":
        return lambda inks: (1 - unit(inks[..., :3])) * (1 - unit(inks[..., 3:]))
    return (lambda colour: decoded(unit(colour), encoding)) if encoding else (lambda colour: colour)


def _through_profile(space: Space, profile: bytes) -> Convert:
    """``converter`` of an ICC profile; raises what ImageCms raises, and ValueError for one of other channels."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(source.profile.xcolor_space, "")
    wanted = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[space]
    if mode != wanted and (mode, wanted) != ("RGB", "L"):
        raise ValueError(f"it is made for {source.profile.xcolor_space.strip()}, the picture is {wanted}")
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )

    def applied(colour: np.ndarray) -> np.ndarray:
        eight = colour if colour.dtype == np.uint8 else np.rint(unit(colour) * 255).astype(np.uint8)
        image = Image.frombytes(mode, eight.shape[1::-1], eight.tobytes())
        changed: np.ndarray = np.array(ImageCms.applyTransform(image, transform))
        return changed

    if mode == "RGB":
        steps = np.linspace(0, 255, 9).round().astype(np.uint8)
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
        if np.abs(applied(lattice).astype(int) - lattice).max() <= 1:
            return lambda colour: colour  # sRGB already
    if space != "grey":
        return applied
    ramp = np.arange(256, dtype=np.uint8)[None, :, None]
    curves, at = unit(applied(ramp if mode == "L" else ramp.repeat(3, -1))[0]), np.linspace(0, 1, 256)

    def curved(grey: np.ndarray) -> np.ndarray:
        """With all the bits of the grey."""
        level = unit(grey[..., 0])
        return np.stack([np.interp(level, at, curves[:, c]).astype(np.float32) for c in range(3)], axis=-1)

    return curved


def decoded(colour: np.ndarray, encoding: Encoding) -> np.ndarray:
    """float32 [..., 1 or 3] in [0, 1] of an encoding → sRGB float32, clipped; grey has a curve alone."""
    power = encoding.exponent
    linear = _linear(colour) if power is None else colour**power
    if colour.shape[-1] == 3 and encoding.primaries != BT709:
        linear = linear @ (np.linalg.inv(_to_xyz(BT709)) @ _to_xyz(encoding.primaries)).T
    return _encoded(linear)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """L* in [0, 100], a*, b* of D50, [..., 3] → sRGB float32 in [0, 1], clipped."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _white(D50)
    return _encoded(xyz @ (np.linalg.inv(_to_xyz(BT709)) @ _adapted(D50)).T)


def _white(xy: tuple[float, ...]) -> np.ndarray:
    """X, Y and Z of a white's x and y."""
    return np.array([xy[0], xy[1], 1 - xy[0] - xy[1]]) / xy[1]


def _adapted(white: tuple[float, ...]) -> np.ndarray:
    """The matrix that makes a white that of D65 (Bradford)."""
    gains = (_BRADFORD @ _white(D65)) / (_BRADFORD @ _white(white))
    adapted: np.ndarray = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD
    return adapted


def _to_xyz(primaries: tuple[float, ...]) -> np.ndarray:
    """The matrix from linear RGB to XYZ with D65 as white."""
    columns = np.stack([_white(primaries[at : at + 2]) for at in (0, 2, 4)], axis=-1)
    matrix: np.ndarray = _adapted(primaries[6:]) @ (columns * np.linalg.solve(columns, _white(primaries[6:])))
    return matrix


def _linear(colour: np.ndarray) -> np.ndarray:
    """sRGB's curve undone (IEC 61966-2-1)."""
    light: np.ndarray = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return light


def _encoded(linear: np.ndarray) -> np.ndarray:
    """Linear light as sRGB, float32, clipped to [0, 1]."""
    clipped = np.clip(linear, 0, 1)
    curve: np.ndarray = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return curve.astype(np.float32)


def unit(plane: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float → float32 in [0, 1]."""
    if np.issubdtype(plane.dtype, np.integer):
        return plane.astype(np.float32) / np.float32(np.iinfo(plane.dtype).max)
    return plane.astype(np.float32)
