"""Migrations: once, in order, whoever comes first; never backwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from shared.bus.migrations import FOLDER
from shared.db.migrate import migrate, steps_of
from shared.db.pool import away, open_pool
from shared.errors import Transient, UsageError


def folder(path: Path, *statements: str) -> Path:
    made = path / "thing" / "migrations"
    made.mkdir(parents=True, exist_ok=True)
    for number, statement in enumerate(statements, 1):
        (made / f"{number:04}_step.sql").write_text(statement)
    return made


async def test_each_step_is_applied_once_also_by_two_at_once(fresh_database_url: str, tmp_path: Path) -> None:
    """Two programs that migrate at the same time take turns; together they apply every file exactly once."""
    steps = folder(tmp_path, "create table a (x int)", "insert into a values (1)")
    pools = [await open_pool(fresh_database_url, schema="thing", application_name="t") for _ in range(2)]
    applied = await asyncio.gather(*(migrate(pool, schema="thing", folders=[FOLDER, steps]) for pool in pools))
    assert sorted(map(len, applied)) == [0, len(list(FOLDER.glob("*.sql"))) + 2]
    assert await pools[0].fetchval("select count(*) from a") == 1
    assert await migrate(pools[0], schema="thing", folders=[FOLDER, steps]) == []
    for pool in pools:
        await pool.close()


async def test_newer_state_and_changed_files_are_refused_in_one_line(fresh_database_url: str, tmp_path: Path) -> None:
    """A program older than its state, or with a file changed after the fact, says so and touches nothing."""
    steps = folder(tmp_path, "create table a (x int)", "create table b (x int)")
    pool = await open_pool(fresh_database_url, schema="thing", application_name="t")
    await migrate(pool, schema="thing", folders=[steps])
    (steps / "0002_step.sql").unlink()
    with pytest.raises(UsageError, match="newer than this program") as caught:
        await migrate(pool, schema="thing", folders=[steps])
    assert "\n" not in caught.value.line()
    (steps / "0002_step.sql").write_text("create table c (x int)")
    with pytest.raises(UsageError, match="was changed"):
        await migrate(pool, schema="thing", folders=[steps])
    await pool.close()


async def test_a_failing_step_leaves_nothing(fresh_database_url: str, tmp_path: Path) -> None:
    """All files of one run commit together."""
    steps = folder(tmp_path, "create table a (x int)", "create nonsense")
    pool = await open_pool(fresh_database_url, schema="thing", application_name="t")
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await migrate(pool, schema="thing", folders=[steps])
    assert await pool.fetchval("select to_regclass('thing.a')") is None
    await pool.close()


def test_numbers_have_no_gaps(tmp_path: Path) -> None:
    """A missing number is a mistake, not a step to skip."""
    steps = folder(tmp_path, "select 1", "select 1")
    (steps / "0001_step.sql").unlink()
    with pytest.raises(UsageError, match="not numbered"):
        steps_of(steps)


async def test_a_database_that_is_away_is_transient() -> None:
    """Nobody listens: wait and try again."""
    with pytest.raises(Transient):
        await open_pool("postgresql://x@127.0.0.1:1/x", schema="thing", application_name="t")


def test_what_counts_as_away() -> None:
    """A closed connection is away, a wrong argument or a missing file is not."""
    assert away(asyncpg.InterfaceError("connection is closed"))
    assert away(ConnectionResetError())
    assert not away(asyncpg.InterfaceError("the server expects 1 argument for this query, 2 were passed"))
    assert not away(FileNotFoundError())
    assert not away(asyncpg.DataError())


def test_schema_names_are_plain() -> None:
    """The schema's name is put into statements, so it is held to plain letters."""
    from shared.db.pool import schema_name

    with pytest.raises(UsageError):
        schema_name('x"; drop schema public')
