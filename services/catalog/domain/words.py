"""Words that a person would search by: names cut at underscores, capitals and digits, without accents, in lower case."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache

from shared.errors import NEAR

ALIKE = 0.75  # of 1; two names in one schema are somewhat alike already
WORD_CHARACTERS = 64  # a longer run of letters is no word; its head is enough to find it
_SPELT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ø": "oe", "Ø": "Oe", "å": "aa", "Å": "Aa", "æ": "ae", "Æ": "Ae"}
)
_RUN = re.compile(r"[^\W_]+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\da-zA-Z_]+")


def plain(text: str) -> str:
    """Without accents and other marks: naïve becomes naive."""
    if text.isascii():
        return text
    return "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))


def _spellings(text: str) -> tuple[str, ...]:
    """Without accents, and where it differs with the letters that stand for them: Größe becomes Große and Groeße.

    >>> _spellings("café"), _spellings("Größe")
    (('cafe',), ('Große', 'Groeße'))
    """
    if text.isascii():
        return (text,)
    return tuple(dict.fromkeys(map(plain, (text, unicodedata.normalize("NFC", text).translate(_SPELT)))))


def folded(name: str) -> str:
    """As names are compared, however they are written: the shell folds them in the same way, and no database does.

    >>> folded("Straße.csv") == folded("STRASSE.CSV")
    True
    """
    return name.casefold()


def look_alike(name: str, places: Mapping[str, str]) -> list[str]:
    """The assets whose names look most like this one. `places`: of each its `schema.table`, folded; both are compared where both are given.

    >>> places = {"a": "sales.orders", "b": "sales.people", "c": "hr.orders"}
    >>> look_alike("Ordres", places), look_alike("crm/db.hr.ordres", places)
    (['a', 'c'], ['c'])
    """
    wanted = folded(name)[-WORD_CHARACTERS:].rpartition("/")[2].split(".")[-2:]
    named = defaultdict[str, list[str]](list)
    for asset, place in places.items():
        named[".".join(place.split(".")[-len(wanted) :])].append(asset)
    return [asset for near in get_close_matches(".".join(wanted), named, n=NEAR, cutoff=ALIKE) for asset in named[near]][:NEAR]


@lru_cache(maxsize=16_384)
def words_of(text: str) -> frozenset[str]:
    """The words of one name or comment. Letters and digits only, so they need no quoting anywhere.

    >>> sorted(words_of("customerEMail_address2"))
    ['2', 'address', 'address2', 'customer', 'customeremail', 'e', 'mail']
    """
    runs = (run for spelling in _spellings(text) for run in _RUN.findall(spelling))
    parts = (part for run in runs for part in (run, *_PART.findall(run)))
    return frozenset(part.casefold()[:WORD_CHARACTERS] for part in parts)


def vector(texts: Iterable[str]) -> str:
    """All words of `texts` as a tsvector literal."""
    return " ".join(frozenset().union(*map(words_of, texts)))


def typed(text: str) -> list[frozenset[str]]:
    """What a person typed, word by word, each in all of its spellings.

    >>> [sorted(word) for word in typed("Cust-omer  Größe")], typed("''")
    ([['cust'], ['omer'], ['groesse', 'grosse']], [])
    """
    runs = zip(*map(_RUN.findall, _spellings(text)), strict=True)
    return list(dict.fromkeys(frozenset(run.casefold()[:WORD_CHARACTERS] for run in spellings) for spellings in runs))


def begins(word: frozenset[str]) -> str:
    """The tsquery of a word that was typed: some word of a table begins so.

    >>> begins(frozenset({"groesse", "grosse"}))
    'groesse:* | grosse:*'
    """
    return " | ".join(f"{spelling}:*" for spelling in sorted(word))
