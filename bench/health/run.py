"""What watching costs, and how long a preflight takes: `python -m bench.health.run` gives the shipped connector 200 sources at a real
PostgreSQL and reads its CPU time.

Each source is a database of its own, checked every 30 seconds; the full looks, every 15 minutes, are spread over the time as they are in a
long run, so the measured minute and a half has its share of them. Broker and state are the real ones of the local stack, with processes
of their own; the CPU time of both servers is told beside.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx
import psutil

from bench.bars import say
from services.connector import handlers
from services.connector.store import Store
from shared.bus.jobs import Jobs
from shared.bus.received import Received
from shared.cli.topics import prepare
from shared.contracts.source import DataSource, SourceRegistered
from shared.db.pool import open_pool
from shared.local import postgres
from shared.local.kafka import EmbeddedKafka
from shared.local.ports import free_ports
from shared.local.postgres import EmbeddedPostgres
from shared.observe import tracing

SOURCES, CHECK_SECONDS, PROBE_SECONDS, WINDOW_SECONDS = 200, 30.0, 900.0, 90.0
PREFLIGHTS, TABLES = 20, 500
_CHECKS = "select sum(checks)::int4 from health_hour"
PASSWORD = "BENCH_SOURCE_PASSWORD"


def main() -> int:
    """Prints a JSON line per bar."""
    postgres.SETTINGS["max_connections"] = str(SOURCES + 50)
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as kafka:
        state, source = EmbeddedPostgres(Path(folder) / "state"), EmbeddedPostgres(Path(folder) / "source")
        try:
            with state, source:
                asyncio.run(_measure(kafka, state, source, Path(folder)))
        finally:
            state.discard()
            source.discard()
    return 0


async def _measure(kafka: EmbeddedKafka, state: EmbeddedPostgres, source: EmbeddedPostgres, folder: Path) -> None:
    environment = _environment(kafka, state, source, folder)
    os.environ.update(environment)
    await asyncio.to_thread(prepare)
    process = _started(environment, folder / "connector.log")
    try:
        pool = await _when_migrated(state.url, process)
        idle = await _cpu_over(process.pid, 20.0)
        await _databases(source.url)
        before, began = _cpu(process.pid), asyncio.get_running_loop().time()
        await _register(pool, source.url)
        await _until(pool, "select count(*) = $1 from source where state = 'connected'", SOURCES)
        full = (_cpu(process.pid) - before) / SOURCES
        connected = asyncio.get_running_loop().time() - began
        await _spread(pool)
        servers = {"state": _tree(state), "source": _tree(source)}
        start, checks = datetime.now(UTC), await pool.fetchval(_CHECKS)
        share = await _cpu_over(process.pid, WINDOW_SECONDS)
        checked = await pool.fetchval(_CHECKS) - checks
        looked = await pool.fetchval("select count(*) from source where probed_at > $1", start)
        beside = {name: round((_tree(which) - servers[name]) / WINDOW_SECONDS * 100, 2) for (name, which) in _both(state, source)}
        _say_preflight(await _preflights(environment["PURSIGHT_HTTP_PORT"], source.url))
        await pool.close()
    finally:
        process.terminate()
        process.wait(60)
    expected = SOURCES * WINDOW_SECONDS / CHECK_SECONDS
    if not 0.8 * expected <= checked <= 1.2 * expected or not looked:
        raise SystemExit(f"{checked} checks and {looked} full looks where {expected:.0f} checks were due")
    told: dict[str, Any] = {
        "checks": checked,
        "full_looks": looked,
        "cpu_ms_a_check": round(share * WINDOW_SECONDS / checked * 1000, 2),
        "cpu_ms_a_first_dial": round(full * 1000, 1),
        "idle_percent": round(idle * 100, 2),
        "servers_percent": beside,
        "first_dials_seconds": round(connected, 1),
    }
    bar = "200 sources checked every 30 s, CPU of the connector"
    say(bar, round(share * 100, 2), "% of a core", "<= 10 %", share <= 0.10, measured=told)


async def _preflights(port: str, url: str) -> list[float]:
    """Seconds of whole requests to the shipped connector, every gate open, while it watches the others."""
    connection = await asyncpg.connect(url.rsplit("/", 1)[0] + "/bench_000")
    await connection.execute("".join(f"create table kept_{number} (id int primary key, word text);" for number in range(TABLES)))
    await connection.execute("insert into kept_0 values (1, 'one')")
    await connection.close()
    parts, found = urlsplit(url), []
    spec = {"name": "trial", "host": parts.hostname, "port": parts.port, "database": "bench_000", "username": parts.username}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"authorization": "Bearer bench"}, timeout=60) as http:
        for _ in range(PREFLIGHTS):
            began = monotonic()
            answer = (await http.post("/preflight", json={"source": spec, "password": unquote(parts.password or "")})).json()
            found.append(monotonic() - began)
            if not answer["reachable"] or answer["diagnosis"]:
                raise SystemExit(f"the preflight of a healthy source says {answer['diagnosis']}")
    return found


def _say_preflight(seconds: list[float]) -> None:
    worst = max(seconds)
    told = {"median": round(median(seconds), 3), "tables": TABLES, "runs": len(seconds)}
    say("preflight of a healthy source, slowest", round(worst, 3), "s", "<= 1 s", worst <= 1.0, measured=told)


def _started(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "services.connector"], env=environment, stdout=file, stderr=file)


def _both(state: EmbeddedPostgres, source: EmbeddedPostgres) -> tuple[tuple[str, EmbeddedPostgres], ...]:
    return (("state", state), ("source", source))


def _environment(kafka: EmbeddedKafka, state: EmbeddedPostgres, source: EmbeddedPostgres, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "PURSIGHT_DATABASE_URL": state.url,
        "PURSIGHT_TOKEN": "bench",
        "PURSIGHT_MODE": "local",
        "PURSIGHT_HOME": str(folder),
        "PURSIGHT_HTTP_PORT": str(free_ports(1)[0]),
        "PURSIGHT_CHECK_SECONDS": str(CHECK_SECONDS),
        "PURSIGHT_PROBE_SECONDS": str(PROBE_SECONDS),
        PASSWORD: unquote(urlsplit(source.url).password or ""),
    }


async def _when_migrated(url: str, process: subprocess.Popen[bytes]) -> asyncpg.Pool:
    pool = await open_pool(url, schema="connector", application_name="bench")
    async with asyncio.timeout(120):
        while not await pool.fetchval("select to_regclass('connector.health_hour') is not null"):
            if process.poll() is not None:
                raise SystemExit("the connector ended")
            await asyncio.sleep(0.2)
    return pool


async def _databases(url: str) -> None:
    connection = await asyncpg.connect(url)
    for number in range(SOURCES):
        await connection.execute(f"create database bench_{number:03d} template template0 strategy file_copy")
    await connection.close()


async def _register(pool: asyncpg.Pool, url: str) -> None:
    """As the registry's events would: through the handler, into the shipped process's own tables."""
    parts = urlsplit(url)
    store, jobs = Store(pool), Jobs(pool, service="connector")
    batch = []
    for number in range(SOURCES):
        spec = DataSource(
            name=f"bench_{number:03d}",
            host=parts.hostname,
            port=parts.port,
            database=f"bench_{number:03d}",
            username=parts.username,
            password_secret=f"env:{PASSWORD}",
        )
        event = SourceRegistered(source=spec.key, version=1, change="created", spec=spec)
        batch.append(
            Received(event, f"e{number}", spec.key, "source.registered", 0, number, datetime.now(UTC), "default", "", tracing.root())
        )
    await handlers.on_source_registered(batch, store=store, jobs=jobs)


async def _spread(pool: asyncpg.Pool) -> None:
    """Checks and full looks at the moments at which a long run would have them."""
    await pool.execute("update source set probed_at = now() - random() * $1 * interval '1 second'", PROBE_SECONDS)
    await pool.execute("update job set run_after = now() + random() * $1 * interval '1 second' where state = 'waiting'", CHECK_SECONDS)


async def _until(pool: asyncpg.Pool, question: str, *arguments: object) -> None:
    async with asyncio.timeout(300):
        while not await pool.fetchval(question, *arguments):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.5)


async def _cpu_over(pid: int, seconds: float) -> float:
    """The share of one core that the process takes over this time."""
    before = _cpu(pid)
    await asyncio.sleep(seconds)
    return (_cpu(pid) - before) / seconds


def _cpu(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def _tree(server: EmbeddedPostgres) -> float:
    """CPU seconds of a server and of all that it ever started and outlived."""
    total, found = 0.0, set(postgres.servers_on(server.data))
    for root in list(found):
        with suppress(psutil.NoSuchProcess):
            found |= set(root.children(recursive=True))
    for each in found:
        with suppress(psutil.NoSuchProcess):
            used = each.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


if __name__ == "__main__":
    sys.exit(main())
