"""What a person asks for, read from the query string. The same words serve pages and tools, so every view has an address."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from services.catalog.domain.keep import SENSITIVITIES
from shared.errors import UsageError

TEXT_CHARACTERS = 200
MOST_RESULTS = 500
MOST_OFFSET = 10_000_000


class Wanted(NamedTuple):
    """A search. Empty means: any. `named`: what a table is called, with more before it, or only the end of it."""

    text: str = ""
    class_name: str = ""
    framework: str = ""
    source: str = ""
    sensitivity: str = ""
    review: bool = False
    named: str = ""
    limit: int = 50
    offset: int = 0


def wanted(given: Mapping[str, str], *, limit: int = 50) -> Wanted:
    """The search that `given` describes. Raises UsageError where a number or a sensitivity is none."""
    return Wanted(
        text=clean(given.get("q", ""))[:TEXT_CHARACTERS],
        class_name=clean(given.get("class", "")),
        framework=clean(given.get("framework", "")),
        source=clean(given.get("source", "")),
        sensitivity=_sensitivity(clean(given.get("sensitivity", ""))),
        review=given.get("review", "") not in ("", "0", "false"),
        named=clean(given.get("named", "")),
        limit=number(given, "limit", limit, MOST_RESULTS),
        offset=number(given, "offset", 0, MOST_OFFSET),
    )


def _sensitivity(text: str) -> str:
    if text and text not in SENSITIVITIES:
        raise UsageError("unknown sensitivity", remedy=f"Known are: {', '.join(SENSITIVITIES)}.", code="unknown_sensitivity")
    return text


def clean(text: str) -> str:
    """What was asked for, without the two kinds of characters that PostgreSQL cannot be asked for: null and lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def number(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number, held within 0 and `most`. Raises UsageError for anything else."""
    text = given.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise UsageError(f"{name} is not a number", remedy=f"Give a whole number from 0 to {most}.", code="bad_number")
    return min(int(text), most)


def moment(given: Mapping[str, str], name: str) -> datetime | None:
    """A time, ISO 8601; without a zone it is UTC; a plus that became a space is mended. Raises UsageError for anything else."""
    if not (text := given.get(name, "")):
        return None
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise UsageError(f"{name} is not a time", remedy="Give it as 2026-11-21T09:30:00Z.", code="bad_time") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
