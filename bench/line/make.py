"""A large source: the sample company's tables again and again, padded to twenty columns with everyday ones, cut out of one pool of rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import asyncpg

from shared.demo.company import tables
from shared.demo.kinds import maker, sql_type

POOL_ROWS = 3_000
COLUMNS = 20
SCHEMAS = 20
SEED = 97


EVERYDAY = frozenset(
    {"smallint", "bigint", "flag", "stamp", "day", "money", "decimal", "code", "status", "segment", "version", "sku", "year", "channel"}
)


def shapes() -> list[list[tuple[str, str]]]:
    """The columns, name and kind, that each table of the company has besides its key and its references; at most nineteen."""
    return [
        [(c.name, c.kind) for c in table.columns if c.kind not in ("id", "bigid") and not c.kind.startswith("ref:")][: COLUMNS - 1]
        for table in tables()
    ]


def pool_columns() -> list[tuple[str, str]]:
    """Every column name with its kind, once."""
    found: dict[str, str] = {}
    for shape in shapes():
        for name, kind in shape:
            found.setdefault(name, kind)
    return sorted(found.items())


async def make(url: str, *, count: int, rows: int) -> None:
    """Fill the empty database at `url` with `count` tables of `rows` to `rows` + 49 rows. The same arguments give the same database."""
    connection = await asyncpg.connect(url)
    columns = pool_columns()
    await connection.execute("create schema pool")
    await connection.execute(f"create table pool.rows (n integer, {', '.join(f'{name} {sql_type(kind)}' for name, kind in columns)})")
    await connection.copy_to_table("rows", schema_name="pool", source=_rows(columns))
    random = Random(SEED)
    for number in range(SCHEMAS):
        await connection.execute(f"create schema part_{number:02}")
    everyday = [name for name, kind in columns if kind in EVERYDAY]
    topics = [[name for name, _ in shape] for shape in shapes()]
    for number in range(count):
        await connection.execute(_table(number, rows, random, topics[number % len(topics)], everyday))
    await connection.execute("drop schema pool cascade")
    await connection.execute("analyze")
    await connection.close()


def _table(number: int, rows: int, random: Random, topic: list[str], everyday: list[str]) -> str:
    padding = random.sample([name for name in everyday if name not in topic], COLUMNS - 1 - len(topic))
    start, length = random.randrange(1, POOL_ROWS - rows - 50), rows + random.randrange(50)
    name = f"part_{number % SCHEMAS:02}.{topic[0]}_{number:05}"
    chosen = ", ".join([*topic, *padding])
    return (
        f"create table {name} as select n as id, {chosen} from pool.rows where n between {start} and {start + length - 1};"
        f"alter table {name} add primary key (id)"
    )


async def _rows(columns: list[tuple[str, str]]) -> AsyncIterator[bytes]:
    random = Random(SEED)
    makers = [maker(kind, {}) for _, kind in columns]
    for number in range(1, POOL_ROWS + 1):
        yield ("\t".join([str(number), *(make(random, number) for make in makers)]) + "\n").encode()
