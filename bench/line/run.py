"""The whole line: a source is registered, its last table has its tags. `python -m bench.line.run [--tables N]`.

The stack is the shipped one with shipped defaults, started by `pursight up`; the source is a PostgreSQL of its own; the scan is
`pursight scan URL --json`. A time is printed only when every table came out judged and tagged, and its classes have the known digest.
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
from typing import Any

from bench.bars import say
from bench.line.make import COLUMNS, make
from shared.local.postgres import EmbeddedPostgres

PURSIGHT = Path(sys.executable).with_name("pursight")
KNOWN = Path(__file__).with_name("digests.json")
ROWS = 50


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
    status = json.loads(subprocess.run([PURSIGHT, "status", "--json"], env=environment, capture_output=True, text=True, check=False).stdout)
    seconds = found["seconds"]["total"]
    bar = f"whole line, {count} tables, {count * COLUMNS} columns"
    say(bar, round(seconds, 1), "s", "<= 60 s on two cores", seconds <= 60, **_report(found, wall, ready, made_seconds, status))
    return 0


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
