"""Make a picture again from its own metadata: ``python scripts/replay.py result.png --output again.png``."""

import sys

from nst_jax.cli.start import replay

if __name__ == "__main__":
    sys.exit(replay())
