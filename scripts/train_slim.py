"""Trains ``slim``, the small network that ships with nst_jax, with VGG-19 as its teacher. See docs/slim.md.

    python scripts/train_slim.py --minutes 90 --out runs/slim
    python scripts/train_slim.py --minutes 30 --out runs/more --init-from runs/slim/slim.h5

The student starts from random filters. A *bank* holds pictures that are being stylised under the student itself, each
with its own photograph, painting, tap weights and L-BFGS memory. Every iteration takes a batch of them, asks the
teacher for its responses, Gram matrices and (with ``--gradient-weight``) the gradient of the stylisation loss with
respect to the picture, fits the student to these, and pushes the batch a few L-BFGS steps further under the student. So
the student is taught where its own mistakes lead: features fitted on photographs alone are useless for stylisation.

The run is checkpointed with orbax every five minutes and goes on from there when it is started again with the same
``--out``; the bank is drawn anew. Everything random comes from ``--seed``; only the learning rate follows the clock.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import hashlib
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import orbax.checkpoint as ocp
from PIL import Image

STYLE_TAPS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_TAP = "conv4_2"
TAPS = (*STYLE_TAPS[:4], CONTENT_TAP, STYLE_TAPS[4])
TEACHER_CHANNELS = dict(zip(TAPS, (64, 128, 256, 512, 512, 512), strict=True))
#: How much each tap counts in the fit, in the order of ``TAPS``: the 2015 losses are dominated by the fourth block.
TAP_IMPORTANCE = (0.5, 1.0, 1.0, 1.5, 1.5, 0.5)
#: Style weights of the default preset, in the order of ``STYLE_TAPS``.
STYLE_WEIGHTS = np.array([1, 1, 1, 1, 0.2], np.float32)
#: Convolutions and their widths. Each pooling stands right behind a tap, so that the rest of the block, which only
#: the deeper taps see, runs at half the size: the cheapest place for depth.
TABLE = (
    "conv1_1:16 pool conv1_2:24 conv2_1:32 pool conv2_2:64 conv3_1:64 pool "
    "conv3_2:160 conv3_3:160 conv4_1:160 conv4_2:160 pool conv5_1:192"
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the student's inputs: RGB, 0–1
TEACHER_MEAN = (103.939, 116.779, 123.68)  # BGR, 0–255
MEMORY = 6  # L-BFGS pairs that each picture of the bank keeps
#: What the optimisation of a picture changes.
PICTURE = ("x", "last_x", "gradient", "steps", "changes", "age")
Params = dict[str, dict[str, Any]]


def rows(table: str = TABLE) -> list[tuple[str, int]]:
    """The student's layers in order: (name, width), width 0 for a pooling."""
    return [(name, int(width or 0)) for name, _, width in (word.partition(":") for word in table.split())]


# ---------------------------------------------------------------------------------------------------- the student


def random_start(seed: int) -> Params:
    """He-scaled random filters, and random maps to the teacher's channels at each tap."""
    draw = np.random.default_rng(seed).normal
    net, maps, inputs = {}, {}, 3
    for name, width in rows():
        if width:
            kernel = draw(size=(3, 3, inputs, width)) * np.sqrt(2 / (9 * inputs))
            net[name] = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(width)}
            if name in TAPS:
                maps[name] = jnp.asarray(draw(size=(width, TEACHER_CHANNELS[name])) / np.sqrt(width), jnp.float32)
            inputs = width
    return {"net": net, "maps": maps}


