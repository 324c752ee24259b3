"""Read the table list, make the rows, load them. The same seed gives the same company, byte for byte."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random

import asyncpg

from shared.demo.kinds import maker, sql_type

LIST = Path(__file__).with_name("company.tables")
LINE = re.compile(r"(?P<name>\w+\.\w+) (?P<rows>\d+): (?P<columns>.+)")
NULL_SHARE = 0.3
CHUNK_ROWS = 500
COMMENTS = {
    "crm.customer": "People who bought something",
    "hr.employee": "Everyone on the payroll",
    "shop.payment": "One row per attempt to pay",
    "health.patient": "Occupational health centre",
    "analytics.daily_sales": "Filled by the nightly job",
}


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    name: str
    kind: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table of the sample company. The first column is its key."""

    name: str
    rows: int
    columns: tuple[ColumnPlan, ...]


def tables() -> tuple[TablePlan, ...]:
    """All tables, in the order of the list. Raises ValueError on a line that cannot be read."""
    return tuple(_table(line) for line in LIST.read_text().splitlines() if line and not line.startswith("#"))


def _table(line: str) -> TablePlan:
    found = LINE.fullmatch(line)
    if not found:
        raise ValueError(f"not a table: {line[:40]}")
    columns = (part.split(" ") for part in found["columns"].split(", "))
    return TablePlan(
        found["name"], int(found["rows"]), tuple(ColumnPlan(name, kind.rstrip("?"), kind.endswith("?")) for name, kind in columns)
    )


def ddl(plan: tuple[TablePlan, ...]) -> Iterator[str]:
    """The statements that make the empty company."""
    for schema in sorted({table.name.split(".")[0] for table in plan}):
        yield f"create schema {schema}"
    for table in plan:
        columns = (f"{c.name} {sql_type(c.kind)}{'' if c.nullable else ' not null'}" for c in table.columns)
        yield f"create table {table.name} ({', '.join(columns)}, primary key ({table.columns[0].name}))"
    yield from (f"comment on table {name} is '{text}'" for name, text in COMMENTS.items())


def keys(plan: tuple[TablePlan, ...]) -> Iterator[str]:
    """Foreign keys and views: made after the rows, for speed."""
    for table in plan:
        for column in table.columns:
            if column.kind.startswith("ref:"):
                yield f"alter table {table.name} add foreign key ({column.name}) references {column.kind.removeprefix('ref:')}"
    yield "create view crm.open_ticket as select id, customer_id, subject, opened_at from crm.support_ticket where status = 'open'"
    yield "create view hr.phone_list as select first_name, surname, private_phone, department from hr.employee"
    yield "vacuum (analyze)"  # as a server does by itself a minute later, which makes some tables smaller, so that samples are taken again


def rows(table: TablePlan, rows_of: dict[str, int], seed: int) -> Iterator[bytes]:
    """The table's rows as COPY text, in chunks."""
    random = Random(f"{seed}/{table.name}")
    makers = [(maker(column.kind, rows_of), column.nullable) for column in table.columns]
    for start in range(1, table.rows + 1, CHUNK_ROWS):
        lines = (
            "\t".join("\\N" if nullable and random.random() < NULL_SHARE else make(random, number) for make, nullable in makers)
            for number in range(start, min(start + CHUNK_ROWS, table.rows + 1))
        )
        yield "".join(f"{line}\n" for line in lines).encode()


async def load(database_url: str, *, seed: int, on_table: Callable[[str], None]) -> int:
    """Make the company in an empty database; returns the number of rows. `on_table` hears each table's name when it is filled."""
    plan = tables()
    rows_of = {table.name: table.rows for table in plan}
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute(";".join(ddl(plan)))
            for table in plan:
                schema, name = table.name.split(".")
                await connection.copy_to_table(name, schema_name=schema, source=_source(rows(table, rows_of, seed)))
                on_table(table.name)
        for statement in keys(plan):
            await connection.execute(statement)
    finally:
        await connection.close()
    return sum(chain(rows_of.values()))


async def _source(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
