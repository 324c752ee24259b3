"""What a scan does to the work that a server has already: `python -m bench.discovery.beside [--tables 600] [--rounds 3] [--rate 60]`.

A load of reads and writes comes at a fixed rate, whatever the server answers, so that a late answer is a late answer. Rounds without and
with a scan beside it take turns. The scanner and its own state run at the lowest priority, as if on another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import psutil

from bench.bars import say
from shared.egress import GuardedLoop
from shared.local.postgres import EmbeddedPostgres

PACES = ("conservative", "balanced", "aggressive")
ACCOUNTS, CLIENTS, QUIET_SECONDS, LONGEST_SECONDS = 50_000, 4, 8.0, 300.0
_WORK = "update load.account set balance = balance + 1 where id = $1"
_LOOK = "select sum(balance) from load.account where id between $1 and $1 + 400"


async def make(url: str, tables: int) -> None:
    """The load's table, and those to scan: eight columns of text, 400 rows each."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        f"""create schema load; create table load.account as select g id, 0::bigint balance, repeat('x', 80) note
        from generate_series(1, {ACCOUNTS + 400}) g; alter table load.account add primary key (id); create schema app"""
    )
    columns = ",".join(f"'some words ' || g || '@example.org' c{number}" for number in range(8))
    for number in range(tables):
        await connection.execute(f"create table app.t{number:04} as select {columns} from generate_series(1, 400) g")
    await connection.execute("vacuum analyze")
    await connection.close()


class Load:
    """Transactions at a fixed rate over a few connections; the latency of each counts from when it should have begun."""

    def __init__(self, pool: asyncpg.Pool, rate: float) -> None:
        self._pool, self._rate, self._dice = pool, rate, random.Random(7)
        self.latencies: list[float] = []

    async def run(self) -> None:
        """Until cancelled."""
        begun, number = monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while True:
                due = begun + number / self._rate
                await asyncio.sleep(max(0.0, due - monotonic()))
                group.create_task(self._one(due))
                number += 1

    async def _one(self, due: float) -> None:
        which = self._dice.randrange(ACCOUNTS)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_WORK, which)
            await connection.fetchval(_LOOK, which)
        self.latencies.append(monotonic() - due)

    def p95(self) -> float:
        """Of what was measured since the last call, in milliseconds."""
        found, self.latencies = sorted(self.latencies), []
        return 1000 * found[int(len(found) * 0.95)]


class Backends:
    """The server's processes that serve the scan: CPU seconds by process, looked at while they live."""

    def __init__(self, url: str) -> None:
        self._url, self._seconds = url, dict[int, float]()

    @property
    def seconds(self) -> float:
        return sum(self._seconds.values())

    async def watch(self) -> None:
        """Until cancelled."""
        connection = await asyncpg.connect(self._url, server_settings={"application_name": "pursight-bench"})
        while True:
            rows = await connection.fetch("select pid from pg_stat_activity where application_name ~ '^pursight-discovery'")
            for (pid,) in rows:
                with suppress(psutil.NoSuchProcess):
                    used = psutil.Process(pid).cpu_times()
                    self._seconds[pid] = used.user + used.system
            await asyncio.sleep(0.1)


async def scanned(url: str, state: str, pace: str) -> dict[str, Any]:
    """One full scan in a process of its own at the lowest priority; its manifest, and the CPU seconds that it cost the server."""
    command = [sys.executable, "-m", "bench.discovery.beside", "--scan", pace]
    environment = dict(os.environ) | {"BENCH_URL": url, "BENCH_STATE": state}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE, preexec_fn=lambda: os.nice(19))
    backends = Backends(url)
    watching = asyncio.create_task(backends.watch())
    async with asyncio.timeout(LONGEST_SECONDS):
        out, _ = await process.communicate()
    watching.cancel()
    if process.returncode:
        raise SystemExit("the scan did not end")
    manifest: dict[str, Any] = json.loads(out.splitlines()[-1])
    return manifest | {"server_cpu": round(backends.seconds, 2)}


