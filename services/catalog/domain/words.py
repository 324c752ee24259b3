"""Words that a person would search by: names cut at underscores, capitals and digits, without accents, in lower case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

WORD_CHARACTERS = 64  # a longer run of letters is no word; its head is enough to find it
_RUN = re.compile(r"[^\W_]+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\da-zA-Z_]+")


def plain(text: str) -> str:
    """Without accents and other marks: naïve becomes naive."""
    if text.isascii():
        return text
    return "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))


def folded(name: str) -> str:
    """As names are compared, however they are written: the shell folds them in the same way, and no database does.

    >>> folded("Straße.csv") == folded("STRASSE.CSV")
    True
    """
    return name.casefold()


@lru_cache(maxsize=16_384)
def words_of(text: str) -> frozenset[str]:
    """The words of one name or comment. Letters and digits only, so they need no quoting anywhere.

    >>> sorted(words_of("customerEMail_address2"))
    ['2', 'address', 'address2', 'customer', 'customeremail', 'e', 'mail']
    """
    runs = _RUN.findall(plain(text))
    parts = (part for run in runs for part in (run, *_PART.findall(run)))
    return frozenset(part.casefold()[:WORD_CHARACTERS] for part in parts)


def vector(texts: Iterable[str]) -> str:
    """All words of `texts` as a tsvector literal."""
    return " ".join(frozenset().union(*map(words_of, texts)))


def prefixes(text: str) -> list[str]:
    """What a person typed, as one tsquery per word: every run of letters must begin some word.

    >>> prefixes("Cust-omer  e_mail"), prefixes("''")
    (['cust:*', 'omer:*', 'e:*', 'mail:*'], [])
    """
    runs = (run.casefold()[:WORD_CHARACTERS] for run in _RUN.findall(plain(text)))
    return [f"{run}:*" for run in dict.fromkeys(runs)]
