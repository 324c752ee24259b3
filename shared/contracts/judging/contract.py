"""What a data contract (ODCS) is called, and what part of it is about which source, asset and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from shared.contracts.judging import hostile, secrecy
from shared.contracts.names import DEFAULT_TENANT, AssetName, encode
from shared.contracts.source import DataSource

CLASSIFIED = "classification:"  # tags that begin so say what a column holds
MOST_PARTS, DEEPEST = 50_000, 20  # of a document that is looked at


def contract_key(document: Mapping[str, Any], name: str = "") -> str:
    """The key of a contract, `tenant/id`; never raises."""
    named = next((text for field in ("id", "name") if (text := _sayable(document.get(field)))), name)
    return f"{encode(_sayable(document.get('tenant')) or DEFAULT_TENANT)}/{encode(named or 'unnamed')}"


def key_of(text: str) -> str:
    """A contract's key as somebody else wrote it, in our spelling; never raises."""
    tenant, slash, name = text.partition("/")
    return contract_key({"tenant": unquote(tenant), "id": unquote(name)} if slash else {"id": unquote(tenant)})


def _sayable(given: object) -> str:
    if not isinstance(given, str) or secrecy.TEXTS.search(given):
        return ""
    return given[: hostile.MAX_NAME].encode("utf-8", "replace").decode()


class Part(NamedTuple):
    """The part of a contract that describes one asset or column."""

    path: str
    body: Mapping[str, Any]


def custom_value(contract: Mapping[str, Any], name: str) -> Any:
    """The custom property of this name, or None."""
    return next((each.get("value") for each in _objects(contract, "customProperties") if each.get("property") == name), None)


def is_of(contract: Mapping[str, Any], spec: DataSource) -> bool:
    """Does the contract name this source? By the custom property `source`, a server's name, or its host and database."""
    return (contract.get("tenant") or DEFAULT_TENANT) == spec.tenant and not claims_of(contract).isdisjoint(claims_on(spec))


def claims_of(contract: Mapping[str, Any]) -> frozenset[str]:
    """What a contract says of where its data is, in words to be compared with those of `claims_on`."""
    servers = list(_objects(contract, "servers"))
    names = [custom_value(contract, "source"), *(server.get("server") for server in servers)]
    places = [(server.get("host"), server.get("database")) for server in servers]
    return frozenset(
        [_source(name) for name in names if isinstance(name, str)]
        + [_place(host, database) for host, database in places if isinstance(host, str) and isinstance(database, str)]
    )


def claims_on(spec: DataSource) -> frozenset[str]:
    """The words of a contract that mean this source."""
    return frozenset([_source(spec.name), *([_place(spec.host, spec.database)] if spec.host else [])])


def _source(name: str) -> str:
    return f"source {name}"


def _place(host: str, database: str) -> str:
    return f"place {host}\n{database}"


def objects_of(contract: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Its objects by name, in one case."""
    return [(str(body.get("physicalName") or body.get("name")).casefold(), body) for body in _objects(contract, "schema")]


def spellings_of(name: AssetName) -> tuple[str, str, str]:
    """What a contract may call an asset, in one case; who names more goes before who names less."""
    table, schema = name.table.casefold(), name.schema.casefold()
    return f"{name.database.casefold()}.{schema}.{table}", f"{schema}.{table}", table


def object_of(contract: Mapping[str, Any], name: AssetName) -> Part | None:
    """The object of this asset: the one that names its schema too goes before one that names the table alone."""
    named = objects_of(contract)
    for spelling in spellings_of(name):
        for number, (given, body) in enumerate(named):
            if given == spelling:
                return Part(f"schema.{number}", body)
    return None


def column_of(part: Part, name: str) -> Part | None:
    """The property of this column."""
    for number, column in enumerate(_objects(part.body, "properties")):
        if name.casefold() in names_of(column):
            return Part(f"{part.path}.properties.{number}", column)
    return None


def properties_of(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What an object says of columns."""
    return _objects(body, "properties")


def names_of(column: Mapping[str, Any]) -> tuple[str, ...]:
    """What a property calls its column, in one case."""
    return tuple(str(name).casefold() for key in ("physicalName", "name") if (name := column.get(key)) is not None)


def _objects(body: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    given = body.get(key)
    return (each for each in (given if isinstance(given, list) else ()) if isinstance(each, dict))
