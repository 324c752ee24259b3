"""Discovery's door: each event becomes a job or an answer, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from services.discovery import handlers
from shared.access.actor import Actor
from shared.access.gate import shipped
from shared.bus.received import Received
from shared.contracts.connection import SourceConnected
from shared.contracts.rules import RulesetPublished
from shared.contracts.scan import ScanRequested
from shared.contracts.source import SourceRemoved
from shared.observe import tracing

PERSON = Actor("person:ana", "default", frozenset({"steward"}))


def heard(event: Any, topic: str, key: str, number: int = 1) -> Received[Any]:
    """As the bus would hand it."""
    return Received(event, f"id-{topic}-{number}", key, topic, 0, number, datetime.now(UTC), "default", "", tracing.root(), actor=PERSON)


def test_connected_asks_for_a_scan_once(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """The same event twice, or an older one, asks for nothing more."""

    async def work(house: Any, url: str) -> None:
        event = connected(url, sequence=2)
        batch = [heard(event, "source.connected", event.source), heard(event, "source.connected", event.source)]
        await handlers.on_source_connected(batch, store=house.store, jobs=house.jobs)
        older = heard(connected(url, sequence=1), "source.connected", event.source, 2)
        await handlers.on_source_connected([older], store=house.store, jobs=house.jobs)
        assert [scan["state"] for scan in await house.store.scans()] == ["waiting"]
        assert await house.jobs.waiting("scan") == 1

    in_house(work)


def test_the_patterns_of_the_newest_rule_set_are_kept(in_house: Any) -> None:
    """For every instance, in the order of the rule set; one without patterns ends them."""

    async def work(house: Any, url: str) -> None:
        told = [{"name": f"own_{name}", "pattern": f"{name}-[0-9]+"} for name in ("b", "a")]
        for number, patterns in enumerate((told, told[:1], []), 1):
            event = RulesetPublished.model_validate({"name": "acme", "version": "1", "digest": "d", "rules": 1, "patterns": patterns})
            await handlers.on_ruleset_published([heard(event, "ruleset.published", "acme", number)], store=house.store)
            assert list(await house.store.patterns()) == [each["name"] for each in patterns]

    in_house(work)


@pytest.mark.parametrize(
    ("request_", "code"),
    [({"source": "default/unknown"}, "source_not_connected"), ({"source": "default/shop", "prority": "person"}, "unknown_field")],
)
def test_a_request_that_cannot_be_done_is_answered(
    in_house: Any, connected: Callable[..., SourceConnected], request_: dict[str, Any], code: str
) -> None:
    """scan.failed says why, the ledger hears of it, and nothing is scanned."""

    async def work(house: Any, url: str) -> None:
        await house.connect(connected(url))
        asked = heard(ScanRequested.model_validate(request_), "scan.requested", request_["source"])
        await handlers.on_scan_requested([asked], store=house.store, jobs=house.jobs, gate=shipped())
        said = dict(await house.said())
        assert said["scan.failed"]["diagnosis"]["code"] == code
        assert (said["audit.recorded"]["result"], said["audit.recorded"]["actor"]) == ("failed", "person:ana")
        assert await house.jobs.waiting("scan") == 0

    in_house(work)


@pytest.mark.parametrize(
    "who", [Actor("person:vi", "default", frozenset({"viewer"})), Actor("person:st", "other", frozenset({"steward"})), None]
)
def test_a_request_of_who_may_not_is_answered_alike(in_house: Any, connected: Callable[..., SourceConnected], who: Actor | None) -> None:
    """With the same words for a source that is there and one that is not; the ledger hears of it, and nothing is scanned."""

    async def work(house: Any, url: str) -> None:
        await house.connect(connected(url))
        for number, source in enumerate(("default/shop", "default/none")):
            asked = heard(ScanRequested(source=source), "scan.requested", source, number)._replace(actor=who)
            await handlers.on_scan_requested([asked], store=house.store, jobs=house.jobs, gate=shipped())
        told = await house.said()
        assert [body["result"] for topic, body in told if topic == "audit.recorded"] == ["denied"] * 2
        first, second = (body["diagnosis"] for topic, body in told if topic == "scan.failed")
        assert first == second
        assert first["code"] == "not_allowed"
        assert await house.store.scans() == []

    in_house(work)


def test_a_request_becomes_a_scan(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """Mode, priority and reason are kept; two requests are two scans."""

    async def work(house: Any, url: str) -> None:
        await house.connect(connected(url))
        for number in (1, 2):
            wanted = ScanRequested(source="default/shop", mode="full", priority="person", reason="look")
            await handlers.on_scan_requested(
                [heard(wanted, "scan.requested", "default/shop", number)], store=house.store, jobs=house.jobs, gate=shipped()
            )
        assert [(scan["mode"], scan["priority"], scan["reason"]) for scan in await house.store.scans()] == [("full", "person", "look")] * 2

    in_house(work)


def test_removal_ends_scans_and_outlives_late_news(in_house: Any, connected: Callable[..., SourceConnected]) -> None:
    """A source.connected of a removed version that comes late changes nothing; a later version counts."""

    async def work(house: Any, url: str) -> None:
        await house.connect(connected(url))
        await house.ask()
        gone = heard(SourceRemoved(source="default/shop", version=2), "source.removed", "default/shop")
        await handlers.on_source_removed([gone], store=house.store, jobs=house.jobs)
        ((scan, ended),) = [
            (scan, body) for scan in await house.store.scans() for topic, body in await house.said() if topic == "scan.failed"
        ]
        assert (scan["state"], ended["scan_id"], ended["diagnosis"]["code"]) == ("cancelled", scan["scan_id"], "source_removed")
        for version, expected in ((2, 1), (3, 2)):
            late = heard(connected(url, sequence=version), "source.connected", "default/shop", version)
            await handlers.on_source_connected([late], store=house.store, jobs=house.jobs)
            assert len(await house.store.scans()) == expected

    in_house(work)
