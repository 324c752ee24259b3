"""The ways to read a catalogue. `python methods.py METHOD URL [N]` runs one once and prints one JSON line."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

_SYSTEM = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
_COPIES = (
    f"""select n.nspname, c.relname, a.attname, a.attnotnull, format_type(a.atttypid, a.atttypmod), a.attnum, a.attidentity, a.attgenerated,
    d.description, pg_get_expr(f.adbin, f.adrelid)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_description d on d.objoid = c.oid and d.classoid = 'pg_class'::regclass and d.objsubid = a.attnum
    left join pg_attrdef f on f.adrelid = c.oid and f.adnum = a.attnum
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition and {_SYSTEM}""",
    f"""select n.nspname, c.relname, c.relkind, c.reltuples, c.relpages, pg_get_userbyid(c.relowner), c.relrowsecurity,
    obj_description(c.oid, 'pg_class') from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition and {_SYSTEM}""",
    f"""select n.nspname, c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid) from pg_constraint k
    join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    where k.contype in ('p', 'u', 'f', 'c', 'x') and {_SYSTEM}""",
    f"""select n.nspname, c.relname, i.indkey, i.indisunique from pg_index i join pg_class c on c.oid = i.indrelid
    join pg_namespace n on n.oid = c.relnamespace where {_SYSTEM}""",
)


def digest(lines: Iterable[str]) -> str:
    """Of the sorted lines."""
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def tell(method: str, seconds: float, cpu: float, seen: list[tuple[str, str, str, bool, str]], **more: Any) -> None:
    """One JSON line. Seconds of wall and of this process's CPU were taken before what came out was read back."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "method": method,
                "seconds": round(seconds, 3),
                "client_cpu_seconds": round(cpu, 3),
                "rss_mb": round(used, 1),
                "tables": len({row[:2] for row in seen}),
                "columns": len(seen),
                "digest": digest("\t".join((*row[:3], str(row[3]))) for row in seen),
                "types": digest("\t".join((*row[:3], row[4])) for row in seen),
            }
            | more
        )
    )


async def ours(url: str, schemas: int) -> None:
    """The shipped driver and the shipped assembly, up to the event's bytes."""
    from services.discovery.domain import document, drift, event
    from services.discovery.domain.document import Place
    from shared.contracts.source import DataSource, Scope
    from shared.evidence.scrub import scrub
    from shared.sources.base import Dial
    from shared.sources.engines import driver_for

    scrub("warm 12")
    gc.freeze()  # as the runtime of every service does
    gc.set_threshold(50_000, 20, 50)
    parts = urlsplit(url)
    dial = Dial(
        parts.hostname or "", parts.port or 0, parts.path[1:], parts.username or "", unquote(parts.password or ""), tls_mode="disable"
    )
    driver = driver_for(parts.scheme)
    spec = DataSource(name="bench", engine=parts.scheme, database=dial.database)
    place = Place("default", "bench", dial.database, f"{parts.scheme}://bench/{dial.database}.")
    frame = event.frame(place, spec.key, "scan", spec=spec.to_json(), posture=b"{}", server=b'{"version":"18"}')
    scope = Scope(schemas=tuple(f"app_{number:02d}" for number in range(schemas))) if schemas else Scope()
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out = Path(os.environ["BENCH_WORK"]) / "events.out"
    kept = out.open("wb")
    started, cpu, size, built = time.perf_counter(), time.process_time(), 0, 0
    async with driver.open(dial) as session, session.snapshot() as snapshot:
        async for chunk in snapshot.describe(await snapshot.marks(scope, compare=False)):
            for facts in chunk:
                mark = facts.mark
                found = document.document(place, mark.schema, mark.table, mark.kind, facts)
                statistics = event.Statistics(mark.rows, mark.bytes, mark.partitions)
                body = event.body(frame, found, sequence=1, statistics=statistics, change=drift.CREATED, sampling="none", evidence={})
                size, built = size + kept.write(body + b"\n"), built + 1
    kept.close()
    started, cpu = time.perf_counter() - started, time.process_time() - cpu
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - idle
    seen = [
        (event_["schema_name"], event_["table"], column["name"], column.get("nullable", True), column["type"])
        for event_ in map(orjson.loads, out.read_bytes().splitlines())
        for column in event_["columns"]
    ]
    tell("ours", started, cpu, seen, bytes=size, events=built, rss_over_idle_mb=round(growth, 1), statements=session.statements)


def psql(url: str, binary: str) -> None:
    """The stock client, to a file; its start is in the time, as a user would see it."""
    out = Path(os.environ["BENCH_WORK"]) / "copy.out"
    parts = urlsplit(url)
    command = [binary, "-X", "-q", "-h", parts.hostname or "", "-p", str(parts.port), "-U", parts.username or "", parts.path[1:]]
    for query in _COPIES:
        command += ["-c", f"copy ({query}) to stdout"]
    with out.open("wb") as file:
        started, cpu = time.perf_counter(), time.process_time()
        subprocess.run(command, stdout=file, check=True, env=os.environ | {"PGPASSWORD": unquote(parts.password or "")})
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    seen = [(row[0], row[1], row[2], row[3] == "f", row[4]) for row in rows if len(row) == 10]
    tell("psql", seconds, cpu, seen, bytes=out.stat().st_size, rows=len(rows))


def inspector(url: str, tables: int) -> None:
    """SQLAlchemy, table by table, as catalogue tools do; the first tables of each schema, scaled to all."""
    from sqlalchemy import create_engine, event, inspect

    clients = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
    scheme, _, rest = url.partition("://")
    plain = {"ssl_disabled": True} if scheme == "mariadb" else {}  # ours is not encrypted either
    engine = create_engine(f"{clients[scheme]}://{rest}", connect_args=plain)
    statements = 0

    @event.listens_for(engine, "before_cursor_execute")
    def _count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    look = inspect(engine)
    schemas = [name for name in look.get_schema_names() if name.startswith(("app_", "part_"))]
    everything = [(schema, table) for schema in schemas for table in look.get_table_names(schema=schema)]
    step = max(1, len(everything) // tables)
    chosen = everything[::step][:tables]
    started, cpu = time.perf_counter(), time.process_time()
    seen: list[tuple[str, str, str, bool, str]] = []
    for schema, table in chosen:
        columns = look.get_columns(table, schema=schema)
        for question in ("pk_constraint", "foreign_keys", "unique_constraints", "check_constraints", "indexes", "table_comment"):
            getattr(look, f"get_{question}")(table, schema=schema)
        seen += [(schema, table, column["name"], bool(column["nullable"]), "") for column in columns]
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    per_table = seconds / len(chosen)
    scaled = {"seconds_for_all": round(per_table * len(everything), 1), "statements": statements}
    tell("inspector", seconds, cpu, seen, chosen=[f"{schema}.{table}" for schema, table in chosen], **scaled)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    method, url, argument = sys.argv[1], os.environ["BENCH_URL"], sys.argv[2]
    if method == "ours":
        asyncio.run(ours(url, int(argument)))
    elif method == "psql":
        psql(url, argument)
    else:
        inspector(url, int(argument))
