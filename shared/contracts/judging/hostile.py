"""Is a document fit to be looked at? Depth, size, lengths and characters, before anybody reads what it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shared.contracts.names import printable
from shared.contracts.source import Problem

MAX_DEPTH, MAX_PARTS, MAX_TEXT, MAX_NAME = 6, 5_000, 4_096, 255
MAX_PROBLEMS = 100
SHOWN = 120  # characters of a field's name in an answer
MULTILINE = frozenset({"description"})
# Control characters, half surrogates, and marks that turn the direction of what stands around them.
UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
UNFIT_IN_PROSE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
SECRETS = re.compile(
    r"\w://[^/\s@]*:[^/\s@]*@"  # a URL with a password in it
    r"|\b(?:password|passwd|pwd)\s*=\s*\S"  # a DSN
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\"private_key\"\s*:"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.",  # a JSON web token
    re.IGNORECASE,
)
SECRET_NAME = "(a name that holds a secret)"


def shown(field: str) -> str:
    """A field's name as it may be repeated: no secret, nothing that steers a terminal, and not for ever."""
    if SECRETS.search(field):
        return SECRET_NAME
    return printable(field[:SHOWN]) + ("…" if len(field) > SHOWN else "")


def parts(document: dict[str, Any], deepest: int = MAX_DEPTH) -> Iterator[tuple[str, int, Any]]:
    """Path, depth and value of everything inside, without recursion."""
    waiting: list[tuple[str, int, Any]] = [("", 0, document)]
    while waiting:
        path, depth, value = waiting.pop()
        if path:
            yield path, depth, value
        if depth > deepest:
            continue
        if isinstance(value, dict):
            waiting += [(f"{path}.{key}" if path else str(key), depth + 1, each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{path}.{number}", depth + 1, each) for number, each in enumerate(value)]


def too_large(document: dict[str, Any], *, most_parts: int = MAX_PARTS, deepest: int = MAX_DEPTH) -> Problem | None:
    """Nothing more is looked at in a document that is this deep or this long."""
    for number, (path, depth, _) in enumerate(parts(document, deepest)):
        if depth > deepest:
            return Problem(
                field=shown(path.partition(".")[0]), code="too_deep", message=f"is nested more than {deepest} deep", remedy="Flatten it."
            )
        if number >= most_parts:
            return Problem(field="document", code="too_large", message=f"has more than {most_parts} parts", remedy="Shorten it.")
    return None


def once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Each problem of a field once, and no more than a person reads."""
    told = tuple(problems)
    unique = tuple({(problem.field, problem.code): problem for problem in reversed(told)}.values())[::-1]
    if len(unique) <= MAX_PROBLEMS:
        return unique
    rest = Problem(field="document", code="more_problems", message=f"has {len(unique) - MAX_PROBLEMS} more problems")
    return (*unique[:MAX_PROBLEMS], rest)


def _is_multiline(path: str) -> bool:
    return path in MULTILINE


def unfit(document: dict[str, Any], *, prose: Callable[[str], bool] = _is_multiline, deepest: int = MAX_DEPTH) -> Iterator[Problem]:
    """Fields whose name or text is too long or cannot be stored or shown. `prose` tells which paths may have several lines."""
    for path, _, value in parts(document, deepest):
        key = path.rpartition(".")[2]
        if UNFIT.search(key) or (isinstance(value, str) and (UNFIT_IN_PROSE if prose(path) else UNFIT).search(value)):
            yield Problem(field=shown(path), code="control_character", message="holds control characters", remedy="Remove them.")
        if len(key) > MAX_NAME or (isinstance(value, str) and len(value) > MAX_TEXT):
            yield Problem(
                field=shown(path), code="too_long", message=f"is longer than {MAX_TEXT if len(key) <= MAX_NAME else MAX_NAME} characters"
            )
