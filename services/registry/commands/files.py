"""A source document from a file, standard input or a database URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from shared.cli.files import Written, read_file, written
from shared.cli.target import parse
from shared.errors import UsageError

__all__ = ["Written", "read", "written"]


def read(which: str) -> Written:
    """The document that `which` names: a YAML or JSON file, `-`, or a URL. Raises UsageError."""
    if "://" in which:
        target = parse(which)
        return Written("the URL", target.document, password=target.password)
    if Path(which).is_dir():
        url = f"file://{quote(str(Path(which).absolute()))}"
        raise UsageError(f"{which} is a folder", remedy=f"A folder is written {url}, a source's document as its file.", code="unreadable")
    return read_file(which, kind="source")
