"""What looks like a secret in a document, and how that is refused: its value is never repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from shared.contracts.cloud import CLOUDS
from shared.contracts.judging.hostile import SECRETS, parts, shown
from shared.contracts.source import Problem

SCHEMES = ("env", "file", "local", "vault", "aws-sm", "azure-kv", "gcp-sm")
_SHAPES = ", ".join(f"{scheme}:/…" if scheme == "file" else f"{scheme}:…" for scheme in SCHEMES)
SEPARATOR = " | "
MOST_REFERENCES = 5
_REFERENCE = re.compile(rf"env:[^\s|]+|file:/[^|]+|(?:{'|'.join(SCHEMES[2:])}):[^\s|][^|]*")
REFERENCES = frozenset({"password_secret"} | {field for model in CLOUDS.values() for field in model.model_fields if field.endswith("_ref")})
NAMES = re.compile(r"passw|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key$|credential|passphrase", re.IGNORECASE)
LABEL_NAMES = re.compile(
    r"(?:^|[_.-])(?:passw(?:or)?d|pwd|passphrase|api[_-]?key|private[_-]?key|access[_-]?key|client[_-]?secret|secret(?:[_-]?key)?|token)$",
    re.IGNORECASE,
)
TEXTS = SECRETS


def looks_secret(name: str) -> bool:
    """Is this the name of a field that would hold a secret?"""
    return NAMES.search(name) is not None


def is_reference(text: str) -> bool:
    """Is this one reference, or a chain of them? A literal at the end of a chain is a secret like any other.

    >>> is_reference("env:A | vault:crm/db#password"), is_reference("env:A | hunter2")
    (True, False)
    """
    parts = text.split(SEPARATOR)
    return len(parts) <= MOST_REFERENCES and all(_REFERENCE.fullmatch(part.strip()) for part in parts)


def refused(field: str) -> Problem:
    """A field that may not be there."""
    return Problem(
        field=shown(field),
        code="secret_in_document",
        message="looks like a secret and was refused; its value was not kept",
        remedy="Store it with `pursight secrets set NAME` and give password_secret: local:NAME, or env:NAME.",
    )


def held(field: str) -> Problem:
    """A field whose text holds a secret."""
    return Problem(
        field=shown(field),
        code="secret_in_document",
        message="holds a secret and was refused; its value was not kept",
        remedy="Give host, port, database and username each in its own field, and secrets by reference.",
    )


def literal(document: dict[str, Any]) -> Iterator[Problem]:
    """Where a reference belongs, something else stands. `document` is in our spelling."""
    for path, _, value in parts(document):
        if path.rpartition(".")[2] in REFERENCES and value not in ("", None) and not (isinstance(value, str) and is_reference(value)):
            yield Problem(
                field=path,
                code="secret_not_a_reference",
                message="must be a reference, not the secret itself; the value was not kept",
                remedy=f"Use one of {_SHAPES}; up to {MOST_REFERENCES} of them with | between.",
            )


def in_text(document: dict[str, Any]) -> Iterator[Problem]:
    """A database URL, a key or a token pasted where something else belongs, names among it; a label that is named like a secret."""
    for path, _, value in parts(document):
        if TEXTS.search(path) or (isinstance(value, str) and TEXTS.search(value)):
            yield held(re.sub(r"\.\d+$", "", path))
        elif path.startswith("labels.") and value and LABEL_NAMES.search(path.partition(".")[2]):
            yield refused(path)
