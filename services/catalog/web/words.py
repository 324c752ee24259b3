"""How values read on a page: numbers, times, names, addresses. Everything that comes out is text, escaped by the template."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlencode

from markupsafe import Markup, escape

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_STEPS = ((60, "s", 1), (3600, "min", 60), (86_400, "h", 3600), (float("inf"), "d", 86_400))
_SERVICE_WORK = {
    "registry": "registers sources",
    "connector": "connects",
    "discovery": "finds tables",
    "classifier": "classifies columns",
    "compliance": "judges controls",
    "tagger": "derives tags",
    "catalog": "keeps this page",
}


def visible(text: object) -> str:
    """A name as it may be shown: what cannot be seen, or would turn the direction of reading, becomes a replacement character.

    >>> visible("pay\\u202eroll\\n")
    'pay�roll�'
    """
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(mark) in _UNSEEN else mark for mark in str(text))


def grouped(number: float | None) -> str:
    """12345 as 12,345; nothing known as a dash."""
    return "–" if number is None else f"{number:,.0f}"


def size(count: int | None) -> str:
    """Bytes for people.

    >>> size(1536), size(None)
    ('1.5 KiB', '–')
    """
    if count is None:
        return "–"
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def ago(at: datetime, now: datetime) -> str:
    """How long before `now`, in one unit.

    >>> ago(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 5, tzinfo=UTC))
    '5 min ago'
    """
    passed = max(0.0, (now - at).total_seconds())
    for below, unit, length in _STEPS:
        if passed < below:
            return "just now" if passed < 2 else f"{passed // length:.0f} {unit} ago"
    raise AssertionError


def clock(at: datetime) -> str:
    """Date and time to the millisecond, UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def minute(moment: str) -> str:
    """A moment that a document tells in UTC, to the minute.

    >>> minute("2026-12-31T23:59:59Z")
    '2026-12-31 23:59 UTC'
    """
    return f"{moment[:16].replace('T', ' ')} UTC"


def path(key: str) -> str:
    """A key as part of an address: its own percent signs are escaped once more."""
    return quote(key, safe="/~")


def encoded(name: str) -> str:
    """A name as in keys: what a form could not carry unchanged, such as line ends, is escaped."""
    return quote(name, safe="")


def query(**wanted: str | int | bool) -> str:
    """A query string of what is set; empty where nothing is."""
    given = {name.rstrip("_"): value for name, value in wanted.items() if value}
    return "?" + urlencode(given) if given else ""


def source_name(key: str) -> str:
    """The source's own name out of a source or asset key."""
    parts = key.split("/")
    return visible(unquote(parts[1] if len(parts) > 1 else key))


def asset_name(key: str) -> str:
    """schema.table out of an asset key, decoded; any other key as it is."""
    parts = key.split("/")
    names = parts[-1].split(".")
    return visible(".".join(map(unquote, names[-2:])) if len(parts) == 3 else unquote(parts[-1]))


def worded(name: str) -> str:
    """An identifier as words: `card_pan` reads "card pan"."""
    return visible(name.replace("_", " "))


def declared(field: str) -> str:
    """A field of a source's document as people call it: `labels.purpose` is the purpose."""
    return field.removeprefix("labels.").replace("_", " ")


def does(service: str) -> str:
    """What a service's work is, in two words."""
    return _SERVICE_WORK.get(service, "")


def coded(text: str) -> Markup:
    """A sentence of ours in which `backticks` mark what to type. Everything in it is escaped first.

    >>> coded("Run `a<b`.")
    Markup('Run <code>a&lt;b</code>.')
    """
    parts = escape(visible(text)).split("`")
    if len(parts) % 2 == 0:
        return Markup("`").join(parts)
    return Markup("").join(Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts))


FILTERS = {
    function.__name__: function
    for function in (visible, grouped, size, clock, minute, path, encoded, source_name, asset_name, worded, declared, does, coded)
}