def pool(x):
    """2×2 mean pooling, [B, H, W, C] to [B, H/2, W/2, C]."""
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def convolve(x, kernel):
    """3×3 convolution with zero padding."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def features(params: Params, image):
    """Narrow responses at every tap of images [B, H, W, 3], RGB in [0, 1]."""
    x = (image - jnp.array(MEAN)) / jnp.array(STD)
    taps = {}
    for name, width in rows():
        if not width:
            x = pool(x)
            continue
        x = jax.nn.relu(convolve(x, params["net"][name]["kernel"]) + params["net"][name]["bias"])
        if name in TAPS:
            taps[name] = x
    return taps


def gram(f):
    """Position-normalised Gram matrices [B, C, C] of responses [B, H, W, C]."""
    batch, height, width, channels = f.shape
    f = f.reshape(batch, height * width, channels)
    return jnp.einsum("bnc,bnd->bcd", f, f) / (height * width)


def squared(metric, d):
    """‖EᵀDE‖² per item for the map E behind ``metric`` = E Eᵀ [C, C] and symmetric d [B, C, C]: tr(M D M D)."""
    product = jnp.einsum("cd,bde->bce", metric, d)
    return jnp.einsum("bce,bec->b", product, product)


def stylisation_loss(metrics, taps, content, style, style_weights, content_weight):
    """The student's loss per item [B], taps normalised by their targets; never leaves the narrow space.

    ``content`` [B, h, w, c] and ``style`` {tap: [B, c, c]} are the student's own targets; ``style_weights`` [B, 5].
    """
    total = 0.0
    for i, tap in enumerate(STYLE_TAPS):
        metric = metrics[tap]
        distance = squared(metric, gram(taps[tap]) - style[tap])
        total = total + style_weights[:, i] * distance / (squared(metric, style[tap]) + 1e-12)

    def norm(f):
        return jnp.einsum("bhwc,cd,bhwd->b", f, metrics[CONTENT_TAP], f)

    return total + content_weight * norm(taps[CONTENT_TAP] - content) / (norm(content) + 1e-12)


def total_variation(x):
    """Mean squared neighbour difference per item."""
    return jnp.mean((x[:, 1:] - x[:, :-1]) ** 2, (1, 2, 3)) + jnp.mean((x[:, :, 1:] - x[:, :, :-1]) ** 2, (1, 2, 3))


def lbfgs_step(x, gradient, last_x, last_gradient, steps, changes, age):
    """One L-BFGS step of length 1 for one image, clipped to [0, 1]; pairs of negative curvature are skipped.

    ``steps`` and ``changes`` [MEMORY, H, W, 3] hold the past pairs, newest last, zeros where there is none yet.
    Returns (the next image, steps, changes).
    """
    step, change = x - last_x, gradient - last_gradient
    curvature = jnp.vdot(step, change)
    good = (age > 0) & (curvature > 1e-9 * jnp.linalg.norm(step) * jnp.linalg.norm(change) + 1e-20)
    steps = jnp.where(good, jnp.concatenate([steps[1:], step[None]]), steps)
    changes = jnp.where(good, jnp.concatenate([changes[1:], change[None]]), changes)
    curvatures = jnp.sum(steps * changes, (1, 2, 3))
    inverse = jnp.where(curvatures > 0, 1 / jnp.where(curvatures > 0, curvatures, 1), 0.0)
    direction, factors = gradient, [0.0] * MEMORY
    for i in reversed(range(MEMORY)):
        factors[i] = inverse[i] * jnp.vdot(steps[i], direction)
        direction = direction - factors[i] * changes[i]
    latest = jnp.vdot(changes[-1], changes[-1])
    size = jnp.linalg.norm(gradient)
    first = jnp.minimum(1.0, 1 / (size + 1e-12))
    direction = direction * jnp.where(latest > 0, curvatures[-1] / jnp.where(latest > 0, latest, 1), first)
    for i in range(MEMORY):
        direction = direction + steps[i] * (factors[i] - inverse[i] * jnp.vdot(changes[i], direction))
    direction = jnp.where(jnp.vdot(direction, gradient) > 0, direction, gradient / (size + 1e-12))
    rms = jnp.sqrt(jnp.mean(direction**2))
    return jnp.clip(x - direction * jnp.minimum(1.0, 0.1 / (rms + 1e-12)), 0, 1), steps, changes


# ---------------------------------------------------------------------------------------------------- the teacher


def teacher_filters(path: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, kernel HWIO, bias) of VGG-19 up to conv5_1, from a file in Keras's layout."""
    found = []
    with h5py.File(path) as file:
        for block, count in zip(range(1, 6), (2, 2, 4, 4, 1), strict=True):
            for index in range(1, count + 1):
                group = file[f"block{block}_conv{index}"]
                kernel, bias = (group[name][()] for name in group.attrs["weight_names"])
                found.append((f"conv{block}_{index}", kernel, bias))
    return found


class Lesson(NamedTuple):
    """What the teacher says of a batch: losses [B, 6], d loss/d image [B, H, W, 3], responses and Grams per tap."""

    losses: np.ndarray
    gradient: np.ndarray
    features: dict[str, np.ndarray]
    grams: dict[str, np.ndarray]


