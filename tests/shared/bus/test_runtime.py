"""The promises of the runtime on the real broker and the real database."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Sequence
from itertools import compress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from prometheus_client import REGISTRY

from shared.bus.consume import Timing
from shared.bus.deadletters import DeadLetters
from shared.bus.edge import Publisher
from shared.bus.received import Cause, Received
from shared.bus.runtime import LEAVE_SECONDS
from shared.bus.unit import unit
from shared.contracts.asset import AssetRemoved
from shared.contracts.scan import ScanCompleted, ScanRequested
from shared.contracts.source import SourceRegistered
from shared.contracts.topics import group_of
from shared.errors import Transient, UsageError
from shared.observe import tracing
from shared.observe.otlp import Finished
from shared.observe.setup import setup_tracing

SHORT = Timing(session=6.0, heartbeat=0.5, max_poll=2.0, rebalance=10.0, revoke_wait=5.0, keep_alive=0.4, poll=0.5)


def completed(source: str, scan_id: str = "s") -> ScanCompleted:
    return ScanCompleted(source=source, scan_id=scan_id, complete=True, tables=1, columns=1, changed=1, digest="d")


class Ledger:
    """A handler with state: counts how often each event took effect, and says one event because of it."""

    def __init__(self, pool: Any, service: str) -> None:
        self.pool, self.service, self.effects, self.heard = pool, service, {}, []

    async def __call__(self, batch: Sequence[Received[Any]]) -> None:
        self.heard += batch
        async with unit(self.pool, service=self.service, batch=batch) as work:
            for received in compress(batch, work.is_new):
                work.emit(completed(received.event.source, received.id), key=received.key, cause=received)
        for received, new in zip(batch, work.is_new, strict=True):
            self.effects[received.id] = self.effects.get(received.id, 0) + new


async def test_an_event_is_heard_once_and_answered_in_its_trace(rig: Any, eventually: Any) -> None:
    """One event, one effect, one answer; the answer's id derives from the cause and its trace is the cause's."""
    await rig.from_now("discovery", ScanRequested)
    start = await rig.ends("scan.completed")
    pool = await rig.pool("discovery")
    ledger = Ledger(pool, "discovery")
    bus = await rig.bus("discovery", pool)
    bus.on(ScanRequested, ledger)
    await bus.start()
    assert bus.ready() == []
    async with Publisher.open(rig.settings) as publisher:
        cause = Cause.new("one")
        said = await publisher.publish(ScanRequested(source=rig.key("a")), key=rig.key("a"), cause=cause)
        again = await publisher.publish(ScanRequested(source=rig.key("a")), key=rig.key("a"), cause=cause)
    assert said.id == again.id
    await eventually(lambda: len(ledger.heard) == 2)
    await eventually(lambda: drained(pool))
    (answer,) = await rig.records("scan.completed", start)
    headers = dict(answer.headers)
    assert headers["ce_causationid"].decode() == said.id
    assert said.trace_id in headers["traceparent"].decode()
    assert ledger.effects == {said.id: 1}


async def drained(pool: Any) -> bool:
    return not await pool.fetchval("select count(*) from outbox")


async def test_a_batch_with_bad_records_loses_nothing_and_blocks_nothing(rig: Any, eventually: Any) -> None:
    """Of 500 records every good one is handled and every bad one is put aside with its bytes and its reason; replays are possible."""
    await rig.from_now("catalog", AssetRemoved)
    pool = await rig.pool("catalog")
    ledger: list[Received[Any]] = []

    async def handler(batch: Sequence[Received[Any]]) -> None:
        async with unit(pool, service="catalog", batch=batch) as work:
            ledger.extend(received for received in compress(batch, work.is_new) if received.key.startswith(rig.tag))

    good = AssetRemoved(asset=rig.key("s/d.s.t"), source=rig.key("s"), sequence=1).to_json()
    bad: dict[int, dict[str, Any]] = {
        17: {"value": b"{"},
        40: {"value": b"[1]"},
        41: {"value": b'"text"'},
        99: {"value": b'{"asset": "x"}'},
        140: {"value": b"\xff\xfe{}"},
        200: {"value": None},
        301: {"value": good, "headers": [("ce_type", b"source.registered")]},
        420: {"value": b'{"asset":"' + b"x" * 5_000_000 + b'"}'},
    }
    odd = {50: [("ce_id", None)], 51: [("x", b"\xff\xff")], 52: [("ce_time", b"never")], 53: [("traceparent", b"\xff")], 54: [("", b"")]}
    await raise_limit(rig, "asset.removed")
    for number in range(500):
        what = bad.get(number, {"value": good, "headers": odd.get(number, ())})
        await rig.raw("asset.removed", what["value"], key=rig.key(f"s/{number}").encode(), headers=what.get("headers", ()))
    await rig.raw("asset.removed", good, key=rig.key("s/last").encode())
    bus = await rig.bus("catalog", pool)
    bus.on(AssetRemoved, handler)
    await bus.start()
    await eventually(lambda: len(ledger) == 501 - len(bad))
    letters = DeadLetters(pool, "catalog")
    await eventually(lambda: has_letters(letters, len(bad)))
    found = {letter.shown_key.rsplit("/", 1)[1]: letter for letter in await letters.list()}
    assert {int(name): letter.error_code for name, letter in found.items()} == {
        17: "bad_json",
        40: "not_an_object",
        41: "not_an_object",
        99: "bad_event",
        140: "bad_json",
        200: "null_body",
        301: "wrong_type",
        420: "too_large",
    }
    shown, raw = await letters.show(found["420"].id)
    assert raw is not None
    assert raw.body == bad[420]["value"]
    assert shown.size == len(raw.body)
    assert "source: missing" in found["99"].why
    assert await letters.replay([letter.id for letter in found.values()]) == len(bad)
    bus.wake_relay()

    async def again() -> bool:
        return {letter.attempts for letter in await letters.list()} == {2} and {letter.state for letter in await letters.list()} == {"open"}

    await eventually(again)
    assert len(await letters.list()) == len(bad)


async def raise_limit(rig: Any, topic: str) -> None:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    from shared.bus.topics import admin
    from shared.contracts.topics import BY_NAME

    async with admin(rig.settings) as client:
        configs = BY_NAME[topic].settings | {"max.message.bytes": str(1 << 24)}
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])


async def has_letters(letters: DeadLetters, count: int) -> bool:
    return len(await letters.list()) == count


async def test_an_unknown_error_takes_one_record_only_and_its_replay_is_new(rig: Any, eventually: Any) -> None:
    """The failing record is put aside after a few tries, later facts of its key go on, and a replay takes effect exactly once."""
    await rig.from_now("tagger", AssetRemoved)
    start = await rig.ends("event.dead_lettered")
    pool = await rig.pool("tagger")
    effects: list[tuple[str, int]] = []
    broken = {rig.key("s/d.s.1")}

    async def handler(batch: Sequence[Received[Any]]) -> None:
        async with unit(pool, service="tagger", batch=batch) as work:
            mine = [received for received in compress(batch, work.is_new) if received.key.startswith(rig.tag)]
            if any(received.event.asset in broken and received.event.sequence == 1 for received in mine):
                raise RuntimeError("secret value 4111111111111111")
        effects.extend((received.event.asset, received.event.sequence) for received in mine)

    for number in range(8):
        for sequence in (1, 2):
            event = AssetRemoved(asset=rig.key(f"s/d.s.{number}"), source=rig.key("s"), sequence=sequence)
            await rig.raw("asset.removed", event.to_json(), key=event.asset.encode())
    bus = await rig.bus("tagger", pool)
    bus.on(AssetRemoved, handler)
    await bus.start()
    await eventually(lambda: len(effects) == 15)
    letters = DeadLetters(pool, "tagger")
    await eventually(lambda: has_letters(letters, 1))
    (letter,) = await letters.list()
    assert (letter.error_code, letter.attempts) == ("RuntimeError", 3)
    assert "4111" not in str(dataclasses.asdict(letter))
    await eventually(lambda: drained(pool))
    (told,) = [json.loads(record.value) for record in await rig.records("event.dead_lettered", start)]
    assert (told["service"], told["error_code"], told["asset"]) == ("tagger", "RuntimeError", rig.key("s/d.s.1"))
    broken.clear()
    await letters.replay([letter.id])
    await eventually(lambda: len(effects) == 16)
    await eventually(lambda: has_letters(letters, 0))
    assert sorted(effects) == sorted((rig.key(f"s/d.s.{number}"), sequence) for number in range(8) for sequence in (1, 2))


async def test_requests_of_one_key_wait_behind_an_unknown_error(rig: Any, eventually: Any) -> None:
    """A request that fails parks the later ones of its key, not those of others; after the replay all go on in their order."""
    await rig.from_now("discovery", ScanRequested)
    pool = await rig.pool("discovery")
    effects: list[tuple[str, str]] = []
    broken = [True]

    async def handler(batch: Sequence[Received[Any]]) -> None:
        async with unit(pool, service="discovery", batch=batch) as work:
            mine = [received for received in compress(batch, work.is_new) if received.key.startswith(rig.tag)]
            if broken[0] and any(received.event.reason == "bad" for received in mine):
                raise RuntimeError
        effects.extend((received.key, received.event.reason) for received in mine)

    async def ask(name: str, reason: str) -> None:
        event = ScanRequested(source=rig.key(name), reason=reason)
        await rig.raw("scan.requested", event.to_json(), key=event.source.encode())

    await ask("a", "bad")
    await ask("a", "second")
    await ask("b", "first")
    bus = await rig.bus("discovery", pool)
    bus.on(ScanRequested, handler)
    await bus.start()
    letters = DeadLetters(pool, "discovery")
    await eventually(lambda: has_letters(letters, 2))
    await ask("a", "third")
    await eventually(lambda: has_letters(letters, 3))
    assert effects == [(rig.key("b"), "first")]
    listed = await letters.list()
    assert all(letter.sealed and not letter.shown_key for letter in listed)
    assert (await letters.show(listed[0].id))[1] is None
    assert rig.tag.encode() not in b"".join(row[0] for row in await pool.fetch("select record from dead_letter"))
    broken[0] = False
    head = next(letter for letter in listed if letter.error_code != "parked")
    assert await letters.replay([head.id]) == 3
    await eventually(lambda: len(effects) == 4)
    assert effects[1:] == [(rig.key("a"), "bad"), (rig.key("a"), "second"), (rig.key("a"), "third")]
    await eventually(lambda: has_letters(letters, 0))


async def test_dropping_the_first_lets_the_parked_ones_go_on(rig: Any, eventually: Any) -> None:
    """Who drops the request that failed decides for the ones behind it: they are done, in their order."""
    await rig.from_now("discovery", ScanRequested)
    pool = await rig.pool("discovery")
    effects: list[str] = []

    async def handler(batch: Sequence[Received[Any]]) -> None:
        async with unit(pool, service="discovery", batch=batch) as work:
            mine = [received for received in compress(batch, work.is_new) if received.key.startswith(rig.tag)]
            if any(received.event.reason == "bad" for received in mine):
                raise RuntimeError
        effects.extend(received.event.reason for received in mine)

    for reason in ("bad", "second", "third"):
        await rig.raw("scan.requested", ScanRequested(source=rig.key("a"), reason=reason).to_json(), key=rig.key("a").encode())
    bus = await rig.bus("discovery", pool)
    bus.on(ScanRequested, handler)
    await bus.start()
    letters = DeadLetters(pool, "discovery")
    await eventually(lambda: has_letters(letters, 3))
    assert await letters.drop([letter.id for letter in await letters.list(code="RuntimeError")]) == 1
    await eventually(lambda: effects == ["second", "third"])
    await eventually(lambda: has_letters(letters, 0))


async def test_spans_chain_from_sender_to_answer_and_a_replay_is_a_link(rig: Any, eventually: Any) -> None:
    """send -> process -> send, each the child of the one before, in one trace; a replay has a trace of its own, linked to the first."""
    await rig.from_now("discovery", ScanRequested)
    spans: list[Finished] = []
    close = setup_tracing("discovery", sink=spans.append)
    pool, broken = await rig.pool("discovery"), [True]

    async def handler(batch: Sequence[Received[Any]]) -> None:
        async with unit(pool, service="discovery", batch=batch) as work:
            for received in compress(batch, work.is_new):
                if received.event.reason == "bad" and broken[0]:
                    raise RuntimeError
                work.emit(completed(received.event.source, received.id), key=received.key, cause=received)

    bus = await rig.bus("discovery", pool)
    bus.on(ScanRequested, handler)
    await bus.start()
    async with Publisher.open(rig.settings) as publisher:
        good = await publisher.publish(ScanRequested(source=rig.key("a")), key=rig.key("a"))
        bad = await publisher.publish(ScanRequested(source=rig.key("b"), reason="bad"), key=rig.key("b"))
    letters = DeadLetters(pool, "discovery")
    await eventually(lambda: has_letters(letters, 1))
    await eventually(lambda: sum(tracing.trace_id(span.own) == good.trace_id for span in spans) == 3)
    send, process, answer = sorted((span for span in spans if tracing.trace_id(span.own) == good.trace_id), key=lambda span: span.start_ns)
    assert [send.name, process.name, answer.name] == ["send scan.requested", "process scan.requested", "send scan.completed"]
    assert (process.parent, answer.parent) == (send.own, process.own)
    failed = next(span for span in spans if span.name == process.name and tracing.trace_id(span.own) == bad.trace_id)
    assert failed.error == "RuntimeError"
    broken[0] = False
    await letters.replay([letter.id for letter in await letters.list()])
    await eventually(lambda: any(span.links for span in spans))
    replayed = next(span for span in spans if span.links)
    assert tracing.trace_id(replayed.own) != bad.trace_id
    assert list(replayed.links) == [failed.own]
    close()


async def test_a_transient_error_waits_without_end_and_shows(rig: Any, eventually: Any) -> None:
    """While the world is away the batch waits, readiness says so, and nothing is put aside; then it goes on."""
    await rig.from_now("discovery", ScanRequested)
    pool = await rig.pool("discovery")
    away, tries, done = [True], [0], [0]

    async def handler(batch: Sequence[Received[Any]]) -> None:
        tries[0] += 1
        if away[0]:
            raise Transient("throttled", code="throttled")
        done[0] += len(batch)

    bus = await rig.bus("discovery", pool)
    bus.on(ScanRequested, handler)
    await bus.start()
    await rig.raw("scan.requested", ScanRequested(source=rig.key("a")).to_json(), key=b"k")
    await eventually(lambda: tries[0] >= 3)
    assert any("throttled" in problem for problem in bus.ready())
    away[0] = False
    await eventually(lambda: done[0] == 1)
    await eventually(lambda: bus.ready() == [])
    assert await pool.fetchval("select count(*) from dead_letter") == 0


async def test_tombstones_are_gone_keys(rig: Any, eventually: Any) -> None:
    """A null body on a compacted topic is heard as a tombstone, without an event; without a key it is poison."""
    await rig.from_now("connector", SourceRegistered)
    pool = await rig.pool("connector")
    heard: list[Received[Any]] = []

    async def handler(batch: Sequence[Received[Any]]) -> None:
        heard.extend(received for received in batch if received.key.startswith(rig.tag))

    await rig.raw("source.registered", None, key=rig.key("a").encode())
    bus = await rig.bus("connector", pool)
    bus.on(SourceRegistered, handler)
    await bus.start()
    await eventually(lambda: len(heard) == 1)
    assert heard[0].tombstone
    assert heard[0].event is None
    assert heard[0].tenant == rig.tag


async def test_a_slow_handler_keeps_its_partitions(rig: Any, eventually: Any) -> None:
    """A handler that works longer than max.poll.interval is not expelled: nothing is heard twice and its offsets are committed."""
    await rig.from_now("discovery", ScanRequested)
    pool = await rig.pool("discovery")
    calls: list[str] = []

    async def handler(batch: Sequence[Received[Any]]) -> None:
        calls.extend(received.key for received in batch)
        await asyncio.sleep(5.0)

    bus = await rig.bus("discovery", pool, timing=SHORT)
    bus.on(ScanRequested, handler)
    await bus.start()
    before = REGISTRY.get_sample_value("pursight_rebalances_total", {"group": "pursight.discovery.scan.requested"})
    await rig.raw("scan.requested", ScanRequested(source=rig.key("a")).to_json(), key=rig.key("a").encode())
    await eventually(lambda: len(calls) == 1)
    await rig.raw("scan.requested", ScanRequested(source=rig.key("b")).to_json(), key=rig.key("b").encode())
    await eventually(lambda: len(calls) == 2, seconds=15)
    assert calls == [rig.key("a"), rig.key("b")]
    assert REGISTRY.get_sample_value("pursight_rebalances_total", {"group": "pursight.discovery.scan.requested"}) == before


async def test_two_instances_share_and_hand_over(rig: Any, eventually: Any) -> None:
    """With a slow handler, a second instance that joins and a first one that leaves, every event takes effect once, in order per key."""
    await rig.from_now("discovery", ScanRequested)
    start = await rig.ends("scan.completed")
    effects: dict[str, list[int]] = {}
    pools = [await rig.pool("discovery"), await rig.pool("discovery")]

    def handler_of(pool: Any) -> Any:
        async def handler(batch: Sequence[Received[Any]]) -> None:
            await asyncio.sleep(0.3)
            async with unit(pool, service="discovery", batch=batch) as work:
                mine = [received for received in compress(batch, work.is_new) if received.key.startswith(rig.tag)]
                for received in mine:
                    work.emit(completed(received.event.source, received.event.reason), key=received.key, cause=received)
            for received in mine:
                effects.setdefault(received.key, []).append(int(received.event.reason))

        return handler

    async def feed() -> None:
        for number in range(300):
            event = ScanRequested(source=rig.key(f"k{number % 12}"), reason=str(number))
            await rig.raw("scan.requested", event.to_json(), key=event.source.encode(), partition=number % 12 % 3)
            if number % 10 == 0:
                await asyncio.sleep(0.1)

    first = await rig.bus("discovery", pools[0], timing=SHORT)
    first.on(ScanRequested, handler_of(pools[0]), batch=10)
    await first.start()
    feeding = asyncio.create_task(feed())
    await asyncio.sleep(1.0)
    second = await rig.bus("discovery", pools[1], timing=SHORT)
    second.on(ScanRequested, handler_of(pools[1]), batch=10)
    await second.start()
    await asyncio.sleep(1.5)
    await first.stop()
    await feeding
    await eventually(lambda: sum(map(len, effects.values())) >= 300, seconds=40)
    assert sum(map(len, effects.values())) == 300
    assert all(numbers == sorted(numbers) for numbers in effects.values())
    await eventually(lambda: drained(pools[1]))
    said = await rig.records("scan.completed", start)
    by_id: dict[bytes, set[bytes]] = {}
    for record in said:
        by_id.setdefault(dict(record.headers)["ce_id"], set()).add(bytes(record.value) + repr(record.headers).encode())
    assert len(by_id) == 300
    assert all(len(bodies) == 1 for bodies in by_id.values())


class Stubborn(ConsumerRebalanceListener):
    """A member that gives its partitions back only when the test lets it."""

    def __init__(self) -> None:
        self.lets = asyncio.Event()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        if revoked:  # not at its own first joining
            await self.lets.wait()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Nothing to do."""


