"""The real parts that tests meet: one PostgreSQL and one Kafka for the whole session, started only where a test asks for them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from shared.local.kafka import EmbeddedKafka
from shared.local.postgres import EmbeddedPostgres
from tests.mysql_server import mariadb, mysql
from tests.tls_server import tls_server

__all__ = ["mariadb", "mysql", "tls_server"]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL. Who stops or kills it starts one of their own, and discards it."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("stack") / "postgres") as server:
        yield server
    server.discard()


@pytest.fixture(scope="session")
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """Address of a database that all tests share, with a superuser's password: make schemas of your own in it."""
    return postgres.url


@pytest.fixture
async def fresh_database_url(postgres_url: str) -> AsyncIterator[str]:
    """Address of an empty database of this test's own, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f"create database {name}")
    yield f"{postgres_url.rsplit('/', 1)[0]}/{name}"
    await connection.execute(f"drop database {name} with (force)")
    await connection.close()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """The session's broker. Who stops or kills it starts one of their own."""
    with EmbeddedKafka(tmp_path_factory.mktemp("stack") / "kafka") as server:
        yield server


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka: EmbeddedKafka) -> str:
    """host:port of a broker that all tests share: make topics of your own, with names of your own."""
    return kafka.bootstrap


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers share the suite. Tests that share a stack stay together, other tests by file; what takes long begins first.

    For `--dist loadgroup --no-loadscope-reorder`: else the group with the most tests, not the longest, would begin first.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    items.sort(key=place_of)  # the sort keeps the order otherwise


STACKS = ("frail", "line", "resting")  # fixtures, the longest journeys first
LONG = ("journeys", "local", "bus", "tagger")  # folders


def group_of(item: pytest.Item) -> str:
    """The stack that a test shares with others, else its file."""
    used = getattr(item, "fixturenames", ())
    return next((stack for stack in STACKS if stack in used), str(item.path))


def place_of(item: pytest.Item) -> int:
    """Where a test stands in the queue."""
    order = (*STACKS, *LONG)
    return min((order.index(name) for name in (group_of(item), *item.path.parts) if name in order), default=len(order))
