"""The shell of a service: its database may go away at any time, and it still stops when asked to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from shared.bus.topics import apply
from shared.local.kafka import EmbeddedKafka
from shared.local.ports import free_ports
from shared.local.postgres import EmbeddedPostgres
from shared.settings import BusSettings
from tests.journeys.stack import PATIENCE_SECONDS, until


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        yield server
    server.discard()


def problems(port: int) -> str:
    """What /readyz says; empty when it is ready."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return "" if answer.status == 200 else "not ready"
    except OSError as error:
        return str(error)


@pytest.mark.parametrize("service", ["compliance", "registry"])  # both have a clock that reads the database
def test_without_a_database_it_waits_and_stops_when_asked(
    service: str, own_postgres: EmbeddedPostgres, kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """The database goes: not ready, but alive. It comes back: ready in the same process. It goes again: SIGTERM still ends it."""
    asyncio.run(apply(BusSettings(bootstrap_servers=kafka.bootstrap)))
    port = free_ports(1)[0]
    environment = os.environ | {
        "PURSIGHT_DATABASE_URL": own_postgres.url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "PURSIGHT_TOKEN": "a-token-for-this-test",
        "PURSIGHT_HTTP_PORT": str(port),
        "PURSIGHT_HOME": str(tmp_path / "home"),
        "PURSIGHT_WAIVER_CHECK_SECONDS": "0.2",
        "PURSIGHT_SCHEDULE_CHECK_SECONDS": "0.2",
    }
    process = subprocess.Popen([sys.executable, "-m", f"services.{service}"], env=environment)
    try:
        until(lambda: not problems(port), what=lambda: problems(port))
        own_postgres.stop()
        until(lambda: problems(port), what="it to be not ready")
        assert process.poll() is None
        own_postgres.start()
        until(lambda: not problems(port), what=lambda: problems(port))
        own_postgres.stop()
        until(lambda: problems(port), what="it to be not ready")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
