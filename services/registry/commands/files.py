"""A source document from a file, standard input or a database URL."""

from __future__ import annotations

from shared.cli.files import Written, read_file, written
from shared.cli.target import parse

__all__ = ["Written", "read", "written"]


def read(which: str) -> Written:
    """The document that `which` names: a YAML or JSON file, `-`, or a URL. Raises UsageError."""
    if "://" in which:
        target = parse(which)
        return Written("the URL", target.document, password=target.password)
    return read_file(which, kind="source")
