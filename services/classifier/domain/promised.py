"""What data contracts say of columns: a claim of whoever wrote them, to be weighed with names and values, never proof by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from services.classifier.domain.score import Sign
from services.classifier.domain.taxonomy import Elsewhere, Taxonomy
from shared.contracts.asset import SchemaDiscovered
from shared.contracts.judging.contract import CLASSIFIED, claims_of, claims_on, names_of, objects_of, properties_of, spellings_of
from shared.contracts.names import DEFAULT_TENANT, AssetName, tenant_of

_SAYS_SO = 5.0  # log odds: alone it has a person asked, with a name or values that agree it is enough
_GRAVE = frozenset({"pii", "phi", "pci", "personal", "special", "sensitive", "secret", "restricted", "gdpr", "hipaa"})
_LISTED, _DOT = re.compile("[,;|+]"), re.compile(r"\.")
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


class Told(NamedTuple):
    """What one contract says of the columns of one object, as it is kept. `object` and `claims`: whose data that is."""

    contract: str
    claims: frozenset[str]
    object: str
    properties: Sequence[Mapping[str, Any]]


def told_by(key: str, document: Mapping[str, Any]) -> list[Told]:
    """What is kept of a contract of this key, in its order. Nothing of one that another tenant's name is on, or of what no server names."""
    if (document.get("tenant") or DEFAULT_TENANT) != unquote(tenant_of(key)):
        return []
    claims = frozenset(claim for claim in claims_of(document) if "\0" not in claim)
    return [
        Told(key, claims, name, [_reduced(column) for column in properties_of(body)])
        for name, body in objects_of(document)
        if claims and "\0" not in name
    ]


def _reduced(column: Mapping[str, Any]) -> dict[str, Any]:
    """What is read here of a property; nobody has looked at the rest yet."""
    texts = {key: text for key in _TEXTS if isinstance(text := column.get(key), str)}
    return {**texts, "tags": tags} if (tags := [tag for tag in _listed(column.get("tags")) if isinstance(tag, str)]) else texts


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


class Contracts:
    """What contracts say, found by the tables that they name."""

    def __init__(self, told: Iterable[Told] = ()) -> None:
        """`told`: of each contract in its order."""
        self._told: dict[tuple[str, str], list[Told]] = {}
        for each in told:
            self._told.setdefault((tenant_of(each.contract), each.object), []).append(each)

    def of(self, table: SchemaDiscovered) -> Promises:
        """By column of this table; of several contracts that speak of one, the first by name."""
        if not self._told:
            return NONE
        tenant, claims = tenant_of(table.source), claims_on(table.spec)
        best: dict[str, Told] = {}  # of each contract the object that names most of the table
        for spelling in places_of(table):
            for told in self._told.get((tenant, spelling), ()):
                if not claims.isdisjoint(told.claims):
                    best.setdefault(told.contract, told)
        found: dict[str, Promise] = {}
        for name in sorted(best):
            said = _promises(best[name])
            for column in table.columns:
                if promise := said.get(column.name.casefold()):
                    found.setdefault(column.name, promise)
        return found


def places_of(table: SchemaDiscovered) -> tuple[str, str, str]:
    """What a contract may call this table."""
    return spellings_of(AssetName("", "", table.database, table.schema_name, table.table))


def tables_of(objects: Iterable[str]) -> set[str]:
    """Names of the tables, in one case, that these may mean: what stands before a dot may be a schema, or a part of the name."""
    return {name[at:] for name in objects for at in (0, *(dot.end() for dot in _DOT.finditer(name)))}


def _promises(told: Told) -> dict[str, Promise]:
    """By the name of the column in one case; the first property of a name is the one that counts."""
    found: dict[str, Promise] = {}
    for column in map(_reduced, told.properties):  # what was kept before objects were is as it was written
        promise = _promise(told.contract, column)
        for name in names_of(column):
            found.setdefault(name, promise)
    return {name: promise for name, promise in found.items() if promise.words or promise.prose}


_TEXTS = ("name", "physicalName", "businessName", "description", "classification")


def _promise(contract: str, column: Mapping[str, Any]) -> Promise:
    prose = " ".join(text for key in ("businessName", "description") if (text := column.get(key)) is not None)
    return Promise(contract, tuple(_words(column))[:_MOST], prose[:_LONGEST])


def _words(column: Mapping[str, Any]) -> Iterator[str]:
    """Of `classification`, and of tags that begin with `classification:`."""
    tagged = [tag for tag in column.get("tags", ()) if tag.startswith(CLASSIFIED)]
    for text in (column.get("classification", ""), *tagged):
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
