"""Paint a photograph in the style of a painting: ``python scripts/stylize.py --content a.jpg --style b.jpg``."""

import sys

from nst_jax.cli.start import stylize

if __name__ == "__main__":
    sys.exit(stylize())
