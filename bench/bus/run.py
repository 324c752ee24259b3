"""The bus's bars, side by side on the shipped runtime and the local broker: `python -m bench.bus.run [--events N] [--quick]`.

Each line is one bar as JSON: what was measured, against what, the ratio, whether the bar holds, and what was on. Before a time is
printed, the output is read back: every event was answered exactly once, and the answers of one key are in the order of its events.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.bars import say
from bench.bus.hops import IN, OUT
from shared.bus.outgoing import Composer, Outgoing
from shared.bus.sender import Sender
from shared.bus.topics import wanted_topics
from shared.contracts.scan import LeftOut, ScanCompleted
from shared.local.kafka import EmbeddedKafka
from shared.local.postgres import EmbeddedPostgres
from shared.settings import BusSettings

KEYS, PARTITIONS = 5_000, 12
ROUNDS = 5


def event(number: int) -> ScanCompleted:
    """About 1 KB with nine nested objects."""
    left = tuple(
        LeftOut(what=f"app_{place:02}.table_{number % 99999:05}_archive_part", why="not readable by this role") for place in range(9)
    )
    return ScanCompleted(
        source=f"bench/s{number % KEYS}",
        scan_id=f"{number:036}",
        complete=True,
        tables=100,
        columns=2000,
        changed=3,
        digest="d" * 64,
        left_out=left,
    )


class Sink(BaseHTTPRequestHandler):
    """Takes spans as a collector would and keeps the requests."""

    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def sink() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


async def fresh_topics(settings: BusSettings) -> None:
    """Both topics and the group's retry topic, empty."""
    wanted = {topic.name: topic for topic in wanted_topics(["tagger"])}
    names = list(wanted)
    client = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await client.start()
    try:
        await client.delete_topics([name for name in await client.list_topics() if name in {*names, OUT}])
        for _ in range(50):
            if not {*names, OUT} & set(await client.list_topics()):
                break
            await asyncio.sleep(0.1)
        made = [
            NewTopic(name, PARTITIONS if name == IN else topic.partitions, 1, topic_configs=topic.settings)
            for name, topic in wanted.items()
        ]
        if OUT not in wanted:
            made.append(NewTopic(OUT, PARTITIONS, 1, topic_configs={"max.message.bytes": "4718592"}))
        await client.create_topics(made)
    finally:
        await client.close()


async def fill(settings: BusSettings, count: int, sampled: bool) -> int:
    """Put `count` events in; returns the bytes of one body."""
    sender = Sender(settings, "bench")
    await sender.start()
    size = 0
    for first in range(0, count, 2_000):
        records: list[Outgoing] = []
        composer = Composer("discovery", datetime.now(UTC), 0, records.append)
        for number in range(first, min(count, first + 2_000)):
            one = event(number)
            parent = f"00-{number + 1:032x}-{number + 1:016x}-{'01' if sampled else '00'}"
            composer.say(one, key=one.source, cause=f"bench-{number}", parent=parent, tenant="bench")
        size = len(records[0].body or b"")
        assert not any(await sender.send(records))
    await sender.stop()
    return size


