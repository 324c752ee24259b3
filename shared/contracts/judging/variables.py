"""`${VAR}` in a document: replaced by what the reader of the file gives, and by nothing else.

A variable that is not defined is a problem, never an empty text. `$${VAR}` stays `${VAR}`. One that is named like a secret
is refused, because a document is stored, shown and handed on.

>>> replaced({"a": {"b": "s3://${BUCKET}"}}, {"BUCKET": "lake"}).document
{'a': {'b': 's3://lake'}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.contracts.judging.hostile import shown
from shared.contracts.judging.secrecy import looks_secret
from shared.contracts.source import Problem

_MARK = re.compile(r"\$(\$)?\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Replaced(NamedTuple):
    document: dict[str, Any]
    problems: tuple[Problem, ...]


def replaced(document: dict[str, Any], variables: Mapping[str, str]) -> Replaced:
    """The document with every variable in its texts replaced; keys stay as they are. What is put in is not looked at again."""
    problems: list[Problem] = []
    return Replaced(_walk(document, "", variables, problems), tuple(problems))


def _walk(value: Any, path: str, variables: Mapping[str, str], problems: list[Problem]) -> Any:
    if isinstance(value, dict):
        return {key: _walk(each, f"{path}.{key}" if path else str(key), variables, problems) for key, each in value.items()}
    if isinstance(value, list):
        return [_walk(each, f"{path}.{number}", variables, problems) for number, each in enumerate(value)]
    return _text(value, path, variables, problems) if isinstance(value, str) and "${" in value else value


def _text(text: str, path: str, variables: Mapping[str, str], problems: list[Problem]) -> str:
    def put(found: re.Match[str]) -> str:
        escaped, name = found.groups()
        if escaped:
            return found.group(0)[1:]
        if problem := _wrong(name, path, variables):
            problems.append(problem)
            return found.group(0)
        return variables[name]

    return _MARK.sub(put, text)


def _wrong(name: str, path: str, variables: Mapping[str, str]) -> Problem | None:
    field = shown(path)
    if not _NAME.fullmatch(name):
        return Problem(
            field=field, code="bad_variable", message="holds ${…} that names no variable", remedy="Write ${NAME}, or $${ for ${."
        )
    if looks_secret(name):
        message = f"asks for the variable {shown(name)}, which is named like a secret"
        return Problem(field=field, code="secret_in_document", message=message, remedy="Give secrets by reference where they are needed.")
    if name not in variables:
        remedy = f"Set {shown(name)}, or write $${{{shown(name)}}} for the text itself."
        return Problem(
            field=field, code="undefined_variable", message=f"needs the variable {shown(name)}, which is not defined", remedy=remedy
        )
    return None
