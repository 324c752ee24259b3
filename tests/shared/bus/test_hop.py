"""Hops without state on the real broker: what a step says, and what becomes of a poll that does not go well."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from shared.bus.deadletters import DeadLetters
from shared.bus.received import Received
from shared.bus.sender import Load, Sender
from shared.contracts.asset import AssetRemoved
from shared.contracts.scan import ScanCompleted
from shared.observe.otlp import Finished
from shared.observe.setup import setup_tracing

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Twice:
    """A step that says each event's number twice, but for those that are broken."""

    def __init__(self, *broken: int) -> None:
        self.broken = set(broken)

    def __call__(self, received: Received[AssetRemoved]) -> list[tuple[str, ScanCompleted]]:
        event = received.event
        if event.sequence in self.broken:
            raise RuntimeError("4111111111111111")
        number = str(event.sequence)
        said = ScanCompleted(source=event.source, scan_id=number, complete=True, tables=1, columns=1, changed=1, digest="d")
        return [(received.key, said), (received.key, said)]


async def feed(rig: Any, numbers: range) -> None:
    for number in numbers:
        event = AssetRemoved(asset=rig.key("s/d.s.t"), source=rig.key("s"), sequence=number)
        await rig.raw("asset.removed", event.to_json(), key=event.asset.encode(), headers=[("traceparent", TRACE)])


async def answers(rig: Any, start: Any) -> list[tuple[int, str, bytes]]:
    """Number, event id and bytes of each answer, in order."""
    records = await rig.records("scan.completed", start)
    return [(int(json.loads(record.value)["scan_id"]), dict(record.headers)["ce_id"].decode(), record.value) for record in records]


async def hop(rig: Any, step: Twice, **more: Any) -> DeadLetters:
    """Start the tagger's bus with this step; its dead letters."""
    pool = await rig.pool("tagger")
    bus = await rig.bus("tagger", pool)
    bus.hop(AssetRemoved, step, **more)
    await bus.start()
    return DeadLetters(pool, "tagger")


async def test_each_event_is_answered_in_order_and_in_its_trace(rig: Any, eventually: Any) -> None:
    """Answers come in the order of a key's events, each with its own id; a span of each hearing, and below it one of each saying."""
    await rig.from_now("tagger", AssetRemoved)
    start = await rig.ends("scan.completed")
    spans: list[Finished] = []
    close = setup_tracing("tagger", sink=spans.append)
    await feed(rig, range(1, 1_001))
    await hop(rig, Twice(), batch=300)
    await eventually(lambda: len(spans) == 3_000)
    close()
    said = await answers(rig, start)
    assert [number for number, _, _ in said] == [number for number in range(1, 1_001) for _ in range(2)]
    assert len({id for _, id, _ in said}) == 2_000
    heard = {span.own for span in spans if span.name == "process asset.removed"}
    assert Counter(span.parent for span in spans if span.name == "send scan.completed") == dict.fromkeys(heard, 2)


async def test_what_goes_wrong_takes_nothing_along(rig: Any, eventually: Any) -> None:
    """Of a poll with a body that is no JSON and an event that the step cannot take, all others are answered in order; so is the replay."""
    await rig.from_now("tagger", AssetRemoved)
    start = await rig.ends("scan.completed")
    await feed(rig, range(1, 9))
    await rig.raw("asset.removed", b"{", key=rig.key("s/d.s.t").encode())
    await feed(rig, range(9, 21))
    step = Twice(13)
    letters = await hop(rig, step)

    async def answered(*numbers: int) -> bool:
        return [number for number, _, _ in dict.fromkeys(await answers(rig, start))] == [number for number in numbers for _ in range(2)]

    async def aside() -> bool:
        return {letter.error_code for letter in await letters.list()} == {"bad_json", "RuntimeError"}

    good = [number for number in range(1, 21) if number != 13]
    await eventually(lambda: answered(*good))
    await eventually(aside)
    assert "4111" not in repr(await letters.list())
    step.broken.clear()
    await letters.replay([letter.id for letter in await letters.list(code="RuntimeError")])
    await eventually(lambda: answered(*good, 13))


async def test_a_lost_acknowledgement_repeats_with_equal_ids_and_bytes(rig: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka has the records, but we do not know: the poll is done again, and says the same once more."""
    await rig.from_now("tagger", AssetRemoved)
    start = await rig.ends("scan.completed")
    ship, lost = Sender.ship, [True]

    async def forgetful(self: Sender, load: Load) -> list[Exception | None]:
        results = await ship(self, load)
        if lost.pop() if lost else False:
            return [OSError() for _ in results]
        return results

    monkeypatch.setattr(Sender, "ship", forgetful)
    await feed(rig, range(1, 11))
    await hop(rig, Twice())

    async def twice() -> bool:
        return len(await answers(rig, start)) >= 22

    await eventually(twice)
    by_id: dict[str, list[bytes]] = {}
    for _, id, body in await answers(rig, start):
        by_id.setdefault(id, []).append(body)
    assert len(by_id) == 20
    assert all(len(set(bodies)) == 1 for bodies in by_id.values())
