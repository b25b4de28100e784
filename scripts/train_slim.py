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
The parts are in ``slim_training``, beside this file.
"""

import sys

from slim_training.command import main

if __name__ == "__main__":
    sys.exit(main())
