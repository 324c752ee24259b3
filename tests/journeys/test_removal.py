"""A source that is removed is gone: from every service's tables and dead letters, and from the compacted topics."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from services.catalog.store.write import trim_removed
from shared.contracts.topics import BY_NAME, SERVICES, TOPICS
from shared.db.pool import open_pool
from tests.journeys.frail import Frail
from tests.journeys.records import all_records
from tests.journeys.shop import statements
from tests.journeys.stack import Line, until
from tests.journeys.test_bad_records import headers, send

NAME = "zebrafinch"
# What stays, and may name the source: numbers that must go on counting, the audit, what is to be done and was done.
STUBS = {
    "registry.source": "name and version",
    "registry.ledger": "who removed it",
    "discovery.source": "the version up to which it is gone",
    "discovery.asset": "sequence numbers by key",
    "classifier.asset": "sequence numbers by key",
    "compliance.asset": "sequence numbers by key",
    "tagger.asset": "sequence numbers by key",
    "connector.source": "sequence numbers by key",
    "catalog.fact": "that it was removed, with its version",
    "catalog.timeline": "when it was removed, and by whom",
    **{f"{service}.job": "what was done" for service in SERVICES},
}
SECRETS = ("reach the customer", "date_of_birth", "iban")  # a comment, a column, another: what was known of it


async def rows_with(url: str, *words: str) -> dict[str, list[str]]:
    """Every table of every service with its rows that hold one of the words."""
    connection = await asyncpg.connect(url)
    tables = await connection.fetch(
        "select table_schema || '.' || table_name from information_schema.tables where table_schema = any($1)", list(SERVICES)
    )
    condition = " or ".join(f"strpos(each::text, '{word}') > 0 or strpos(each::text, '{word.encode().hex()}') > 0" for word in words)
    found = {
        table: [row[0] for row in await connection.fetch(f"select each::text from {table} as each where {condition}")]
        for (table,) in tables
    }
    await connection.close()
    return {table: rows for table, rows in found.items() if rows}


@pytest.mark.timeout(600)
async def test_a_removed_source_is_gone_everywhere(line: Line) -> None:
    """After `pursight source remove` only numbers, the audit and the removal itself still name it; compacted topics end in tombstones."""
    patient = Frail(line, line.home)
    url = await line.make_database(NAME, *statements(6))
    source = await patient.register(NAME, url)
    await patient.settled([source])
    asset = f"{source}/{NAME}.public.customer_0"
    await send(
        patient,
        [
            (topic, asset.encode(), b"{no json", headers(topic))
            for topic in ("schema.discovered", "asset.classified", "compliance.evaluated")
        ]
        + [(topic, source.encode(), b"{no json", headers(topic)) for topic in ("source.submitted", "scan.requested", "source.connected")],
    )
    until(lambda: len([letter for letter in patient.letters() if NAME in str(letter)]) >= 7, every=0.5, what="a dead letter of each reader")
    before = await rows_with(line.running.database_url, NAME)
    assert {"catalog.asset", "classifier.dead_letter", "registry.source_version", "tagger.source"} <= before.keys()

    assert line.shell("source", "remove", NAME, "--yes").returncode == 0
    await patient.gone([source])
    pool = await open_pool(line.running.database_url, schema="catalog", application_name="test")
    await trim_removed(pool, after=timedelta())  # the catalog's hourly chore
    await pool.close()
    after = await rows_with(line.running.database_url, NAME)
    assert {table: rows[:2] for table, rows in after.items() if table not in STUBS} == {}
    told = await rows_with(line.running.database_url, *SECRETS)
    assert {table: rows for table, rows in told.items() if any(NAME in row for row in rows)} == {}

    last = {(record.topic, record.key): record.value for record in await all_records(line.running.bootstrap, *compacted())}
    mine = {place: value for place, value in last.items() if NAME.encode() in place[1]}
    assert {topic for topic, _ in mine} == set(compacted()) - OF_NO_SOURCE
    assert [place for place, value in mine.items() if value is not None] == []


OF_NO_SOURCE = {"ruleset.published", "policy.published", "contract.published", "audit.anchored", "contract.compared"}  # no contract here


def compacted() -> list[str]:
    return [topic.name for topic in TOPICS if topic.compacted and BY_NAME[topic.name].said_by]
