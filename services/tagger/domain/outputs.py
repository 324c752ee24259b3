"""What an applied module gives back, for files and for the environment of what comes next."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from shared.contracts.source import Problem

PLACE = "infrastructure.outputs"


@dataclass(frozen=True, slots=True)
class Outputs:
    """`values` by the job's own names; `kept_back` are sensitive ones, which no file gets."""

    values: dict[str, Any]
    kept_back: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def outputs_of(given: Mapping[str, Any], wanted: Mapping[str, str]) -> Outputs:
    """The outputs that the job asks for (name to the module's name), or all where it asks for none. `given` is from `output -json`."""
    names = dict(wanted) or {name: name for name in given}
    values: dict[str, Any] = {}
    kept_back = list[str]()
    problems = list[Problem]()
    for name, theirs in names.items():
        if theirs not in given:
            problems.append(_missing(name, theirs, given))
        elif given[theirs].get("sensitive"):
            kept_back.append(name)
        else:
            values[name] = given[theirs].get("value")
    problems += _alike(values)
    return Outputs(values, tuple(kept_back), tuple(problems))


def _missing(name: str, theirs: str, given: Mapping[str, Any]) -> Problem:
    near = get_close_matches(theirs, given, n=1)
    remedy = f"Did you mean {near[0]}?" if near else f"It has {', '.join(sorted(given)) or 'none'}."
    return Problem(field=f"{PLACE}.{name}", code="output_missing", message="is no output of the module", remedy=remedy)


def _alike(values: Mapping[str, Any]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in values:
        if (other := seen.setdefault(variable(name), name)) != name:
            message = f"is the same variable as {other}"
            yield Problem(field=f"{PLACE}.{name}", code="output_twice", message=message, remedy="Rename one of them.")


def variable(name: str) -> str:
    """An output's name as a variable of the environment.

    >>> variable("emr_cluster_id"), variable("2nd-bucket")
    ('EMR_CLUSTER_ID', '_2ND_BUCKET')
    """
    plain = re.sub(r"[^A-Z0-9_]", "_", name.upper())
    return f"_{plain}" if plain[:1].isdigit() else plain


def as_environment(values: Mapping[str, Any]) -> str:
    """Lines for a POSIX shell to read, quoted; what is no text is JSON.

    >>> as_environment({"emr_cluster_id": "j-1", "subnets": ["a b"]}), as_environment({"x": "it's"})
    ('export EMR_CLUSTER_ID=j-1\\nexport SUBNETS=\\'["a b"]\\'\\n', 'export X=\\'it\\'"\\'"\\'s\\'\\n')
    """
    spelled = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items() if value is not None}
    return "".join(f"export {variable(name)}={shlex.quote(text)}\n" for name, text in spelled.items())