async def check(settings: BusSettings, count: int) -> str:
    """Read the output back: each event answered once, in order per key. Returns a digest. Raises AssertionError."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    last: dict[bytes, int] = {}
    digest, seen = 0, 0
    try:
        heard = await _heard(settings)
        consumer.assign([TopicPartition(OUT, number) for number in range(PARTITIONS)])
        await consumer.seek_to_beginning()
        while seen < count:
            batches = await consumer.getmany(timeout_ms=3_000, max_records=2_000)
            assert batches, f"{seen} of {count} events answered"
            for record in (record for batch in batches.values() for record in batch):
                body = json.loads(record.value)
                number = heard.get(body["scan_id"]) if heard else None
                number = int(body["scan_id"]) if number is None else number
                assert last.get(record.key, -1) < number, "order of a key broken or an event answered twice"
                last[record.key] = number
                digest ^= int.from_bytes(hashlib.sha256(body["source"].encode() + str(number).encode()).digest()[:8], "big")
                seen += 1
    finally:
        await consumer.stop()
    return f"{digest:016x}"


async def _heard(settings: BusSettings) -> dict[str, int]:
    """Event ids to numbers, from the input."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    found: dict[str, int] = {}
    try:
        places = [TopicPartition(IN, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        left = sum((await consumer.end_offsets(places)).values())
        while left:
            for batch in (await consumer.getmany(timeout_ms=1_000, max_records=2_000)).values():
                left -= len(batch)
                found.update((dict(record.headers)["ce_id"].decode(), int(json.loads(record.value)["scan_id"])) for record in batch)
    finally:
        await consumer.stop()
    return found


def child(mode: str, given: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.bus.hops", mode], input=json.dumps(given), capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3_000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def spans_in(bodies: list[bytes]) -> int:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    return sum(len(scope.spans) for request in requests for resource in request.resource_spans for scope in resource.scope_spans)


class Bench:
    def __init__(self, settings: BusSettings, database: str, otlp: str) -> None:
        self.settings, self.database, self.otlp = settings, database, otlp

    async def run(self, mode: str, events: int, *, sampled: bool = False) -> dict[str, Any]:
        """One measured run on fresh topics and a fresh database, its output checked."""
        await fresh_topics(self.settings)
        size = await fill(self.settings, events, sampled)
        connection = await asyncpg.connect(self.database)
        await connection.execute("drop schema if exists tagger cascade")
        await connection.execute("checkpoint")
        await connection.close()
        Sink.bodies.clear()
        given = {
            "bootstrap": self.settings.bootstrap_servers,
            "database": self.database,
            "events": events,
            "sample": event(5).to_json().decode(),
        }
        result = await asyncio.to_thread(child, mode, given | ({"otlp": self.otlp} if sampled else {}))
        result["digest"] = await check(self.settings, events)
        if sampled:
            result["spans"] = spans_in(Sink.bodies)
            assert result["spans"] >= 2 * events, f"spans lost: {result['spans']} of {2 * events}"
        per_core = events / result["cpu_seconds"]
        result["cpu_in_validations"] = round(result["cpu_seconds"] / events * 1e6 / result["validation_us"], 2)
        return result | {"body_bytes": size, "per_second": round(events / result["seconds"]), "per_core_second": round(per_core)}


def tell(bar: str, measured: dict[str, Any], holds: bool, **more: Any) -> None:
    """One bar: a ratio where there is one, else events per second, of a core where the bar says so."""
    ratio = more.get("ratio")
    by_core = (measured["per_core_second"], "events/s/core") if "core" in bar else (measured["per_second"], "events/s")
    value, unit = by_core if ratio is None else (ratio, "x")
    what, _, target = bar.partition(" >= ")
    environment = {"python": platform.python_version(), "broker": "Apache Kafka, one node, real, loopback", "loop": "asyncio"}
    say(what, value, unit, f">= {target}", holds, measured=measured, environment=environment, **more)


def tell_floor(bare: dict[str, Any], plain: dict[str, Any]) -> None:
    """Not a bar: what the clients and the validation alone leave to a runtime here and now."""
    say(
        "stateless floor: aiokafka's consumer and producer and one validation, nothing else",
        bare["per_core_second"],
        "events/s/core",
        "side figure",
        None,
        measured=bare,
        runtime_share_of_floor=round(plain["per_core_second"] / bare["per_core_second"], 2),
    )


async def best(bench: Bench, *wanted: tuple[str, int, bool]) -> list[dict[str, Any]]:
    """Of each (mode, events, sampled) the run that took the least CPU of `ROUNDS`, all taken in turn; `rounds` tells all of them.

    What else shares the machine's cores and caches only ever adds to a run's CPU time, so the least disturbed one is the nearest to
    what the work costs. A machine's pace may change for minutes, so the runs of a mode are spread over the whole time. Rivals are
    measured in the same way.
    """
    rounds = [[await bench.run(mode, events, sampled=sampled) for mode, events, sampled in wanted] for _ in range(ROUNDS)]
    several = list(zip(*rounds, strict=True))
    return [
        max(runs, key=lambda run: run["per_core_second"]) | {"rounds": sorted(run["per_core_second"] for run in runs)} for runs in several
    ]


async def bars(bench: Bench, events: int, rivals: int) -> None:
    slow, plain, bare, sampled, single, state = await best(
        bench,
        ("rival_faststream", rivals, False),
        ("stateless", events, False),
        ("floor", events, False),
        ("stateless", events, True),
        ("rival_transactions", rivals, False),
        ("stateful", events // 2, True),
    )
    tell_floor(bare, plain)
    ratio = plain["per_second"] / slow["per_second"]
    cpu_ratio = plain["per_core_second"] / slow["per_core_second"]
    on = "validated, context carried, unsampled, metrics on, acks=all, offsets after acknowledgement"
    tell("stateless hop >= 40,000/s per client core", plain, plain["per_core_second"] >= 40_000, what_was_on=on)
    more = {"ratio": round(ratio, 1), "ratio_cpu": round(cpu_ratio, 1)}
    tell("stateless hop >= 35x FastStream one by one with ACK", slow, ratio >= 35, **more)
    on = "two spans an event, exported as OTLP, none lost"
    tell("stateless hop, sampled, >= 12,000/s", sampled, sampled["per_second"] >= 12_000, what_was_on=on)
    on = "inbox, upsert, outbox, relay, two spans an event"
    tell("hop with state >= 8,000/s", state, state["per_second"] >= 8_000, what_was_on=on)
    times = state["per_second"] / single["per_second"]
    tell("hop with state >= 12x a transaction per event", single, times >= 12, ratio=round(times, 1))


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rivals", type=int, default=2_000, help="events for the slow rivals")
    parser.add_argument("--quick", action="store_true", help="a tenth of the events")
    chosen = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # topics made anew: its first metadata is always a moment old
    events = chosen.events // 10 if chosen.quick else chosen.events
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = stack.enter_context(EmbeddedKafka(folder / "kafka"))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        settings = BusSettings(bootstrap_servers=kafka.bootstrap)
        bench = Bench(settings, postgres.url, stack.enter_context(sink()))
        await bars(bench, events, chosen.rivals)
        return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
