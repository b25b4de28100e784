"""VGG-19 in bfloat16 on one thread of PyTorch: three times as fast as JAX on CPUs with AMX, beside the student.

PyTorch is no dependency of the project; nothing else imports it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from nst_jax import layers
from nst_jax.networks.weights import Weights
from slim_training.contract import Lesson, Targets, tap_channels, window
from slim_training.student import CONTENT_TAP, STYLE_TAPS, TAPS


class TorchTeacher:
    """See ``contract.Teacher``."""

    def __init__(self, filters: Weights):
        torch.set_num_threads(1)
        self.channels = tap_channels(filters)
        self.preprocessing = filters.preprocessing
        self.rows = layers.until("vgg19", TAPS)
        self.filters = {
            name: (
                torch.tensor(parts["kernel"])
                .permute(3, 2, 0, 1)
                .bfloat16()
                .contiguous(memory_format=torch.channels_last),
                torch.tensor(parts["bias"]).bfloat16(),
            )
            for name, parts in filters.arrays.items()
        }

    def features(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The responses at each tap, as ``window`` leaves them."""
        with torch.no_grad():
            return _windowed(self._respond(torch.from_numpy(images)))

    def targets(self, photographs: np.ndarray, paintings: np.ndarray) -> Targets:
        """What pictures of these photographs in the manner of these paintings are stylised towards."""
        with torch.no_grad():
            content = self._respond(torch.from_numpy(photographs))[CONTENT_TAP]
            style = self._respond(torch.from_numpy(paintings))
            grams = {tap: _gram(_flat(style[tap])).numpy() for tap in STYLE_TAPS}
            return Targets(content.permute(0, 2, 3, 1).half().numpy(), grams)

    def lesson(
        self,
        images: np.ndarray,
        targets: Targets,
        style_weights: np.ndarray,
        content_weight: np.ndarray,
        with_gradient: bool,
    ) -> Lesson:
        """What there is to learn of pictures that are being stylised, with weights [B, 5] and [B].

        The losses' gradients with respect to the responses are written by hand, so that only the network's own are
        left to autograd: 4 w F (G - A) / (M |A|²) for a style tap of M positions, 2 w (F - P) / |P|² for the content.
        """
        x = torch.from_numpy(images).requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            taps = self._respond(x)
        each, grams, pulls = [], {}, []
        with torch.no_grad():
            for i, tap in enumerate(STYLE_TAPS):
                flat, target = _flat(taps[tap]), torch.from_numpy(targets.style[tap])
                grams[tap] = _gram(flat)
                difference, norm = grams[tap] - target, target.square().sum((1, 2))
                each.append(difference.square().sum((1, 2)) / norm)
                scale = 4 * torch.from_numpy(style_weights[:, i]) / norm / flat.shape[1]
                pull = flat @ (scale[:, None, None] * difference).bfloat16()
                pulls.append(pull.transpose(1, 2).reshape(taps[tap].shape))
            target = torch.from_numpy(targets.content).float().permute(0, 3, 1, 2)
            difference, norm = taps[CONTENT_TAP].float() - target, target.square().sum((1, 2, 3))
            each.append(difference.square().sum((1, 2, 3)) / norm)
            scale = 2 * torch.from_numpy(content_weight) / norm
            pulls.append((scale[:, None, None, None] * difference).bfloat16())
        gradient = None
        if with_gradient:
            ends = [*(taps[tap] for tap in STYLE_TAPS), taps[CONTENT_TAP]]
            gradient = torch.autograd.grad(ends, x, pulls)[0].numpy()
        grams_ = {tap: gram.numpy() for tap, gram in grams.items()}
        return Lesson(torch.stack(each, 1).numpy(), _windowed(taps), grams_, gradient)

    def _respond(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Responses {tap: [B, N, h, w]} in bfloat16 to images [B, H, W, 3]."""
        expects = self.preprocessing
        x = images.flip(3) if expects.channel_order == "BGR" else images
        x = (expects.range * x - torch.tensor(expects.mean)) / torch.tensor(expects.std)
        x = x.permute(0, 3, 1, 2).bfloat16().contiguous(memory_format=torch.channels_last)
        taps = {}
        for row in self.rows:
            if row.kind == "pool":
                x = functional.avg_pool2d(x, 2)
            else:
                kernel, bias = self.filters[row.name]
                x = functional.relu(functional.conv2d(x, kernel, bias, padding=1))
            if row.name in TAPS:
                taps[row.name] = x
        return taps


def _flat(responses: torch.Tensor) -> torch.Tensor:
    """[B, N, h, w] as [B, M, N]."""
    return responses.flatten(2).transpose(1, 2).contiguous()


def _gram(flat: torch.Tensor) -> torch.Tensor:
    """Gram matrices over the positions, [B, N, N] in float32, of responses [B, M, N]."""
    return (flat.transpose(1, 2) @ flat).float() / flat.shape[1]


def _windowed(taps: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Responses as ``window`` leaves them, [B, h, w, N] in float32."""
    seen = window({tap: f.detach().permute(0, 2, 3, 1) for tap, f in taps.items()})
    return {tap: f.float().contiguous().numpy() for tap, f in seen.items()}
