"""How types are checked in the tests: by beartype, but where only shapes are handed over."""

import functools

import beartype
import jax

#: What JAX puts in an array's place where it compiles a program before its arguments are there.
SHAPES = (jax.ShapeDtypeStruct, jax.stages.ArgInfo)


def checked(function):
    """``function`` with its calls checked, but for a dataclass that is made of shapes."""
    check = beartype.beartype(function)
    if function.__name__ != "__init__":
        return check

    @functools.wraps(function)
    def call(*args, **kwargs):
        leaves = jax.tree.leaves((args[1:], kwargs))
        return (function if any(isinstance(leaf, SHAPES) for leaf in leaves) else check)(*args, **kwargs)

    return call
