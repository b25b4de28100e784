"""The same objective and L-BFGS in PyTorch, as straightforward as it gets: what ours are compared with.

Nothing is taken from the project but its tables, weights and options. The layers run in turn as ``conv2d``, ``relu``
and pooling; autograd does the rest. Under autocast, convolutions and Gram matrices are in bf16, the sums over them in
float32. Where a layer of the small network stands for a wide one, distances are taken as in ``nst_jax.losses``.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch.nn import functional

from benchmarks.variants import TorchVariant
from nst_jax import layers
from nst_jax.networks.weights import Weights
from nst_jax.options.config import Config

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.backends.cudnn.benchmark = True  # the shapes do not change: let it look for the fastest convolutions once


class TorchObjective:
    """L_total of a photograph and a painting [H, W, 3], float32 in [0, 1], as they are; the padding is of zeros."""

    def __init__(
        self,
        weights: Weights,
        photograph: np.ndarray,
        painting: np.ndarray,
        config: Config,
        variant: TorchVariant = TorchVariant(),  # noqa: B008 (an immutable tuple)
    ) -> None:
        self.config, self.variant = config.for_network(weights.network), variant
        self.layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        self.rows = layers.until(weights.network, {**config.content_layer_weights, **config.style_layer_weights})
        convolutions = {row.name: weights.arrays[row.name] for row in self.rows if row.kind == "conv"}
        self.filters = {
            name: (
                torch.tensor(parts["kernel"]).permute(3, 2, 0, 1).to(DEVICE).contiguous(memory_format=self.layout),
                torch.tensor(parts["bias"], device=DEVICE),
            )
            for name, parts in convolutions.items()
        }
        maps = {
            name: torch.tensor(parts["map"], device=DEVICE) for name, parts in convolutions.items() if "map" in parts
        }
        self.metrics = {name: each @ each.T for name, each in maps.items()}
        self.channels = {row.name: row.stands_for or row.channels for row in self.rows}
        wanted = weights.preprocessing
        self.order = ["RGB".index(channel) for channel in wanted.channel_order]
        self.range = wanted.range
        self.mean, self.std = (
            torch.tensor(numbers, device=DEVICE).view(1, 3, 1, 1) for numbers in (wanted.mean, wanted.std)
        )
        with torch.no_grad(), self.autocast():
            content, style = (self.responses(self.tensor(pixels)) for pixels in (photograph, painting))
            self.content = {tap: content[tap].float() for tap in config.content_layer_weights}
            self.style = {tap: gram(style[tap]) for tap in config.style_layer_weights}
            self.content_units = {tap: self.content_unit(tap, target) for tap, target in self.content.items()}
            self.style_units = {tap: self.style_unit(tap, target) for tap, target in self.style.items()}
        self.total = torch.compile(self.plain_total) if variant.compiled else self.plain_total

    def autocast(self) -> torch.autocast:
        """The precision of the variant."""
        return torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.variant.bfloat16)

    def tensor(self, pixels: np.ndarray) -> torch.Tensor:
        """[H, W, 3] as [1, 3, H, W] on the device, in the variant's layout."""
        image = torch.tensor(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        return image.to(DEVICE).contiguous(memory_format=self.layout)

    def responses(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every layer's responses to an image [1, 3, H, W], each flat, [N, M]."""
        x = (self.range * x[:, self.order] - self.mean) / self.std
        pool = functional.avg_pool2d if self.config.pooling == "avg" else functional.max_pool2d
        out = {}
        for row in self.rows:
            if row.kind == "conv":
                x = torch.relu(functional.conv2d(x, *self.filters[row.name], padding=1))
            else:
                x = pool(x, 2)
            out[row.name] = x[0].flatten(1)
        return out

    def square(self, tap: str, difference: torch.Tensor) -> torch.Tensor:
        """Σ d² of responses [N, M]; Σ dᵀ M d where the layer stands for a wide one."""
        metric = self.metrics.get(tap)
        return (difference if metric is None else metric @ difference).mul(difference).sum()

    def gram_square(self, tap: str, difference: torch.Tensor) -> torch.Tensor:
        """Σ D² of Gram matrices [N, N]; tr(M D M D) where the layer stands for a wide one."""
        metric = self.metrics.get(tap)
        mapped = difference if metric is None else (metric @ difference).float()
        return (mapped * mapped.T).sum()

    def content_unit(self, tap: str, target: torch.Tensor) -> torch.Tensor | float:
        """What the squared distance of responses [N, M] is divided by."""
        return {"gatys2015": 2.0, "gatys2016": self.channels[tap] * target.shape[1]}.get(
            self.config.loss, self.square(tap, target)
        )

    def style_unit(self, tap: str, target: torch.Tensor) -> torch.Tensor | float:
        """What the squared distance of Gram matrices [N, N] is divided by."""
        paper = self.channels[tap] ** 2
        return {"gatys2015": 4 * paper, "gatys2016": paper}.get(self.config.loss, self.gram_square(tap, target))

    def plain_total(self, x: torch.Tensor) -> torch.Tensor:
        """The objective at an image [1, 3, H, W]."""
        seen, config = self.responses(x), self.config
        content = sum(
            weight * self.square(tap, seen[tap].float() - self.content[tap]) / self.content_units[tap]
            for tap, weight in config.content_layer_weights.items()
        )
        style = sum(
            weight * self.gram_square(tap, gram(seen[tap]) - self.style[tap]) / self.style_units[tap]
            for tap, weight in config.style_layer_weights.items()
        )
        down, across = x[:, :, 1:] - x[:, :, :-1], x[:, :, :, 1:] - x[:, :, :, :-1]
        smooth = (down.square().sum() + across.square().sum()) / x.numel()
        return config.content_weight * content + config.style_weight * style + config.tv_weight * smooth

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The same in the variant's precision, compiled where the variant is."""
        with self.autocast():
            return self.total(x)

    def value_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The objective and its gradient at an image that requires one."""
        value = self(x)
        (gradient,) = torch.autograd.grad(value, x)
        return value.detach(), gradient

    def wait(self) -> None:
        """Returns when the device has done all that it was given."""
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()


def gram(x: torch.Tensor) -> torch.Tensor:
    """The Gram matrix of responses [N, M] over their positions, [N, N], float32."""
    return (x @ x.T).float() / x.shape[1]


class TorchRun:
    """PyTorch's L-BFGS from the photograph, as neural-style-pt uses it, a turn of evaluations at a time.

    History 100, step 1, no line search, no tolerance. The loss is divided by its value at the start; with the 2015 loss
    as it stands and pixels in [0, 1] it hardly moves.

    Attributes:
      x: the image, [1, 3, H, W].
      values: the loss of every evaluation, in its own unit.
      times: the wall clock at each.
    """

    def __init__(self, goal: TorchObjective, photograph: np.ndarray, turn: int) -> None:
        self.goal, self.values, self.times = goal, list[float](), list[float]()
        self.x = goal.tensor(photograph).contiguous()  # L-BFGS flattens it; the filters' layout tells the convolutions'
        with torch.no_grad():
            self.start = goal(self.x)
        self.x.requires_grad_()
        self.optimizer = torch.optim.LBFGS(
            [self.x], lr=1, max_iter=turn, max_eval=turn, history_size=100, tolerance_grad=0, tolerance_change=0
        )

    def closure(self) -> torch.Tensor:
        """One evaluation of the loss and its gradient."""
        self.optimizer.zero_grad()
        value = self.goal(self.x)
        self.values.append(value.item())
        self.times.append(time.time())
        scaled = value / self.start
        scaled.backward()
        return scaled

    def turn(self) -> None:
        """So many evaluations more."""
        self.optimizer.step(self.closure)

    def image(self) -> np.ndarray:
        """The picture so far, [H, W, 3] in [0, 1]."""
        return self.x.detach()[0].permute(1, 2, 0).clamp(0, 1).float().cpu().numpy()
