"""The same for MariaDB: `python -m bench.discovery.mariadb` starts one, makes tables, and sets our driver beside SQLAlchemy's Inspector."""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from statistics import median
from typing import Any

from bench.bars import say
from bench.discovery.run import once
from tests.mysql_server import MysqlServer, serving_mariadb

SCHEMAS, COLUMNS = 10, 20
_TYPES = (
    "int", "bigint", "text", "varchar(255)", "decimal(12,2)", "datetime", "date", "tinyint(1)", "binary(16)", "double", "char(2)",
    "enum('a','b')", "mediumtext", "timestamp null", "blob",
)  # fmt: skip
_WORDS = ("mail", "fax", "given", "family", "road", "place", "code", "land", "made", "state", "sum", "notes", "sku", "qty", "ref", "body")


def table_sql(number: int, dice: random.Random) -> str:
    """One table of 20 columns: a key, a reference for two in five, comments on a quarter of the columns and 60 % of the tables."""
    parts = ["id bigint auto_increment primary key", "parent_id bigint"]
    for place in range(COLUMNS - 2):
        kind = dice.choice(_TYPES)
        default = f" default '{place}'" if kind == "varchar(255)" and dice.random() < 0.3 else ""
        told = f" comment 'Supplied by the customer, field {place}'" if dice.random() < 0.25 else ""
        must = " not null" if dice.random() < 0.4 and not kind.startswith("timestamp") else ""
        parts.append(f"{_WORDS[(place + number) % len(_WORDS)]}_{place} {kind}{must}{default}{told}")
    if number and number % 5 < 2:
        parts.append(f"foreign key (parent_id) references t_{number - 1:04d} (id)")
    told = f" comment 'Table {number}, owned by team {number % 17}'" if dice.random() < 0.6 else ""
    return f"create table t_{number:04d} ({', '.join(parts)}){told}"


def make(server: MysqlServer, tables: int) -> None:
    """Create `tables` tables over ten schemas."""
    dice = random.Random(7)
    for schema in range(SCHEMAS):
        made = (table_sql(number, dice) for number in range(tables // SCHEMAS))
        server.run(f"create database app_{schema:02d}", f"use app_{schema:02d}", *made)


def main() -> None:
    """Make the data, run the rounds interleaved, print the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inspector", type=int, default=300, help="tables that the Inspector reads; its time is scaled to all")
    wanted = parser.parse_args()
    rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "inspector": []}
    with serving_mariadb() as server, tempfile.TemporaryDirectory(prefix="pursight-bench-") as work:
        make(server, wanted.tables)
        server.run("create user bench identified by 'bench'", "grant select on *.* to bench")
        url = f"mariadb://bench:bench@127.0.0.1:{server.port}/app_00"
        environment = dict(os.environ) | {"BENCH_URL": url, "BENCH_WORK": work}
        for _ in range(wanted.rounds):
            rounds["inspector"].append(once("inspector", str(wanted.inspector), environment))
            rounds["ours"].append(once("ours", str(SCHEMAS), environment))
    ours, inspector = (rounds[name][-1] for name in ("ours", "inspector"))
    if ours["tables"] != wanted.tables or ours["columns"] != wanted.tables * COLUMNS or inspector["columns"] != COLUMNS * wanted.inspector:
        raise SystemExit("the two saw different tables or columns")
    seconds = {"ours": median(run["seconds"] for run in rounds["ours"])}
    seconds |= {f"{name}_client_cpu": median(run["client_cpu_seconds"] for run in rounds[name]) for name in rounds}
    seconds["inspector_client_cpu"] *= wanted.tables / wanted.inspector
    seconds["inspector"] = median(run["seconds_for_all"] for run in rounds["inspector"])
    times = round(seconds["inspector"] / seconds["ours"], 1)
    told = {"tables": wanted.tables, "statements": {"ours": ours["statements"], "inspector": inspector["statements"]}}
    say("MariaDB discovery against SQLAlchemy's Inspector per table", times, "x", ">= 10 x", times >= 10, seconds=seconds, **told)


if __name__ == "__main__":
    main()
