"""Trains ``slim``, the small network that ships with nst_jax, with VGG-19 as its teacher. See docs/slim.md.

    python scripts/train_slim.py --minutes 90 --out runs/slim
    python scripts/train_slim.py --minutes 30 --out runs/more --init-from runs/slim/slim.h5

The student starts from random filters. A *bank* holds pictures that are being stylised under the student itself by the
default preset's losses, each with its own photograph, painting, tap weights and L-BFGS memory. Every iteration takes a
batch of them, asks the teacher for its responses and their means and second moments, fits the student to these, and
pushes the batch a few L-BFGS steps further under the student. So the student is taught where its own mistakes lead:
features fitted on photographs alone are useless for stylisation. Three batches of four have average pooling, as the
default preset and the 2015 paper have; the fourth has maximum pooling, as some presets have.

The file slim.h5 is written every minute. The run is checkpointed with orbax every five minutes and goes on from there
when it is started again with the same ``--out``; the bank is drawn anew. Everything random comes from ``--seed``; only
the learning rate follows the clock. The parts are in ``slim_training``, beside this file.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where benchmarks and convert_weights are

from slim_training.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
