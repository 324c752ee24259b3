"""Bytes that may be text: what programs put into columns for bytes is often a text all the same."""

from __future__ import annotations

import re
from collections.abc import Iterable

BYTES = 200  # of one value
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def text_in(raw: bytes) -> str | None:
    """The text that these bytes begin with; None where they are none. Zeros at the end only fill a column of one width.

    >>> text_in(b"ann@example.org"), text_in(b"id\\0\\0"), text_in(b"\\x89PNG\\r\\n"), text_in("é".encode()[:1])
    ('ann@example.org', 'id', None, None)
    """
    head = raw[:BYTES].rstrip(b"\0")
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data" or not error.start:  # else a character that was cut
            return None
        text = head[: error.start].decode()
    return None if _CONTROL.search(text) else text


def texts_in(values: Iterable[bytes]) -> list[str] | None:
    """A text for each, empty for what is none; None where most are none, which is no column of texts."""
    found = [text_in(value) for value in values]
    return None if 2 * found.count(None) > len(found) else [text or "" for text in found]
