"""Puts a photograph, a painting and a result beside each other: the picture at the top of the README.

python scripts/stylize.py --content examples/townhouses.jpg --style examples/swirls.jpg --network slim
python examples/panel.py examples/townhouses.jpg examples/swirls.jpg stylized.png examples/readme.jpg
"""

import sys

from PIL import Image

HEIGHT, GAP = 360, 8


def main(*paths: str) -> None:
    """All but the last path, scaled to ``HEIGHT`` pixels, side by side into the last."""
    *sources, output = paths
    pictures = [Image.open(path).convert("RGB") for path in sources]
    pictures = [
        one.resize((round(one.width * HEIGHT / one.height), HEIGHT), Image.Resampling.LANCZOS) for one in pictures
    ]
    panel = Image.new("RGB", (sum(one.width for one in pictures) + GAP * (len(pictures) - 1), HEIGHT), "white")
    left = 0
    for one in pictures:
        panel.paste(one, (left, 0))
        left += one.width + GAP
    panel.save(output, quality=88)


if __name__ == "__main__":
    main(*sys.argv[1:])
