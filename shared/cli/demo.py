"""`pursight demo`: make the sample company in a database beside the stack's own, and scan it."""

from __future__ import annotations

import asyncio
import secrets
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.cli import scan
from shared.cli.connect import DOOR
from shared.cli.output import stderr
from shared.cli.target import Target
from shared.demo.company import load, tables
from shared.errors import UsageError
from shared.local.stack import Running

DATABASE, READER = "pursight_demo", "pursight_demo_reader"
SEED = 20_260_101


def run(*, json_output: bool, fail_on: str) -> None:
    """Start the stack, make the company once, scan it as a role that may only read."""
    scan.run(_target, json_output=json_output, fail_on=fail_on)


def _target(running: Running | None) -> Target:
    if running is None:
        raise UsageError(
            "the demo makes its company in the local stack's database", remedy=f"Unset {DOOR}, then try again.", code="demo_is_local"
        )
    place = urlsplit(running.database_url)
    document = {
        "name": "demo",
        "host": place.hostname or "localhost",
        "port": place.port or 5432,
        "database": DATABASE,
        "username": READER,
        "owner": "team-data",
        "environment": "demo",
        "description": "The sample company that `pursight demo` makes.",
    }
    return Target(document, asyncio.run(prepare(running.database_url)))


async def prepare(admin_url: str) -> str:
    """Make database, company and reader where they are missing; returns the reader's password, set anew each time."""
    password = secrets.token_urlsafe(18)
    connection = await asyncpg.connect(admin_url)
    try:
        if not await connection.fetchval("select true from pg_roles where rolname = $1", READER):
            await connection.execute(f"create role {READER} login")
        await connection.execute(f"alter role {READER} password '{password}'")
        ready = await connection.fetchval("select true from pg_database where datname = $1", DATABASE)
        if not ready:
            await connection.execute(f"create database {DATABASE}")
    finally:
        await connection.close()
    await _fill(urlunsplit(urlsplit(admin_url)._replace(path=f"/{DATABASE}")))
    return password


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval("select to_regclass('crm.open_ticket') is not null"):
            return
        for schema in sorted({table.name.split(".")[0] for table in tables()}):
            await connection.execute(f"drop schema if exists {schema} cascade")  # a run that was cut short
    finally:
        await connection.close()
    stderr.print("Making a sample company …", style="dim")
    rows = await load(url, seed=SEED, on_table=lambda _: None)
    connection = await asyncpg.connect(url)
    try:
        for schema in sorted({table.name.split(".")[0] for table in tables()}):
            await connection.execute(
                f"grant usage on schema {schema} to {READER}; grant select on all tables in schema {schema} to {READER}"
            )
    finally:
        await connection.close()
    stderr.print(f"{len(tables())} tables, {rows:,} rows.", style="dim", highlight=False)