def window(tap: str, f):
    """conv1_1's responses are many and easy: their middle quarter is enough."""
    quarter = f.shape[1] // 4
    return f[:, quarter:-quarter, quarter:-quarter] if tap == "conv1_1" else f


class JaxTeacher:
    """VGG-19 in float32 JAX: the choice on a GPU."""

    def __init__(self, path: Path):
        self.filters = [(name, jnp.asarray(k), jnp.asarray(b)) for name, k, b in teacher_filters(path)]

        def respond(filters, x):
            x = x[..., ::-1] * 255 - jnp.array(TEACHER_MEAN)
            taps = {}
            for name, (kernel, bias) in filters.items():
                if name.endswith("_1") and name != "conv1_1":
                    x = pool(x)
                x = jax.nn.relu(convolve(x, kernel) + bias)
                if name in TAPS:
                    taps[name] = x
            return taps

        def losses(filters, x, content, style, style_weights, content_weight):
            taps = respond(filters, x)
            grams = {tap: gram(taps[tap]) for tap in STYLE_TAPS}
            parts = [jnp.sum((grams[t] - style[t]) ** 2, (1, 2)) / jnp.sum(style[t] ** 2, (1, 2)) for t in STYLE_TAPS]
            norm = jnp.sum(content**2, (1, 2, 3)) + 1e-6
            parts.append(jnp.sum((taps[CONTENT_TAP] - content) ** 2, (1, 2, 3)) / norm)
            parts = jnp.stack(parts, 1)
            weights = jnp.concatenate([style_weights, content_weight[:, None]], 1)
            return jnp.sum(parts * weights), (parts, {t: window(t, f) for t, f in taps.items()}, grams)

        self._respond, self._losses = jax.jit(respond), jax.jit(losses)
        self._gradient = jax.jit(jax.value_and_grad(losses, argnums=1, has_aux=True))
        self._table = {name: (k, b) for name, k, b in self.filters}

    def targets(self, content, style):
        """P at the content tap [B, h, w, C] and A per style tap."""
        taps = self._respond(self._table, style)
        content = self._respond(self._table, content)[CONTENT_TAP]
        return np.asarray(content, np.float16), {tap: np.asarray(gram(taps[tap])) for tap in STYLE_TAPS}

    def lesson(self, x, content, style, style_weights, content_weight, with_gradient) -> Lesson:
        arguments = (self._table, x, content.astype(np.float32), style, style_weights, content_weight)
        if with_gradient:
            (_, (parts, taps, grams)), gradient = self._gradient(*arguments)
        else:
            _, (parts, taps, grams) = self._losses(*arguments)
            gradient = np.zeros_like(x)
        return jax.tree.map(np.asarray, Lesson(parts, gradient, taps, grams))


