"""The algorithm once more in float64 NumPy, as plainly as it can be written: what the tests compare the project with.

Nothing here is taken from the project but the table of layers, the numbers of a ``Weights`` and the default options.
"""

import numpy as np

from nst_jax import layers


def convolve(x, kernel, bias, beyond="constant"):
    """[H, W, I] by a kernel [3, 3, I, O]: [H, W, O]; a correlation, as in every deep network.

    Around it are zeros, or what else NumPy's ``pad`` calls ``beyond``.
    """
    height, width, _ = x.shape
    padded = np.pad(np.asarray(x, np.float64), ((1, 1), (1, 1), (0, 0)), beyond)
    out = np.zeros((height, width, kernel.shape[-1])) + np.asarray(bias, np.float64)
    for i in range(3):
        for j in range(3):
            out += padded[i : i + height, j : j + width] @ np.asarray(kernel[i, j], np.float64)
    return out


def pool(x, pooling):
    """[H, W, C] to [H // 2, W // 2, C]; an odd last row or column is dropped."""
    corners = np.stack([x[i : x.shape[0] // 2 * 2 : 2, j : x.shape[1] // 2 * 2 : 2] for i in (0, 1) for j in (0, 1)])
    return corners.max(axis=0) if pooling == "max" else corners.mean(axis=0)


def preprocess(weights, image):
    """RGB in [0, 1] to what the filters expect."""
    wanted = weights.preprocessing
    planes = [np.asarray(image, np.float64)[..., "RGB".index(channel)] for channel in wanted.channel_order]
    return np.stack([(wanted.range * p - m) / s for p, m, s in zip(planes, wanted.mean, wanted.std, strict=True)], -1)


def halved(image):
    """[H, W, 3] to the means of 2 × 2 pixels; an odd last row or column is dropped."""
    even = np.asarray(image, np.float64)[: len(image) // 2 * 2, : image.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def responses(weights, image, deepest, pooling="avg", padding="zeros"):
    """Every layer's responses to [H, W, 3], down to ``deepest``; mapped where a layer stands for a wider one."""
    x = preprocess(weights, image)
    out = {}
    for row in layers.NETWORKS[weights.network]:
        if row.kind == "conv":
            beyond = "edge" if padding == "replicate-first" and row.name == "conv1_1" else "constant"
            x = np.maximum(convolve(x, weights.arrays[row.name]["kernel"], weights.arrays[row.name]["bias"], beyond), 0)
        else:
            x = pool(x, pooling)
        out[row.name] = x @ weights.arrays[row.name]["map"].astype(np.float64) if row.stands_for else x
        if row.name == deepest:
            return out
    raise ValueError(deepest)


def gram(x):
    """[H, W, N] to [N, N], divided by the number of positions."""
    flat = x.reshape(-1, x.shape[-1])
    return flat.T @ flat / len(flat)


def objective(weights, config, content, styles):
    """Gives a function from an image to the four numbers of a report: content, style, tv and the weighted total.

    All pictures are [H, W, 3] in [0, 1].
    """
    if hasattr(config, "for_network"):
        config = config.for_network(weights.network)  # complete
    names = [row.name for row in layers.NETWORKS[weights.network]]
    deepest = max([*config.content_layer_weights, *config.style_layer_weights], key=names.index)
    octaves, padding = getattr(config, "style_octaves", 1), getattr(config, "padding", "zeros")

    def seen(picture):
        return responses(weights, picture, deepest, config.pooling, padding)

    def halves(picture):
        """The responses at each octave."""
        pictures = [picture]
        while len(pictures) < octaves:
            pictures.append(halved(pictures[-1]))
        return [seen(each) for each in pictures]

    photograph, paintings = seen(content), [halves(style) for style in styles]
    targets = [
        {
            tap: np.mean([gram(painting[octave][tap]) for painting in paintings], axis=0)
            for tap in config.style_layer_weights
        }
        for octave in range(octaves)
    ]

    def distance(x, target, paper):
        square = np.square(x - target).sum()
        return {
            "gatys2015": square * paper,
            "gatys2016": square / target.size,
            "normalized": square / np.square(target).sum() if square else 0.0,
        }[config.loss]

    def terms_of(image):
        new, *smaller = halves(image)
        terms = {"content": 0.0, "style": 0.0}
        for tap, weight in config.content_layer_weights.items():
            terms["content"] += weight * distance(new[tap], photograph[tap], 0.5)
        shares = np.array([4.0**-octave for octave in range(octaves)])
        shares /= shares.sum()
        for each, wanted, share in zip([new, *smaller], targets, shares, strict=True):
            for tap, weight in config.style_layer_weights.items():
                paper = 1 / (4 * len(wanted[tap]) ** 2)
                terms["style"] += weight * distance(gram(each[tap]), wanted[tap], paper) * share
        grey = np.asarray(image, np.float64).mean(-1, keepdims=True)
        image = grey + config.tv_chroma * (image - grey)
        terms["tv"] = (np.square(np.diff(image, axis=0)).sum() + np.square(np.diff(image, axis=1)).sum()) / image.size
        weighted = {name: getattr(config, f"{name}_weight") * terms[name] for name in ("content", "style", "tv")}
        return {**terms, "total": sum(weighted.values())}

    return terms_of


def loss_terms(weights, config, image, content, styles):
    """``objective`` at one image."""
    return objective(weights, config, content, styles)(image)


def slope(function, x, direction, step=1e-6):
    """The derivative of a function of [..] along ``direction`` by central differences."""
    return (function(x + step * direction) - function(x - step * direction)) / (2 * step)


def inverse_hessian(pairs, size):
    """The approximation from pairs (s, y), oldest first, as a matrix (Nocedal and Wright, equations 7.16 and 7.20)."""
    s, y = pairs[-1]
    inverse = np.eye(size) * (s @ y) / (y @ y)
    for s, y in pairs:
        v = np.eye(size) - np.outer(y, s) / (s @ y)
        inverse = v.T @ inverse @ v + np.outer(s, s) / (s @ y)
    return inverse
