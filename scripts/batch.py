"""Paint many photographs in many styles: ``python scripts/batch.py --content DIR --style b.jpg --output DIR``."""

import sys

from nst_jax.cli.start import batch

if __name__ == "__main__":
    sys.exit(batch())
