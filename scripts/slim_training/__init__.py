"""How ``slim`` is trained; ``scripts/train_slim.py`` is the command, docs/slim.md the story.

``student`` is what learns, ``teacher`` what it learns from, ``lesson`` how far the student is from that. ``pictures``,
``renewals`` and ``bank`` are what it is taught with, ``lbfgs`` how those move on, ``learning`` one iteration of it all.
``run`` is the loop, with its ``checkpoints``; ``options`` and ``command`` are the command line.
"""
