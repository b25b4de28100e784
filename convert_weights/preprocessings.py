"""Which preprocessing a network expects, where its file does not say: known files, known filters, statistics.

Two families of VGG are stored under the same names. The Oxford filters (Caffe's) expect BGR, 0–255, minus a mean;
torchvision's, trained anew, expect RGB in [0, 1], minus a mean, divided by a deviation.

Why not by the filters' scale: it does not tell them apart. Oxford's conv1_1 of VGG-19 has a standard deviation of 0.19
and a maximum of 0.65, though its inputs are some 58 times larger; torchvision's conv1_1 lies in the same range (the
values that it prints reach 0.96 in VGG-19 and 1.07 in VGG-16). Oxford's deeper layers undo the factor.

The biases tell. To a response of order 100 (inputs of ±128) a bias of order 0.5 is nothing, and Oxford's conv1_1 keeps
them all on one side: in VGG-19 63 of 64 are positive, the least −0.012; in VGG-16 the same (the least of the first ten
−0.016). To a response of order 1 a bias is a threshold, and training puts it on either side: in torchvision's VGG-16 27
of 64 are negative, down to −1.33. So: at most a tenth negative is Oxford's; at least a fifth is torchvision's; between
them nothing is guessed. The real files of both families are known without it, by their first filter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nst_jax.errors import NSTError
from nst_jax.networks.weights import CAFFE, TORCHVISION, Preprocessing

#: Checked arrays, as those of ``Weights``.
Arrays = Mapping[str, Mapping[str, np.ndarray]]

#: The Oxford filters with their input channels turned round, as in MatConvNet.
CAFFE_RGB = Preprocessing("RGB", CAFFE.range, (123.68, 116.779, 103.939))
PREPROCESSINGS = {"caffe": CAFFE, "torchvision": TORCHVISION}

OXFORD_CREDIT = "Karen Simonyan and Andrew Zisserman, Visual Geometry Group, Oxford; CC BY 4.0"
TORCHVISION_CREDIT = "torchvision contributors; BSD-3-Clause"

#: The first digits of files' SHA-256, which these releases carry in their names.
KNOWN_FILES = {
    "dcbb9e9d": (TORCHVISION, "torchvision's vgg19-dcbb9e9d.pth"),
    "397923af": (TORCHVISION, "torchvision's vgg16-397923af.pth"),
    "88682ab5": (CAFFE_RGB, "torchvision's vgg16_features-amdegroot-88682ab5.pth"),
    "d01eb7cb": (CAFFE, "neural-style-pt's vgg19-d01eb7cb.pth"),
    "00b39a1b": (CAFFE, "neural-style-pt's vgg16-00b39a1b.pth"),
}
#: The upper three taps of the first filter of conv1_1 on its family's first input channel (blue; red in torchvision).
_FIRST_FILTERS = {
    "Oxford's VGG-19": (0.341195, 0.339992, -0.044844),
    "Oxford's VGG-16": (0.429471, 0.373467, -0.061360),
    "torchvision's VGG-19": (-0.053474, -0.049257, -0.067942),
    "torchvision's VGG-16": (-0.5537, 0.1427, 0.5290),
}
_TOLERANCE = 1e-4  # torchvision's VGG-16 is known to four digits
_OXFORD_NEGATIVE, _TORCHVISION_NEGATIVE = 0.1, 0.2


def first_filter(arrays: Arrays) -> tuple[str, Preprocessing] | None:
    """Whose filters these are, as told by the first filter of conv1_1 [3, 3, 3, O]; None where it is not known."""
    kernel = arrays["conv1_1"]["kernel"]
    for name, taps in _FIRST_FILTERS.items():
        for channel in (0, 2):
            if np.allclose(kernel[0, :, channel, 0], taps, rtol=0, atol=_TOLERANCE):
                if name.startswith("Oxford"):
                    return name, CAFFE if channel == 0 else CAFFE_RGB
                if channel == 0:
                    return name, TORCHVISION
    return None


def suits(arrays: Arrays, preprocessing: Preprocessing) -> bool:
    """Whether known filters are of this channel order and range; of others nothing says that they are not."""
    known = first_filter(arrays)
    return known is None or (known[1].channel_order, known[1].range) == (
        preprocessing.channel_order,
        preprocessing.range,
    )


def credit(arrays: Arrays) -> str:
    """Author and licence of known filters, or an empty string."""
    known = first_filter(arrays)
    if known is None:
        return ""
    return OXFORD_CREDIT if known[0].startswith("Oxford") else TORCHVISION_CREDIT


def decide(arrays: Arrays, sha256: str, where: object) -> tuple[Preprocessing, str]:
    """The preprocessing of checked arrays whose file does not tell it, and how it was decided.

    Raises NSTError where the statistics lie between the families; ``--preprocessing`` decides then.
    """
    for digits, (preprocessing, name) in KNOWN_FILES.items():
        if sha256.startswith(digits):
            return preprocessing, f"the file is {name}, by its SHA-256"
    if known := first_filter(arrays):
        return known[1], f"its first filter is that of {known[0]}"
    negative = float(np.mean(arrays["conv1_1"]["bias"] < 0))
    told = f"{negative:.0%} of the biases of conv1_1 are negative"
    if negative <= _OXFORD_NEGATIVE:
        return CAFFE, f"{told}, as in the networks from Caffe"
    if negative >= _TORCHVISION_NEGATIVE:
        return TORCHVISION, f"{told}, as in torchvision's networks"
    raise NSTError(
        f"{where} does not tell which preprocessing its network expects ({told}): give --preprocessing caffe (BGR,"
        " 0-255) or --preprocessing torchvision (RGB, 0-1)"
    )


def describe(preprocessing: Preprocessing) -> str:
    """A preprocessing in a few words."""
    names = [name for name, known in PREPROCESSINGS.items() if known == preprocessing]
    mean = ", ".join(f"{value:g}" for value in preprocessing.mean)
    text = f"{preprocessing.channel_order}, 0-{preprocessing.range:g}, minus ({mean})"
    if preprocessing.std != (1.0, 1.0, 1.0):
        text += f", over ({', '.join(f'{value:g}' for value in preprocessing.std)})"
    return f"{names[0]} ({text})" if names else text