async def scan(pace: str) -> None:
    """What `scanned` runs: discovery without a broker, on a state of its own."""
    from services.discovery.gateway import Patience, Sources
    from services.discovery.store import Scan, Store
    from services.discovery.worker.scan import Scanner
    from shared.bus.jobs import Jobs
    from shared.contracts.connection import ConnectionPlan, Privileges, ServerFacts, SourceConnected
    from shared.contracts.source import DataSource, Scope
    from shared.db.pool import open_pool
    from shared.db.seats import Seats
    from shared.egress import Surroundings
    from shared.observe import tracing

    url, state = os.environ["BENCH_URL"], os.environ["BENCH_STATE"]
    at = urlsplit(url)
    os.environ["BENCH_PASSWORD"] = unquote(at.password or "")
    spec = DataSource(
        name="shop", host=at.hostname or "", port=at.port or 0, database=at.path[1:], username=at.username or "", pool_size=8,
        password_secret="env:BENCH_PASSWORD", scope=Scope(schemas=("app",)), pace=pace,
    )  # fmt: skip
    plan = ConnectionPlan(
        host=spec.host, port=spec.port, database=spec.database, username=spec.username, secret=spec.password_secret, tls_mode="disable"
    )
    pool = await open_pool(state, schema="discovery", application_name="bench")
    store, jobs, seats = Store(pool), Jobs(pool, service="discovery"), Seats(state, service="discovery")
    sources = Sources(home=Path("/nonexistent"), around=Surroundings(local=True), patience=Patience(5, 60, 10, 4), seats=seats, pool=pool)
    id, now = f"scan-{os.getpid()}", await pool.fetchval("select (extract(epoch from clock_timestamp()) * 1000)::bigint")
    async with store.unit(keys=[spec.key]) as unit:
        told = {"server": ServerFacts(version="18"), "privileges": Privileges(role="x")}
        await unit.connect(SourceConnected(source=spec.key, sequence=now, based_on=1, spec=spec, plan=plan, **told))
        await unit.ask(Scan(id, spec.key, "waiting", "full", "person", Scope(), "bench", "default", tracing.root()))
        await unit.enqueue(jobs, spec.key, "person", tracing.root())
    job = await jobs.claim("scan")
    assert job is not None
    await Scanner(store, jobs, sources, tries=1).work(job)
    await jobs.finish(pool, job)
    found = await store.scan(id)
    assert found is not None
    if found["state"] != "completed":
        raise SystemExit(found["code"])
    print(json.dumps(found["report"]))
    await seats.close()
    await pool.close()


async def measure(url: str, state: str, rate: float, rounds: int) -> None:
    """Quiet, each pace, quiet, …; a round's ratio is over the quiet times before and after it."""
    pool = await asyncpg.create_pool(url, min_size=CLIENTS, max_size=CLIENTS)
    load = Load(pool, rate)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(3)
    ratios: dict[str, list[float]] = {pace: [] for pace in PACES}
    manifests: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for pace in PACES:
            quiet = [await quiet_p95(load)]
            manifests[pace] = await scanned(url, state, pace)
            busy = load.p95()
            quiet.append(await quiet_p95(load))
            ratios[pace].append(busy / (sum(quiet) / 2))
            print(json.dumps({"pace": pace, "p95_ms": round(busy, 2), "quiet_p95_ms": [round(each, 2) for each in quiet]}), flush=True)
    running.cancel()
    for pace in PACES:
        found, manifest = round(median(ratios[pace]), 2), manifests[pace]
        told = {
            "seconds": manifest["seconds"],
            "server_cpu_seconds": manifest["server_cpu"],
            "tables": manifest["tables"],
            "steps": [each["cause"] for each in manifest.get("pace", ())],
        }
        holds = found <= 1.1 if pace != "aggressive" else None
        say(f"p95 of a load, beside a {pace} scan", found, "x", "<= 1.1 x" if holds is not None else "", holds, **told)


async def quiet_p95(load: Load) -> float:
    """Of some seconds without a scan."""
    load.latencies.clear()
    await asyncio.sleep(QUIET_SECONDS)
    return load.p95()


async def migrated(state: str) -> None:
    """Discovery's own tables."""
    from shared.bus.migrations import FOLDER
    from shared.db import circuits
    from shared.db.migrate import migrate
    from shared.db.pool import open_pool

    own = Path(__file__).parents[2]
    pool = await open_pool(state, schema="discovery", application_name="bench")
    await migrate(pool, schema="discovery", folders=[FOLDER, own / "services" / "discovery" / "migrations"])
    await pool.close()
    await circuits.prepare(state)


def main() -> None:
    """Two servers, the source's and the state's; the rounds; the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=60.0, help="transactions a second")
    parser.add_argument("--scan", metavar="PACE", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.scan:
        with asyncio.Runner(loop_factory=GuardedLoop) as runner:
            runner.run(scan(wanted.scan))
        return
    with tempfile.TemporaryDirectory(prefix="pursight-bench-") as work:
        with EmbeddedPostgres(Path(work) / "source") as source, EmbeddedPostgres(Path(work) / "state") as state:
            asyncio.run(make(source.url, wanted.tables))
            asyncio.run(migrated(state.url))
            asyncio.run(measure(source.url, state.url, wanted.rate, wanted.rounds))
        source.discard()
        state.discard()


if __name__ == "__main__":
    main()
