"""The real parts that tests meet: one PostgreSQL and one Kafka for the whole session, started only where a test asks for them."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from shared.local.kafka import EmbeddedKafka
from shared.local.postgres import EmbeddedPostgres
from tests.azurite import azurite
from tests.keycloak import keycloak
from tests.mongo_server import mongo
from tests.mysql_server import mariadb, mysql
from tests.pg_pair import pg_pair, started_pair
from tests.tagger.moto_server import moto_server
from tests.tls_server import tls_server

__all__ = ["azurite", "keycloak", "mariadb", "mongo", "mysql", "pg_pair", "started_pair", "tls_server"]


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
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One moto for the session; tests use names of their own."""
    with moto_server(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka: EmbeddedKafka) -> str:
    """host:port of a broker that all tests share: make topics of your own, with names of your own."""
    return kafka.bootstrap


MEMORY, ENOUGH = Path("/dev/shm"), 8 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Temporary files live in memory where that has room, and go at the end; with TMPDIR set they live there, and stay.

    Databases of 300 files each are made and dropped by the hundred: a disk's file system takes a quarter of the suite's time for that.
    """
    if hasattr(config, "workerinput") or os.environ.get("TMPDIR") or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ENOUGH:
        return
    for left in MEMORY.glob("pursight-tests-*-*"):  # of a run that was killed
        if not psutil.pid_exists(int(left.name.split("-")[2])):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"pursight-tests-{os.getpid()}-", dir=MEMORY))
    folder.chmod(0o1777)  # servers run as other users
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=-200)  # behind the library's own temporary files


# Files by the servers that their tests share; journeys that are not named here share the line. The longest first.
STACKS = {
    "frail": ("journeys/test_chaos.py", "journeys/test_crash.py"),
    "line": (),
    "pair": ("connector/test_failover.py", "discovery/test_endpoints.py", "sources/test_catalogue.py"),
    "engines": ("sources/test_conformance.py", "sources/test_silence.py"),
    "resting": ("journeys/test_interrupt.py", "journeys/test_upgrade.py"),
}
LONG = ("local", "bus", "tagger")  # folders that begin before the others


def group_of(file: Path) -> str:
    """Tests that share a stack stay together on one worker, other tests by file."""
    alone = "line" if file.parent.name == "journeys" else file.as_posix()
    return next((stack for stack, files in STACKS.items() if f"{file.parent.name}/{file.name}" in files), alone)


def place_of(item: pytest.Item) -> int:
    """Where a test stands in the queue: what takes long begins first."""
    order = (*STACKS, *LONG)
    return min((order.index(name) for name in (group_of(item.path), item.path.parent.name) if name in order), default=len(order))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a laptop may skip, because a part is missing, fails where everything must be there. Not to be root is no missing part."""
    report = yield
    why = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    if report.skipped and os.environ.get("PURSIGHT_CI") and "needs root" not in why:
        report.outcome, report.longrepr = "failed", f"{why}: nothing is skipped here, run `make setup`"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place_of)  # the order is kept otherwise


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The workers share the suite by group. The marks for groups that xdist 3.8 knows have no effect with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(Path(nodeid.partition("::")[0]))

    config.option.loadscopereorder = False  # else the group of the most tests, not the longest, would begin first
    return ByGroup(config, log)
