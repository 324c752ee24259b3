"""Discovery against psql and SQLAlchemy's Inspector, side by side. See README.md.

python bench/discovery/run.py [--tables 10000] [--rounds 5] [--inspector 300]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from make import SCHEMAS, make

from bench.bars import say
from shared.local.postgres import EmbeddedPostgres

METHODS = Path(__file__).parent / "methods.py"


def once(method: str, argument: str, environment: dict[str, str]) -> dict[str, Any]:
    """One run in a process of its own; its line is printed and returned."""
    done = subprocess.run([sys.executable, METHODS, method, argument], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(
        json.dumps({name: value for name, value in found.items() if name != "chosen"} | {"load": round(os.getloadavg()[0], 1)}), flush=True
    )
    return found


def agree(ours: dict[str, Any], psql: dict[str, Any], inspector: dict[str, Any], tables: int) -> None:
    """Raises SystemExit where the methods did not see the same."""
    for name in ("digest", "types", "columns"):
        if ours[name] != psql[name]:
            raise SystemExit(f"ours and psql differ in {name}")
    if ours["tables"] != tables or ours["events"] != tables:
        raise SystemExit("not every table became an event")
    if inspector["columns"] != len(inspector["chosen"]) * ours["columns"] // tables:
        raise SystemExit("the Inspector saw another number of columns")


def main() -> None:
    """Make the data, run the rounds interleaved, print the ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inspector", type=int, default=300, help="tables that the Inspector reads; its time is scaled to all")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pursight-bench-") as work, EmbeddedPostgres(Path(work) / "postgres") as server:
        asyncio.run(make(server.url, wanted.tables))
        environment = dict(os.environ) | {"BENCH_URL": server.url, "BENCH_WORK": work}
        binary = str(server.binaries / "psql")
        rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "psql": []}
        for _ in range(wanted.rounds):
            rounds["psql"].append(once("psql", binary, environment))
            rounds["ours"].append(once("ours", "0", environment))
        inspector = once("inspector", str(wanted.inspector), environment)
        small, large = (once("ours", str(schemas), environment) for schemas in (SCHEMAS // 10, SCHEMAS))
        agree(rounds["ours"][-1], rounds["psql"][-1], inspector, wanted.tables)
        report(rounds, inspector, small, large)
        server.discard()


def report(rounds: dict[str, list[dict[str, Any]]], inspector: dict[str, Any], small: dict[str, Any], large: dict[str, Any]) -> None:
    """The last lines: each bar, from the medians."""
    ours, psql = (median(run["seconds"] for run in rounds[name]) for name in ("ours", "psql"))
    seconds = {"ours": ours, "psql": psql, "inspector": inspector["seconds_for_all"]}
    ratio, times = round(ours / psql, 2), round(inspector["seconds_for_all"] / ours, 1)
    growth = round(large["rss_over_idle_mb"] - small["rss_over_idle_mb"], 1)
    say("discovery, events built / psql copy of the same facts", ratio, "x", "<= 1.5 x", ratio <= 1.5, seconds=seconds)
    say("discovery against SQLAlchemy's Inspector per table", times, "x", ">= 50 x", times >= 50, seconds=seconds)
    say("memory from 1,000 to 10,000 tables", growth, "MB", "<= 32 MB", growth <= 32)


if __name__ == "__main__":
    main()