class TorchTeacher:
    """VGG-19 in bfloat16 on one thread of PyTorch: three times as fast as JAX on CPUs with AMX, beside the student."""

    def __init__(self, path: Path):
        import torch

        self.torch, self.nn = torch, torch.nn.functional
        torch.set_num_threads(1)
        self.filters = [
            (
                name,
                torch.tensor(k).permute(3, 2, 0, 1).bfloat16().contiguous(memory_format=torch.channels_last),
                torch.tensor(b).bfloat16(),
            )
            for name, k, b in teacher_filters(path)
        ]

    def respond(self, image):
        """Responses {tap: [B, C, h, w]} to images [B, H, W, 3]."""
        x = image.permute(0, 3, 1, 2).flip(1) * 255 - self.torch.tensor(TEACHER_MEAN).view(1, 3, 1, 1)
        x = x.bfloat16().contiguous(memory_format=self.torch.channels_last)
        taps = {}
        for name, kernel, bias in self.filters:
            if name.endswith("_1") and name != "conv1_1":
                x = self.nn.avg_pool2d(x, 2)
            x = self.nn.relu(self.nn.conv2d(x, kernel, bias, padding=1))
            if name in TAPS:
                taps[name] = x
        return taps

    @staticmethod
    def rows_of(f):
        return f.flatten(2).transpose(1, 2).contiguous()  # [B, N, C]

    def gram(self, flat):
        return (flat.transpose(1, 2) @ flat).float() / flat.shape[1]

    def targets(self, content, style):
        with self.torch.no_grad():
            taps = self.respond(self.torch.from_numpy(style))
            content = self.respond(self.torch.from_numpy(content))[CONTENT_TAP].permute(0, 2, 3, 1)
            return content.half().numpy(), {tap: self.gram(self.rows_of(taps[tap])).numpy() for tap in STYLE_TAPS}

    def lesson(self, x, content, style, style_weights, content_weight, with_gradient) -> Lesson:
        torch = self.torch
        x = torch.from_numpy(x).requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            taps = self.respond(x)
        parts, grams, pulls = [], {}, []
        with torch.no_grad():  # the losses' gradients by hand: 4 w F (G - A) / (M |A|²) and 2 w (F - P) / |P|²
            for i, tap in enumerate(STYLE_TAPS):
                flat, target = self.rows_of(taps[tap]), torch.from_numpy(style[tap])
                grams[tap] = self.gram(flat)
                difference, norm = grams[tap] - target, target.square().sum((1, 2))
                parts.append(difference.square().sum((1, 2)) / norm)
                scale = 4 * torch.from_numpy(style_weights[:, i]) / norm / flat.shape[1]
                pull = flat @ (scale[:, None, None] * difference).bfloat16()
                pulls.append(pull.transpose(1, 2).reshape(taps[tap].shape))
            target = torch.from_numpy(content).float().permute(0, 3, 1, 2)
            difference, norm = taps[CONTENT_TAP].float() - target, target.square().sum((1, 2, 3)) + 1e-6
            parts.append(difference.square().sum((1, 2, 3)) / norm)
            scale = 2 * torch.from_numpy(content_weight) / norm
            pulls.append((scale[:, None, None, None] * difference).bfloat16())
        gradient = torch.zeros_like(x)
        if with_gradient:
            (gradient,) = torch.autograd.grad([*(taps[t] for t in STYLE_TAPS), taps[CONTENT_TAP]], x, pulls)
        numpy = {t: window(t, f.detach().permute(0, 2, 3, 1)).float().contiguous().numpy() for t, f in taps.items()}
        return Lesson(
            torch.stack(parts, 1).numpy(), gradient.detach().numpy(), numpy, {t: g.numpy() for t, g in grams.items()}
        )


# ------------------------------------------------------------------------------------------------------- the bank


class Pictures:
    """Photographs and paintings in memory, and random square crops of them, ``size`` pixels wide."""

    def __init__(self, folder: Path, size: int, rng: np.random.Generator):
        self.size, self.rng = size, rng
        self.kinds = {
            kind: [self.load(p) for p in sorted((folder / kind).iterdir())]
            for kind in os.listdir(folder)
            if (folder / kind).is_dir()
        }

    @staticmethod
    def load(path: Path, shortest: int = 288) -> Image.Image:
        image = Image.open(path).convert("RGB")
        factor = shortest / min(image.size)
        width, height = (max(1, round(side * factor)) for side in image.size)
        return image if factor >= 1 else image.resize((width, height), Image.Resampling.LANCZOS)

    def crop(self, kind: str) -> np.ndarray:
        """A crop [size, size, 3] in [0, 1] of a random picture, at a random scale, mirrored half of the time."""
        image = self.kinds[kind][self.rng.integers(len(self.kinds[kind]))]
        side = min(*image.size, int(np.exp(self.rng.uniform(np.log(self.size), np.log(289)))))
        left, top = self.rng.integers(image.width - side + 1), self.rng.integers(image.height - side + 1)
        box = (left, top, left + side, top + side)
        pixels = np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box), np.float32) / 255
        return pixels[:, ::-1] if self.rng.random() < 0.5 else pixels


