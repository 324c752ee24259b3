"""What data contracts say of columns: a claim of whoever wrote them, to be weighed with names and values, never proof by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from services.classifier.domain.score import Sign
from services.classifier.domain.taxonomy import Elsewhere, Taxonomy
from shared.contracts.asset import SchemaDiscovered
from shared.contracts.judging.contract import CLASSIFIED, column_of, is_of, object_of
from shared.contracts.names import AssetName

_SAYS_SO = 5.0  # log odds: alone it has a person asked, with a name or values that agree it is enough
_GRAVE = frozenset({"pii", "phi", "pci", "personal", "special", "sensitive", "secret", "restricted", "gdpr", "hipaa"})
_LISTED = re.compile("[,;|+]")
_LONGEST, _MOST = 160, 8  # characters of prose, words


class Promise(NamedTuple):
    """What one contract says of one column: the words that classify it, and its prose."""

    contract: str
    words: tuple[str, ...]
    prose: str

    @property
    def grave(self) -> str:
        """The first word that says that it is to be guarded, whatever it is; empty where none does."""
        return next((word for word in self.words if word.casefold() in _GRAVE), "")


Promises = Mapping[str, Promise]
"""By column."""
NONE: Promises = {}


def promises_of(contracts: Mapping[str, Mapping[str, Any]], table: SchemaDiscovered) -> Promises:
    """What these contracts, by name, say of the columns of a table; of several that do, the first by name."""
    found: dict[str, Promise] = {}
    for name, contract in sorted(contracts.items()):
        part = object_of(contract, AssetName.parse(table.asset)) if is_of(contract, table.spec) else None
        for column in table.columns if part else ():
            told = column_of(part, column.name) if part else None
            if told and (promise := _promise(name, told.body)) and (promise.words or promise.prose):
                found.setdefault(column.name, promise)
    return found


_KEPT = ("tenant", "servers", "customProperties", "schema", "server", "host", "database", "property", "value", "properties", "name")
_SAID = ("physicalName", "businessName", "description", "classification", "tags")


def reduced(document: Any) -> Any:
    """Of a contract what is read here; nobody has looked at the rest yet."""
    if isinstance(document, list):
        return [reduced(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {key: reduced(value) for key, value in document.items() if key in _KEPT or key in _SAID}


def _promise(contract: str, column: Mapping[str, Any]) -> Promise:
    prose = " ".join(text for key in ("businessName", "description") if isinstance(text := column.get(key), str))
    return Promise(contract, tuple(_words(column))[:_MOST], prose[:_LONGEST])


def _words(column: Mapping[str, Any]) -> Iterator[str]:
    """Of `classification`, and of tags that begin with `classification:`."""
    tags = column.get("tags")
    tagged = [tag for tag in (tags if isinstance(tags, list) else ()) if isinstance(tag, str) and tag.startswith(CLASSIFIED)]
    for text in (column.get("classification"), *tagged):
        if isinstance(text, str):
            yield from (word.strip()[:64] for word in _LISTED.split(text.removeprefix(CLASSIFIED)) if word.strip())


class Classes:
    """Classes by what a contract may call them: our own names and those of other systems."""

    def __init__(self, taxonomy: Taxonomy, elsewhere: Elsewhere) -> None:
        self._by_name = {_plain(theirs): name for system in elsewhere.values() for name, several in system.items() for theirs in several}
        self._by_name |= {_plain(name): name for name in taxonomy}

    def signs(self, promise: Promise) -> dict[str, list[Sign]]:
        """What a promise's words speak for."""
        found = {name for word in promise.words if (name := self._by_name.get(_plain(word)))}
        text = f"the contract {promise.contract} says so, which is a claim"
        return {name: [Sign(f"contract:{name}", text, _SAYS_SO)] for name in found}


def _plain(word: str) -> str:
    return re.sub("[^a-z0-9]", "", word.casefold())
