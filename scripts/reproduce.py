"""Make a figure of the papers again: ``python scripts/reproduce.py fig3 --content a.jpg --styles b.jpg``."""

import sys

from nst_jax.cli.start import reproduce

if __name__ == "__main__":
    sys.exit(reproduce())
