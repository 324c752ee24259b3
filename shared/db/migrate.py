"""Forward-only migrations: numbered SQL files, applied once each, in order, in one transaction, whoever comes first."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from shared.db.pool import schema_name
from shared.errors import UsageError

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = 7_305_112_001  # any number, the same in every program that migrates
_TABLE = """create table if not exists schema_migration (
    folder text not null, number integer not null, name text not null, sha256 text not null,
    applied_at timestamptz not null default now(), primary key (folder, number))"""


@dataclass(frozen=True, slots=True)
class Step:
    """One file. `folder` is the owner: the folder's parent's name, such as `bus` or `registry`."""

    folder: str
    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def steps_of(folder: Path) -> list[Step]:
    """The files `0001_what.sql` of one folder, in order. Raises UsageError where a number is missing or used twice."""
    owner = folder.resolve().parent.name
    found = [
        Step(owner, int(match[1]), path.name, path.read_text("utf-8"))
        for path in sorted(folder.glob("*.sql"))
        if (match := _FILE.fullmatch(path.name))
    ]
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise UsageError(f"the migrations of {owner} are not numbered 0001, 0002, …", code="migration_numbers")
    return found


async def migrate(pool: asyncpg.Pool, *, schema: str, folders: Sequence[Path]) -> list[str]:
    """Bring `schema` to what this program needs; returns the names of the files applied now.

    Safe when several processes do it at once: they take turns. Raises UsageError where the state is newer than this program, or
    where a file changed after it was applied.
    """
    steps = [step for folder in folders for step in steps_of(folder)]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(f"create schema if not exists {schema_name(schema)}")
        await connection.execute(_TABLE)
        rows = await connection.fetch("select folder, number, sha256 from schema_migration")
        done = {(row["folder"], row["number"]): row["sha256"] for row in rows}
        _check(schema, steps, done)
        return [await _apply(connection, step) for step in steps if (step.folder, step.number) not in done]


def _check(schema: str, steps: Sequence[Step], done: dict[tuple[str, int], str]) -> None:
    known = {(step.folder, step.number): step.sha256 for step in steps}
    folders = {step.folder for step in steps}
    for place, sha256 in done.items():
        if place[0] not in folders:
            continue
        if place not in known:
            raise UsageError(
                f"the state of {schema} is newer than this program",
                why=f"it has {place[0]} migration {place[1]:04}",
                remedy="Start the version that wrote it, or a newer one.",
                code="state_newer",
            )
        if known[place] != sha256:
            raise UsageError(
                f"migration {place[0]} {place[1]:04} of {schema} was changed after it was applied",
                remedy="Put the file back and write a new one.",
                code="migration_changed",
            )


async def _apply(connection: asyncpg.Connection, step: Step) -> str:
    await connection.execute(step.sql)
    await connection.execute(
        "insert into schema_migration (folder, number, name, sha256) values ($1, $2, $3, $4)",
        step.folder,
        step.number,
        step.name,
        step.sha256,
    )
    return f"{step.folder}/{step.name}"
