"""The doors of the commands: what a signal does is settled here, before anything slow is imported."""

from __future__ import annotations

from nst_jax.cli.signals import ends_at_once


def stylize() -> int:
    """``nst-stylize``."""
    ends_at_once("nst-stylize")
    from nst_jax.cli.stylize import main

    return main()


def sweep() -> int:
    """``nst-sweep``."""
    ends_at_once("nst-sweep")
    from nst_jax.cli.sweep import main

    return main()


def reproduce() -> int:
    """``nst-reproduce``."""
    ends_at_once("nst-reproduce")
    from nst_jax.cli.reproduce import main

    return main()


def batch() -> int:
    """``nst-batch``."""
    ends_at_once("nst-batch")
    from nst_jax.cli.batch import main

    return main()


def replay() -> int:
    """``nst-replay``."""
    ends_at_once("nst-replay")
    from nst_jax.cli.replay import main

    return main()
