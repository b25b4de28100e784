"""Paint a photograph over a grid of options: ``python scripts/sweep.py --content a.jpg --style b.jpg --output DIR``."""

import sys

from nst_jax.cli.start import sweep

if __name__ == "__main__":
    sys.exit(sweep())
