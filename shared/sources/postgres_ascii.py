"""Databases of encoding SQL_ASCII hold bytes that nobody vouches for: they come as Latin-1, which fits any; what is UTF-8 is read as that.

>>> told("Mu\u00cc\u0088ller"), told("M\u00fcller"), told("M\u00c3\u00bc\u00c3")
('Mu\u0308ller', 'M\u00fcller', 'M\u00fc')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg

from shared.sources.base import NO_TEXT, TableFacts

RAW = "; set local client_encoding = 'latin1'"  # a server of this encoding then converts nothing


def is_raw(connection: asyncpg.Connection) -> bool:
    """Whether this line leads to such a database."""
    return bool(connection.get_settings().server_encoding == "SQL_ASCII")


def told(text: str) -> str:
    """What was meant, as far as it can be known; a letter that was cut at the end is left out."""
    raw = text.encode("latin-1")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        return raw[: error.start].decode() if error.reason == "unexpected end of data" else text


def all_told(found: Any) -> Any:
    """The same for each text in a row, however deep."""
    if isinstance(found, str):
        return told(found)
    return tuple(map(all_told, found)) if isinstance(found, list | tuple | asyncpg.Record) else found


def asked(text: str) -> str:
    """The other way round, for an argument: it goes by the same encoding, while a statement's own text always goes as UTF-8."""
    return text.encode().decode("latin-1")


def nameable(facts: TableFacts, names: Sequence[str]) -> TableFacts:
    """Of the columns called `names`, as they come, those are not looked at whose name is not UTF-8: no statement of ours can say it."""
    shut = [asked(told(name)) != name for name in names]
    if not any(shut):
        return facts
    kinds = facts.kinds or ("",) * len(shut)
    return replace(
        facts,
        sampled=tuple(open_ and not bad for open_, bad in zip(facts.sampled, shut, strict=True)),
        kinds=tuple(NO_TEXT if bad else kind for kind, bad in zip(kinds, shut, strict=True)),
    )