class Bank:
    """Pictures being stylised under the student, as arrays with one row an item."""

    def __init__(self, count: int, pictures: Pictures, teacher, mean_age: float):
        self.pictures, self.rng, self.teacher, self.mean_age = pictures, pictures.rng, teacher, mean_age
        image = (count, pictures.size, pictures.size, 3)
        self.rows = {name: np.zeros(image, np.float32) for name in ("content", "style", "x", "last_x", "gradient")}
        for name in ("steps", "changes"):
            self.rows[name] = np.zeros((count, MEMORY, *image[1:]), np.float32)
        self.rows |= {"age": np.zeros(count, np.int32), "style_weights": np.ones((count, 5), np.float32)}
        self.rows |= {name: np.zeros(count, np.float32) for name in ("content_weight", "tv_weight")}
        self.life, self.visits = np.zeros(count, np.int32), np.zeros(count, np.int32)
        self.default, self.start = np.zeros(count, bool), np.ones((count, 6), np.float32)
        self.content_target = np.zeros((count, image[1] // 8, image[1] // 8, 512), np.float16)
        self.style_target = {
            tap: np.zeros(
                (
                    count,
                    TEACHER_CHANNELS[tap],
                )
                * 1
                + (TEACHER_CHANNELS[tap],),
                np.float32,
            )
            for tap in STYLE_TAPS
        }
        for item in range(count):
            self.renew(item)
            self.life[item] = 1 + self.life[item] * self.rng.random()

    def renew(self, item: int) -> None:
        """A new photograph, painting, balance and start picture."""
        rng, row = self.rng, self.rows
        photograph = "train" if rng.random() < 0.7 else "content" if rng.random() < 0.7 else "style"
        content = row["content"][item] = self.pictures.crop(photograph)
        style = row["style"][item] = self.pictures.crop("style" if rng.random() < 0.75 else "train")
        target, grams = self.teacher.targets(content[None].copy(), style[None].copy())
        self.content_target[item] = target[0]
        for tap in STYLE_TAPS:
            self.style_target[tap][item] = grams[tap][0]
        self.default[item] = rng.random() < 0.5
        spread = 1 if self.default[item] else np.exp(1.2 * rng.normal(size=5))
        row["style_weights"][item] = STYLE_WEIGHTS * spread
        row["content_weight"][item] = np.exp(rng.uniform(np.log(0.1), np.log(4)))
        row["tv_weight"][item] = 0 if rng.random() < 0.4 else np.exp(rng.uniform(np.log(0.3), np.log(20)))
        kind, share = rng.random(), rng.random()
        share = 0 if kind < 0.15 else share if kind < 0.3 else 1
        noise = rng.uniform(0, 0.15) if rng.random() < 0.3 else 0
        self.visits[item] = 0
        self.begin(item, share * content + (1 - share) * style + noise * rng.normal(size=content.shape))

    def begin(self, item: int, image: np.ndarray) -> None:
        """Starts the optimisation of an item anew from ``image``."""
        self.rows["x"][item] = np.clip(image, 0, 1)
        for name in ("steps", "changes", "age"):
            self.rows[name][item] = 0
        self.life[item] = min(200, 1 + self.rng.exponential(self.mean_age))

    def batch(self, size: int, avoid=()) -> tuple[np.ndarray, dict, np.ndarray, dict]:
        """Some items' numbers, their rows, and the teacher's targets; none of ``avoid``."""
        items = self.rng.choice(np.setdiff1d(np.arange(len(self.life)), avoid), size, replace=False)
        targets = {tap: target[items] for tap, target in self.style_target.items()}
        return items, {name: array[items] for name, array in self.rows.items()}, self.content_target[items], targets

    def push(self, items, moved, losses) -> list[tuple[float, float]]:
        """Writes a step's outcome back, renews the items that are old enough.

        Returns (style loss over that at the start, content loss), by the teacher, of old items with default weights.
        """
        finished = []
        for name, value in moved.items():
            self.rows[name][items] = value
        for j, item in enumerate(items):
            if self.visits[item] == 0:
                self.start[item] = losses[j]
            self.visits[item] += 1
            if self.rows["age"][item] < self.life[item]:
                continue
            if self.visits[item] >= 8 and self.default[item] and self.start[item, :5].min() > 1e-3:
                style = losses[j, :5] @ STYLE_WEIGHTS / (self.start[item, :5] @ STYLE_WEIGHTS)
                finished.append((float(style), float(losses[j, 5])))
            if self.rng.random() < 0.4 and self.visits[item] < 60:
                self.begin(item, enlarged(self.rows["x"][item]))  # as a pyramid does: on from a coarser result
            else:
                self.renew(item)
        return finished


def enlarged(image: np.ndarray) -> np.ndarray:
    """An image that has lost its finest octave."""
    half = Image.fromarray(np.uint8(image * 255 + 0.5)).resize([s // 2 for s in image.shape[:2]], Image.Resampling.BOX)
    return np.asarray(half.resize(image.shape[:2], Image.Resampling.BICUBIC), np.float32) / 255


# --------------------------------------------------------------------------------------------------- the training


def relative(error, target, axes):
    return jnp.sum(error**2, axes) / (jnp.sum(target**2, axes) + 1e-12)


def octaves(x):
    """An image and three halvings of it."""
    return functools.reduce(lambda found, _: [*found, pool(found[-1])], range(3), [x])


def student_loss(student, x, batch):
    """The summed stylisation loss of images x under the student (params, metrics, content and style targets)."""
    params, metrics, content, style = student
    taps = features(params, x)
    each = stylisation_loss(metrics, taps, content, style, batch["style_weights"], batch["content_weight"])
    return jnp.sum(each), taps


def lesson_loss(params, batch, lesson, targets, scales, gradient_weight):
    """How far the student is from the teacher's answers; and for the log, per tap, and for the bank.

    Features: relative squared error per tap. Gram differences G - A, which drive the style: relative squared error,
    logarithmic. Gradients of the stylisation loss: the same, of the gradient and three halvings of it, because
    L-BFGS follows coarse structure as much as fine.
    """
    style = {tap: gram(f) for tap, f in features(params, batch["style"]).items() if tap in STYLE_TAPS}
    content = features(params, batch["content"])[CONTENT_TAP]
    metrics = {tap: params["maps"][tap] @ params["maps"][tap].T for tap in TAPS}

    student = (params, metrics, content, style)
    gradient, taps = jax.grad(student_loss, argnums=1, has_aux=True)(student, batch["x"], batch)
    fits, differences = [], []
    for tap in TAPS:
        target = lesson.features[tap] / scales[tap]
        mapped = jnp.einsum("bhwc,cd->bhwd", window(tap, taps[tap]), params["maps"][tap])
        fits.append(jnp.mean(relative(mapped - target, target, (1, 2, 3))))
    for tap in STYLE_TAPS:
        matrix, scale = params["maps"][tap], scales[tap] ** 2
        mapped = jnp.einsum("cd,bce,ef->bdf", matrix, gram(taps[tap]) - style[tap], matrix)
        target = (lesson.grams[tap] - targets[tap]) / scale
        floor = 0.03 * jnp.sum((targets[tap] / scale) ** 2, (1, 2))  # near its goal a difference is mostly rounding
        error = jnp.sum((mapped - target) ** 2, (1, 2)) / (jnp.sum(target**2, (1, 2)) + floor)
        differences.append(jnp.mean(jnp.log1p(error)))
    fits, differences = jnp.stack(fits), jnp.stack(differences)
    importance = jnp.array(TAP_IMPORTANCE)
    total = jnp.mean(fits * importance) + jnp.mean(differences * importance[jnp.array([0, 1, 2, 3, 5])])
    slopes = jnp.zeros(4)
    if gradient_weight:
        pairs = zip(octaves(gradient), octaves(lesson.gradient), strict=True)
        slopes = jnp.stack([jnp.mean(jnp.log1p(relative(ours - theirs, theirs, (1, 2, 3)))) for ours, theirs in pairs])
        total = total + gradient_weight * jnp.mean(slopes)
    log = {"loss": total, "features": fits, "grams": differences, "gradients": slopes}
    return total, (log, gradient, student)


def matrices(params: Params):
    """Which parameters Muon orthogonalises, as matrices from all inputs to the outputs: all but the biases."""
    number = optax.contrib.MuonDimensionNumbers
    return jax.tree.map(lambda p: number(tuple(range(p.ndim - 1)), p.ndim - 1) if p.ndim > 1 else None, params)


LEARNERS = {
    "adam": optax.adam(1.0, b2=0.99),
    "muon": optax.contrib.muon(1.0, consistent_rms=0.2, adam_b2=0.99, muon_weight_dimension_numbers=matrices),
}


@functools.partial(jax.jit, static_argnames=("learner", "gradient_weight", "average", "pushes"), donate_argnums=(0,))
def train_step(state, batch, lesson, targets, scales, rate, *, learner, gradient_weight, average, pushes):
    """One step of Adam (gradients clipped to norm 1), and ``pushes`` L-BFGS steps of the pictures under the student."""
    params, mean_params, moments = state
    (_, (log, gradient, student)), slope = jax.value_and_grad(lesson_loss, has_aux=True)(
        params, batch, lesson, targets, scales, gradient_weight
    )
    size = optax.global_norm(slope)
    slope = jax.tree.map(lambda s: s * jnp.minimum(1.0, 1 / (size + 1e-9)), slope)
    update, moments = LEARNERS[learner].update(slope, moments, params)
    params = jax.tree.map(lambda p, u: p + rate * u, params, update)
    mean_params = jax.tree.map(lambda m, p: average * m + (1 - average) * p, mean_params, params)
    smoothing = jax.grad(lambda x: jnp.sum(batch["tv_weight"] * total_variation(x)))

    def push(pictures, gradient):
        x, last_x, last_gradient, *pairs, age = pictures
        gradient = gradient + smoothing(x)
        moved, *pairs = jax.vmap(lbfgs_step)(x, gradient, last_x, last_gradient, *pairs, age)
        return (moved, x, gradient, *pairs, age + 1)

    def push_again(pictures):
        gradient, _ = jax.grad(student_loss, argnums=1, has_aux=True)(student, pictures[0], batch)
        return push(pictures, gradient)

    pictures = push(tuple(batch[name] for name in PICTURE), gradient)
    for _ in range(pushes - 1):  # written out: XLA's convolutions are several times slower inside a loop on a CPU
        pictures = push_again(pictures)
    return (params, mean_params, moments), log, dict(zip(PICTURE, pictures, strict=True))


def export(path: Path, params: Params, scales: dict[str, float], metadata: dict[str, str]) -> None:
    """The network in the project's HDF5 format, float16: kernels, biases, and each tap's map in the teacher's units."""
    partial = path.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        known = {"format": "nst_jax weights", "format_version": 1, "network": "slim", "channel_order": "RGB",
                 "range": 1.0, "mean": MEAN, "std": STD, "table": TABLE}  # fmt: skip
        for key, value in {**metadata, **known}.items():
            file.attrs[key] = value
        for name, parts in params["net"].items():
            for part, array in parts.items():
                file[f"{name}/{part}"] = np.asarray(array, np.float16)
        for tap, matrix in params["maps"].items():
            file[f"{tap}/map"] = np.asarray(matrix * scales[tap], np.float16)
    partial.replace(path)


def load_export(path: Path, scales: dict[str, float]) -> Params:
    """The parameters from a file that ``export`` wrote."""
    with h5py.File(path) as file:
        get = lambda name: jnp.asarray(file[name][()], jnp.float32)  # noqa: E731
        net = {name: {"kernel": get(f"{name}/kernel"), "bias": get(f"{name}/bias")} for name, width in rows() if width}
        return {"net": net, "maps": {tap: get(f"{tap}/map") / scales[tap] for tap in TAPS}}


def main() -> None:
    shared = os.environ.get("NST_JAX_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=Path(shared), help="folder with weights/vgg19_notop.h5 and images/{train,…}")
    add("--out", type=Path, required=True, help="folder for checkpoints and slim.h5; an unfinished run goes on")
    add("--minutes", type=float, default=90)
    add("--gradient-after", type=float, default=0.5, help="part of the time after which gradients are matched too")
    add("--gradient-weight", type=float, default=1.0)
    add("--init-from", type=Path, help="a slim.h5 to start from instead of random filters")
    add("--rate", type=float, default=2e-3, help="Adam's first learning rate; a half cosine leads it to 1 percent")
    add("--learner", choices=("adam", "muon"), default="adam")
    add("--average", type=float, default=0.998, help="decay of the averaged parameters, which are what is exported")
    add("--batch", type=int, default=8)
    add("--size", type=int, default=96, help="pixels, a multiple of 16")
    add("--bank", type=int, default=64)
    add("--pushes", type=int, default=3, help="L-BFGS steps of the batch's pictures in each iteration")
    add("--mean-age", type=float, default=50, help="steps that a picture is stylised for, exponentially distributed")
    add("--teacher", choices=("torch", "jax"), default="jax" if jax.default_backend() != "cpu" else "torch")
    add("--seed", type=int, default=0)
    add("--log-every", type=int, default=100)
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    weights = options.data / "weights" / "vgg19_notop.h5"
    teacher = {"torch": TorchTeacher, "jax": JaxTeacher}[options.teacher](weights)
    pictures = Pictures(options.data / "images", options.size, rng)
    sample = np.stack([pictures.crop(kind) for kind in ("train", "style") for _ in range(8)])
    zeros = {tap: np.zeros((16, n, n), np.float32) for tap, n in TEACHER_CHANNELS.items() if tap in STYLE_TAPS}
    nothing = np.zeros((16, options.size // 8, options.size // 8, 512), np.float16)
    answer = teacher.lesson(sample, nothing, zeros, np.ones((16, 5), np.float32), np.ones(16, np.float32), False)
    scales = {tap: float(np.sqrt(np.mean(f**2))) for tap, f in answer.features.items()}

    params = load_export(options.init_from, scales) if options.init_from else random_start(options.seed)
    state = (params, jax.tree.map(jnp.copy, params), LEARNERS[options.learner].init(params))
    progress = {"iteration": 0, "seconds": 0.0}
    options.out.mkdir(parents=True, exist_ok=True)
    manager = ocp.CheckpointManager(options.out.resolve() / "checkpoints", options=ocp.CheckpointManagerOptions(
        max_to_keep=2))  # fmt: skip
    if manager.latest_step() is not None:
        saved = manager.restore(manager.latest_step(), args=ocp.args.StandardRestore(
            {"state": state, "progress": progress, "scales": scales}))  # fmt: skip
        state, progress, scales = (saved[name] for name in ("state", "progress", "scales"))
        rng = pictures.rng = np.random.default_rng([options.seed, progress["iteration"]])
    bank = Bank(options.bank, pictures, teacher, options.mean_age)
    teacher_hash = hashlib.sha256(weights.read_bytes()).hexdigest()

    began, iteration, before = time.monotonic(), int(progress["iteration"]), float(progress["seconds"])
    saved_at, logs, finished = began, [], []

    def save(seconds: float) -> None:
        content = {"state": state, "progress": {"iteration": iteration, "seconds": seconds}, "scales": scales}
        manager.save(iteration, args=ocp.args.StandardSave(content))
        manager.wait_until_finished()
        command = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in vars(options).items()
                           if key not in ("data", "out") and value is not None)  # fmt: skip
        export(options.out / "slim.h5", state[1], scales, {
            "trained_by": f"scripts/train_slim.py {command}", "trained_iterations": str(iteration),
            "trained_minutes": f"{seconds / 60:.1f}", "trained_on": f"{len(pictures.kinds['train'])} photographs, "
            f"{len(pictures.kinds['content'])} contents, {len(pictures.kinds['style'])} paintings",
            "teacher": "VGG-19, Simonyan and Zisserman 2014, CC BY 4.0", "teacher_sha256": teacher_hash,
        })  # fmt: skip

    def teach(batch, with_gradient):
        items, rows_, content, style = batch
        weights_ = rows_["style_weights"], rows_["content_weight"]
        return batch, teacher.lesson(rows_["x"], content, style, *weights_, with_gradient)

    with concurrent.futures.ThreadPoolExecutor(1) as aside:  # the teacher reads the next batch while the student learns
        coming = aside.submit(teach, bank.batch(options.batch), False)
        while (seconds := before + time.monotonic() - began) < 60 * options.minutes:
            part = seconds / (60 * options.minutes)
            (items, rows_, _, targets), lesson = coming.result()
            with_gradient = part >= options.gradient_after and options.gradient_weight > 0
            coming = aside.submit(teach, bank.batch(options.batch, items), with_gradient)
            weight = options.gradient_weight if lesson.gradient.any() else 0.0
            rate = options.rate * min(1, (iteration + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * part)))
            state, log, moved = train_step(
                state,
                rows_,
                lesson,
                targets,
                scales,
                rate,
                learner=options.learner,
                gradient_weight=weight,
                average=options.average,
                pushes=options.pushes,
            )
            finished += bank.push(items, jax.tree.map(np.asarray, moved), lesson.losses)
            logs.append(jax.tree.map(np.asarray, log))
            iteration += 1
            if iteration % options.log_every == 0:
                means = {key: np.round(np.mean([log[key] for log in logs], 0), 3) for key in logs[0]}
                style, content = np.median(finished, 0) if finished else (np.nan, np.nan)
                print(f"{iteration} {seconds / 60:.1f} min, rate {rate:.1e}, loss {means['loss']}, "
                      f"features {means['features']}, Grams {means['grams']}, gradients {means['gradients']}, "
                      f"{len(finished)} finished: style {style:.3f} content {content:.3f}", flush=True)  # fmt: skip
                logs, finished = [], []
            if time.monotonic() - saved_at > 300:
                saved_at = time.monotonic()
                save(seconds)
    save(seconds)


if __name__ == "__main__":
    main()
