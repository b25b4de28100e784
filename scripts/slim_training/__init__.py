"""How ``slim`` is trained; ``scripts/train_slim.py`` is the command, docs/slim.md the story.

``student`` is what learns, ``teacher`` (or ``torch_teacher``) what it learns from, ``lesson`` how far it is from that.
``pictures`` and ``bank`` are what it is taught with, ``lbfgs`` how those move on, ``learning`` one iteration of it all.
``run`` is the loop, with its ``checkpoints``; ``command`` the options.
"""
