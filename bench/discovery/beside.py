"""What a scan does to the work that a server has already: `python -m bench.discovery.beside [--tables 500] [--rounds 1] [--rate 100]`.

A load of reads and writes comes at a fixed rate, whatever the server answers, so that a late answer is a late answer. The scan is halted
and let go on in turns of seconds, so that what else the machine does meets both alike. The scanner and its own state get a processor only
where nobody else wants one, as if on another machine.
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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import psutil

from bench.bars import say
from shared.egress import GuardedLoop
from shared.local.postgres import EmbeddedPostgres

PACES = ("conservative", "balanced", "aggressive")
ACCOUNTS, CLIENTS, LONGEST_SECONDS = 50_000, 4, 600.0
CAREFULLY = 150  # tables, where a scan gives way so much that more would take too long
WINDOW_SECONDS, SETTLE_SECONDS, LEAST_WINDOWS = 0.5, 0.1, 6
GO, HALT = b"go\n", b"halt\n"
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
        self.done: list[tuple[float, float]] = []

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
        self.done.append((due, monotonic() - due))

    def within(self, windows: Sequence[tuple[float, float]]) -> list[float]:
        """Latencies of what was due in one of these."""
        return [took for due, took in self.done if any(start <= due < end for start, end in windows)]


def p95(latencies: Sequence[float]) -> float:
    """In milliseconds."""
    return 1000 * sorted(latencies)[int(len(latencies) * 0.95)]


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


async def scanned(url: str, state: str, pace: str) -> tuple[dict[str, Any], list[tuple[float, float]], list[tuple[float, float]]]:
    """One full scan in a process of its own, halted and let go on in turns: its manifest with the CPU seconds that it cost the server, and
    when it ran and when it was halted, from its first statement on."""
    command = [sys.executable, "-m", "bench.discovery.beside", "--scan", pace]
    environment = dict(os.environ) | {"BENCH_URL": url, "BENCH_STATE": state}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=lambda: elsewhere(0)
    )
    assert process.stdout is not None
    assert process.stdin is not None
    await process.stdout.readline()  # it has loaded all that it needs
    backends = Backends(url)
    watching = asyncio.create_task(backends.watch())
    said = asyncio.create_task(process.stdout.read())
    on, off = list[tuple[float, float]](), list[tuple[float, float]]()
    async with asyncio.timeout(LONGEST_SECONDS):
        while not said.done():
            for word, windows in ((GO, on), (HALT, off)):
                process.stdin.write(word)
                await asyncio.sleep(SETTLE_SECONDS)  # what the server was asked already comes to its end
                began = monotonic()
                await asyncio.wait({said}, timeout=WINDOW_SECONDS)
                if not said.done():
                    windows.append((began, monotonic()))
        await process.wait()
    watching.cancel()
    if process.returncode:
        raise SystemExit("the scan did not end")
    manifest: dict[str, Any] = json.loads(said.result().splitlines()[-1])
    return manifest | {"server_cpu": round(backends.seconds, 2)}, on, off


def elsewhere(pid: int) -> None:
    """As if this process ran on another machine: it gets a processor when nobody else wants one."""
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


async def halted_by_words() -> None:
    """Lets nothing be asked of the source from the word `halt` on our input until the word `go`; begins halted."""
    from services.discovery.pacing import Pacer

    gate, loop, reader, rest = asyncio.Event(), asyncio.get_running_loop(), asyncio.StreamReader(), Pacer.rest

    async def rested(self: Pacer, worked: float) -> None:
        await rest(self, worked)
        await gate.wait()

    Pacer.rest = rested  # type: ignore[method-assign]
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while word := await reader.readline():
        (gate.set if word == GO else gate.clear)()


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
    from shared.evidence.count import count_columns
    from shared.observe import tracing

    url, state = os.environ["BENCH_URL"], os.environ["BENCH_STATE"]
    at = urlsplit(url)
    few = tuple(f"app.t{number:04}" for number in range(CAREFULLY)) if pace == "conservative" else ()
    os.environ["BENCH_PASSWORD"] = unquote(at.password or "")
    spec = DataSource(
        name="shop", host=at.hostname or "", port=at.port or 0, database=at.path[1:], username=at.username or "", pool_size=8,
        password_secret="env:BENCH_PASSWORD", scope=Scope(schemas=("app",), tables=few), pace=pace,
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
    count_columns([["x"]], [0])  # detectors are made ready once a process, not once a scan
    listening = asyncio.create_task(halted_by_words())
    print("ready", flush=True)
    await Scanner(store, jobs, sources, tries=1).work(job)
    listening.cancel()
    await jobs.finish(pool, job)
    found = await store.scan(id)
    assert found is not None
    if found["state"] != "completed":
        raise SystemExit(found["code"])
    print(json.dumps(found["report"]))
    await seats.close()
    await pool.close()


async def measure(url: str, state: str, rate: float, rounds: int, paces: Sequence[str]) -> None:
    """Of each pace, as many scans as asked for: p95 while they run over p95 while they are halted, all windows of a kind together; and the
    same ratio between every other window of those where they are halted, which tells what the machine does by itself."""
    pool = await asyncpg.create_pool(url, min_size=CLIENTS, max_size=CLIENTS)
    load = Load(pool, rate)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(3)
    for pace in paces:
        on, off = list[tuple[float, float]](), list[tuple[float, float]]()
        for _ in range(rounds):
            manifest, ran, halted = await scanned(url, state, pace)
            on, off = on + ran, off + halted
        told = {
            "seconds": manifest["seconds"],
            "server_cpu_seconds": manifest["server_cpu"],
            "tables": manifest["tables"],
            "steps": [each["cause"] for each in manifest.get("pace", ())],
        }
        if len(off) < LEAST_WINDOWS:
            print(json.dumps({"pace": pace, "windows": len(off), "too": "short to be measured"} | told), flush=True)
            continue
        beside, alone = load.within(on), load.within(off)
        noise = p95(load.within(off[::2])) / p95(load.within(off[1::2]))
        told |= {"p95_ms": round(p95(beside), 2), "halted_p95_ms": round(p95(alone), 2), "noise": round(noise, 2), "windows": len(off)}
        found = round(p95(beside) / p95(alone), 2)
        bar = pace == "conservative"
        say(f"p95 of a load, beside a {pace} scan", found, "x", "<= 1.1 x" if bar else "", found <= 1.1 if bar else None, **told)
    running.cancel()


async def migrated(state: str) -> None:
    """Discovery's own tables. Their server writes to the disk that the load commits to, which elsewhere it would not."""
    from shared.bus.migrations import FOLDER
    from shared.db import circuits
    from shared.db.migrate import migrate
    from shared.db.pool import open_pool

    own = Path(__file__).parents[2]
    pool = await open_pool(state, schema="discovery", application_name="bench")
    await migrate(pool, schema="discovery", folders=[FOLDER, own / "services" / "discovery" / "migrations"])
    for statement in ("alter system set fsync = off", "alter system set synchronous_commit = off", "select pg_reload_conf()"):
        await pool.execute(statement)
    await pool.close()
    await circuits.prepare(state)


def main() -> None:
    """Two servers, the source's and the state's; the rounds; the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100.0, help="transactions a second")
    parser.add_argument("--paces", nargs="*", default=PACES)
    parser.add_argument("--scan", metavar="PACE", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.scan:
        with asyncio.Runner(loop_factory=GuardedLoop) as runner:
            runner.run(scan(wanted.scan))
        return
    with tempfile.TemporaryDirectory(prefix="pursight-bench-") as work:
        with EmbeddedPostgres(Path(work) / "source") as source, EmbeddedPostgres(Path(work) / "state") as state:
            server = psutil.Process(int((state.data / "postmaster.pid").read_text().split()[0]))
            for process in (server, *server.children()):  # those to come take after their parent
                elsewhere(process.pid)
            asyncio.run(make(source.url, wanted.tables))
            asyncio.run(migrated(state.url))
            asyncio.run(measure(source.url, state.url, wanted.rate, wanted.rounds, wanted.paces))
        source.discard()
        state.discard()


if __name__ == "__main__":
    main()