async def test_a_stop_amid_a_rebalance_is_bounded(rig: Any) -> None:
    """Another member does not answer the rebalance that our joining began: a stop then does not wait for it."""
    await rig.from_now("discovery", ScanRequested)
    other = AIOKafkaConsumer(
        bootstrap_servers=rig.settings.bootstrap_servers, group_id=group_of("discovery", "scan.requested"), rebalance_timeout_ms=60_000
    )
    stubborn = Stubborn()
    other.subscribe(["scan.requested"], listener=stubborn)
    await other.start()
    bus = await rig.bus("discovery", await rig.pool("discovery"))
    bus.on(ScanRequested, Ledger(None, "discovery"))
    await bus.start(wait=2.0)
    begun = time.monotonic()
    await bus.stop()
    assert time.monotonic() - begun < LEAVE_SECONDS + 5
    stubborn.lets.set()
    other._coordinator._coordination_task.cancel()
    await asyncio.gather(other.stop(), return_exceptions=True)


async def test_a_replay_of_what_is_not_there_is_refused(rig: Any) -> None:
    """Nothing is sent, and it is said: an id mistyped is not a replay of none."""
    letters = DeadLetters(await rig.pool("discovery"), "discovery")
    with pytest.raises(UsageError, match="no such dead letter"):
        await letters.replay(["pursight.discovery.scan.requested/scan.requested/0/99999"])


async def test_an_instance_that_is_no_reader_is_refused(rig: Any) -> None:
    """A service hears only what the topic table says."""
    bus = await rig.bus("classifier", await rig.pool("classifier"))
    with pytest.raises(Exception, match="not a reader"):
        bus.on(ScanRequested, lambda _: asyncio.sleep(0))
