"""What makes a run this one, as values for JSON, and the first difference to another in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nst_jax.runs.plan import Prepared
from nst_jax.runs.result import roles_of


def identity(run: Prepared, looks: int = 0) -> dict[str, Any]:
    """What a run is: its options, its stages, the hashes of pictures and weights, and the lengths of its programs.

    What of that decides no pixel is left out: the names of files, and the preset by which options were given.
    ``looks`` is as ``stylize`` takes it.
    """
    left_out = ("preset", "depth", *run.config.files)
    return {
        "options": {name: value for name, value in run.config.to_json().items() if name not in left_out},
        "inputs": [[role, picture.sha256] for role, picture in roles_of(run.pictures)],
        "network": [each.weights.sha256 for each in run.passes],
        "stages": [[*size, steps] for size, steps in run.schedule],
        "looks": run.way(looks)["looks"],
    }


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first difference between two identities in words, or ""; ``there`` may be anything that JSON knows."""
    told, mine = there.get("options"), as_read(here["options"])
    for name in mine:
        if not isinstance(told, Mapping) or name not in told:
            return f"it does not say {name}"
        if told[name] != mine[name]:
            return f"{name} is {words(told[name])}, not {words(mine[name])}"
    inputs = there.get("inputs")
    if not isinstance(inputs, Sequence) or len(inputs) != len(here["inputs"]):
        return "it has another number of pictures"
    for one, (role, digest) in zip(inputs, here["inputs"], strict=True):
        if one != [role, digest]:
            return f"a picture is another one ({role})"
    for key, name in {"network": "the network's file", "stages": "the sizes", "looks": "--save-every"}.items():
        if there.get(key) != as_read(here[key]):
            return f"{name} differ" if name.endswith("s") else f"{name} is another"
    return ""


def as_read(told: Any) -> Any:
    """Values as they come back from JSON: with lists for tuples."""
    return json.loads(json.dumps(told))


def words(value: Any) -> str:
    """A value of JSON as it is told, without brackets."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
