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
    if (contract.get("tenant") or DEFAULT_TENANT) != spec.tenant:
        return False
    if custom_value(contract, "source") == spec.name:
        return True
    return any(_is_server(server, spec) for server in _objects(contract, "servers"))


def _is_server(server: Mapping[str, Any], spec: DataSource) -> bool:
    same_place = bool(spec.host) and (server.get("host"), server.get("database")) == (spec.host, spec.database)
    return server.get("server") == spec.name or same_place


def object_of(contract: Mapping[str, Any], name: AssetName) -> Part | None:
    """The object of this asset: the one that names its schema too goes before one that names the table alone."""
    named = [(str(body.get("physicalName") or body.get("name")).casefold(), body) for body in _objects(contract, "schema")]
    for spelling in (f"{name.database}.{name.schema}.{name.table}", f"{name.schema}.{name.table}", name.table):
        for number, (given, body) in enumerate(named):
            if given == spelling.casefold():
                return Part(f"schema.{number}", body)
    return None


def column_of(part: Part, name: str) -> Part | None:
    """The property of this column."""
    for number, column in enumerate(_objects(part.body, "properties")):
        if name.casefold() in {str(column.get(key)).casefold() for key in ("physicalName", "name")}:
            return Part(f"{part.path}.properties.{number}", column)
    return None


def _objects(body: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    given = body.get(key)
    return (each for each in (given if isinstance(given, list) else ()) if isinstance(each, dict))
