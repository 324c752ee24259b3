"""The whole line: a source is registered, its last table has its tags; then a scan of the same, of which nothing changed.

`python -m bench.line.run [--tables N]`. The stack is the shipped one with shipped defaults, started by `pursight up`; the source is a
PostgreSQL of its own; the scan is `pursight scan URL --json`. A time is printed only when every table came out judged and tagged, and
its classes have the known digest; of the scans again, only when no asset's event was said.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from aiokafka import AIOKafkaConsumer

from bench.bars import say
from bench.line.make import COLUMNS, make
from shared.local.postgres import EmbeddedPostgres

PURSIGHT = Path(sys.executable).with_name("pursight")
KNOWN = Path(__file__).with_name("digests.json")
METHODS = Path(__file__).parents[1] / "discovery" / "methods.py"
ROWS = 50
AGAIN, INSPECTED = 5, 300


def main() -> int:
    """Prints one JSON line; 1 where what came out is not right."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", type=int, default=10_000)
    count = parser.parse_args().tables
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "source") as source:
        began = time.monotonic()
        asyncio.run(make(source.url, count=count, rows=ROWS))
        made_seconds = time.monotonic() - began
        environment = {**os.environ, "PURSIGHT_HOME": str(Path(folder) / "home")}
        try:
            return _measure(source.url, count, environment, made_seconds)
        finally:
            subprocess.run([PURSIGHT, "reset", "--yes"], env=environment, check=False, capture_output=True)


def _measure(url: str, count: int, environment: dict[str, str], made_seconds: float) -> int:
    began = time.monotonic()
    subprocess.run([PURSIGHT, "up"], env=environment, check=True, capture_output=True)
    ready = time.monotonic() - began
    began = time.monotonic()
    done = subprocess.run(
        [PURSIGHT, "scan", url, "--name", "bench", "--json"], env=environment, capture_output=True, text=True, check=False
    )
    wall = time.monotonic() - began
    if done.returncode:
        print(done.stderr[-500:], file=sys.stderr)
        return 1
    found = json.loads(done.stdout)
    if wrong := _wrong(found, count):
        print(wrong, file=sys.stderr)
        return 1
    status = _json(environment, "status")
    seconds = found["seconds"]["total"]
    bar = f"whole line, {count} tables, {count * COLUMNS} columns"
    say(bar, round(seconds, 1), "s", "<= 60 s on two cores", seconds <= 60, **_report(found, wall, ready, made_seconds, status))
    return _again(url, count, environment, status["broker"])


def _again(url: str, count: int, environment: dict[str, str], broker: str) -> int:
    """Scans of the same source against SQLAlchemy's Inspector, table by table; its time is scaled to all tables."""
    said = asyncio.run(_said(broker))
    runs = []
    for _ in range(AGAIN):
        subprocess.run([PURSIGHT, "scan", "bench", "--json"], env=environment, check=True, capture_output=True)
        (newest,) = _json(environment, "scans", "list", "--source", "bench", "--limit", "1")["scans"]
        runs.append(newest["report"])
    if asyncio.run(_said(broker)) != said or any((run["tables"], run["changed"]) != (count, 0) for run in runs):
        print("a scan of what had not changed said something", file=sys.stderr)
        return 1
    look = [sys.executable, METHODS, "inspector", str(INSPECTED)]
    done = subprocess.run(look, env=environment | {"BENCH_URL": url}, capture_output=True, text=True, check=True)
    inspector = json.loads(done.stdout.splitlines()[-1])["seconds_for_all"]
    ours = median(run["seconds"] for run in runs)
    ratio = round(inspector / ours, 1)
    seconds = {"inspector": inspector, "ours": [run["seconds"] for run in runs], "phases": runs[-1]["seconds_by_phase"]}
    bar = "a scan again, nothing changed, nothing said, against SQLAlchemy's Inspector per table"
    say(bar, ratio, "x", ">= 200 x", ratio >= 200, seconds=seconds, statements=runs[-1]["statements"])
    return 0


async def _said(broker: str) -> int:
    """How many records were ever written to the topic of assets."""
    consumer = AIOKafkaConsumer("schema.discovered", bootstrap_servers=broker)
    await consumer.start()
    try:
        return sum((await consumer.end_offsets(consumer.assignment())).values())
    finally:
        await consumer.stop()


def _json(environment: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run([PURSIGHT, *arguments, "--json"], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def digest(found: dict[str, Any]) -> str:
    """sha256 over schema, table, column and class of everything, sorted."""
    facts = sorted(f"{a['schema']}.{a['table']}.{c['name']} {c['class']} {c['state']}" for a in found["assets"] for c in a["columns"])
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _wrong(found: dict[str, Any], count: int) -> str:
    """What is not as it has to be; empty where all is."""
    columns = sum(len(asset["columns"]) for asset in found["assets"])
    tagged = {tag["target"] for tag in found["tags"] if "/asset:" in tag["target"]}
    if (len(found["assets"]), columns, len(tagged)) != (count, count * COLUMNS, count):
        return f"{len(found['assets'])} tables, {columns} columns, {len(tagged)} tagged; {count} and {count * COLUMNS} expected"
    known = json.loads(KNOWN.read_text()).get(str(count)) if KNOWN.exists() else None
    if known and known != digest(found):
        return f"the classes have the digest {digest(found)}, {known} was expected: rules changed, or something is wrong"
    return ""


def _report(found: dict[str, Any], wall: float, ready: float, made: float, status: dict[str, Any]) -> dict[str, Any]:
    return {
        "seconds": found["seconds"],
        "shell_seconds": round(wall, 1),
        "stack_ready_seconds": round(ready, 1),
        "source_made_seconds": round(made, 1),
        "violations": len(found["violations"]),
        "memory_mib": status["memory_bytes"] >> 20,
        "digest": digest(found),
        "tracing": bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")),
    }


if __name__ == "__main__":
    sys.exit(main())
