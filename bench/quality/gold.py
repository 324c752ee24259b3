"""The quality set read: tables as discovery would tell them, and what is right of each column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.quality.values import Maker
from shared.contracts.asset import Column, ColumnEvidence, SchemaDiscovered
from shared.contracts.names import AssetName, encode
from shared.contracts.source import DataSource
from shared.evidence.count import count_columns

HERE = Path(__file__).parent
ROWS = 100
_SPELLED = {
    "varchar": "character varying",
    "char": "character",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "time": "time without time zone",
    "double": "double precision",
    "int": "integer",
    "bool": "boolean",
}


class Gold(NamedTuple):
    """One column of the set. `wanted`: classes that are right, the first one best. `values` as text, None for null."""

    table: str
    column: Column
    wanted: tuple[str, ...]
    values: tuple[str | None, ...]


def gold(part: str) -> list[Gold]:
    """All columns of `schemas` or `blind`, without evidence."""
    return [column for file in sorted((HERE / part).glob("*.txt")) for column in _file(file)]


def _file(file: Path) -> Iterator[Gold]:
    maker = Maker(file.stem, seed=len(file.parent.name))
    table = ""
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("@"):
            table = line[1:].strip()
        elif line and not line.startswith("#"):
            yield _column(table, line, maker)


def _column(table: str, line: str, maker: Maker) -> Gold:
    name, type, classes, *more = line.split()
    wanted = tuple(classes.split("|"))
    recipe = next((word for word in more if word[0] not in "!>"), wanted[0])
    values = maker.values(recipe, ROWS)
    target = next((word[1:] for word in more if word[0] == ">"), "")
    key = "!key" in more
    column = Column(name=name, position=1, type=_spelled(type), primary_key=key, unique=key, references=_referenced(target))
    return Gold(table, column, wanted, tuple(values))


def _spelled(type: str) -> str:
    base, bracket, rest = type.partition("(")
    return _SPELLED.get(base, base) + bracket + rest


def _referenced(target: str) -> str:
    if not target:
        return ""
    table, _, column = target.rpartition(".")
    return f"{_asset(table)}#{encode(column)}"


def _asset(table: str) -> str:
    schema, _, name = table.partition(".")
    return AssetName("acme", "quality", "db", schema, name).key


def tables(columns: list[Gold], *, named: bool = True, sampled: bool = True) -> list[SchemaDiscovered]:
    """The tables that these columns make; `named` False: columns are c1 to cn; `sampled` False: the tables are empty."""
    by_table: dict[str, list[tuple[Gold, ColumnEvidence | None]]] = {}
    for one, evidence in zip(columns, _evidence(columns, sampled), strict=True):
        by_table.setdefault(one.table, []).append((one, evidence))
    return [_table(name, some, named) for name, some in by_table.items()]


def _evidence(columns: list[Gold], sampled: bool) -> Iterator[ColumnEvidence | None]:
    """What discovery would count; of binary columns nothing."""
    looked = [sampled and not one.column.type.startswith("bytea") for one in columns]
    values = [[value for value in one.values if value is not None] for one in columns]
    found = count_columns(values, [one.values.count(None) for one in columns])
    return (evidence if look else None for look, evidence in zip(looked, found, strict=True))


def _table(name: str, columns: list[tuple[Gold, ColumnEvidence | None]], named: bool) -> SchemaDiscovered:
    made = tuple(_placed(one, evidence, place, named) for place, (one, evidence) in enumerate(columns, 1))
    schema, _, table = name.partition(".")
    return SchemaDiscovered(
        asset=_asset(name), source="acme/quality", sequence=1, scan_id="quality", database="db", schema_name=schema, table=table,
        columns=made, fingerprint="f", spec=DataSource(name="quality", tenant="acme", database="db"),
    )  # fmt: skip


def _placed(one: Gold, evidence: ColumnEvidence | None, place: int, named: bool) -> Column:
    name = one.column.name if named else f"c{place}"
    references = one.column.references if named else ""
    return one.column.model_copy(update={"name": name, "position": place, "references": references, "evidence": evidence})
