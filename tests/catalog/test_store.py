"""The read model on the real database: duplicates and reordering change nothing, removal reaches everything."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from services.catalog.domain.wanted import Wanted
from services.catalog.handlers import absorb
from services.catalog.store import export, read, search
from services.catalog.store.progress import progress_of
from services.catalog.store.rebuild import empty
from services.catalog.store.write import trim_timeline
from shared.bus.received import Received
from shared.contracts.asset import AssetClassified, SchemaDiscovered
from shared.contracts.compliance import MissingFact
from shared.contracts.examples import BY_EVENT as EXAMPLE
from shared.contracts.scan import EventDeadLettered
from shared.contracts.source import SourceRemoved
from tests.catalog import story
from tests.catalog.story import CONTROL, SOURCE, START, TRACE, key_of


async def hear(pool: asyncpg.Pool, events: Sequence[Received[Any]]) -> None:
    """Topic by topic, in the order given: as the bus does, which hands over one topic's batch at a time."""
    by_topic: defaultdict[str, list[Received[Any]]] = defaultdict(list)
    for event in events:
        by_topic[event.topic].append(event)
    for batch in by_topic.values():
        await absorb(batch, pool=pool)


async def fingerprint(pool: asyncpg.Pool) -> str:
    return str((await export.digest(pool))["digest"])


async def test_a_scan_is_counted_whole(pool: asyncpg.Pool) -> None:
    """Every fact of the story stands in the digest's counts."""
    await hear(pool, story.scan())
    counts = await export.digest(pool)
    counts.pop("digest")
    assert counts == {"sources": 1, "assets": 2, "columns": 4, "controls": 2, "violations": 2, "edges": 1, "tags": 2}


async def test_hearing_twice_changes_nothing(pool: asyncpg.Pool) -> None:
    """Same facts and not one line more in the timeline."""
    await hear(pool, story.scan())
    before, lines = await fingerprint(pool), await pool.fetchval("SELECT count(*) FROM timeline")
    await hear(pool, story.scan())
    assert await fingerprint(pool) == before
    assert await pool.fetchval("SELECT count(*) FROM timeline") == lines


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_and_any_batches_lead_to_the_same_facts(pool: asyncpg.Pool, seed: int) -> None:
    """Old and new versions, shuffled and one by one, equal the tidy order, with a second round of changes in between."""
    changes = [
        story.discovered("customers", ["id", "email", "phone"], sequence=2, scan="scan-2", second=20),
        story.classified("customers", {"email": "email", "phone": "phone_number"}, sequence=2, scan="scan-2", second=21),
        story.evaluated("customers", "pass", sequence=2, scan="scan-2", second=22),
        story.resolved("customers", second=22),
        story.tagged("customers", "Internal", sequence=2, scan="scan-2", second=23),
        story.removed("orders", second=24),
        story.completed(1, scan="scan-2", second=25, removed=1),
    ]
    events = [*story.scan(), *changes]
    await hear(pool, events)
    tidy = await fingerprint(pool)
    await empty(pool)
    random.Random(seed).shuffle(events)
    for event in [*events, *events[:5]]:
        await absorb([event], pool=pool)
    assert await fingerprint(pool) == tidy
    told = await progress_of(pool, SOURCE, now=START, stuck_after_seconds=60)
    assert (told["scan_id"], told["done"]) == ("scan-2", True)


async def test_an_asset_that_was_removed_stays_removed(pool: asyncpg.Pool) -> None:
    """A late description with an older sequence does not bring it back, a newer one does."""
    await hear(pool, [story.removed("customers", sequence=2)])
    await hear(pool, [story.discovered("customers", ["id"], sequence=1)])
    assert await read.asset(pool, key_of("customers")) is None
    await hear(pool, [story.discovered("customers", ["id"], sequence=3, second=30)])
    assert await read.asset(pool, key_of("customers")) is not None


async def test_a_tombstone_forgets(pool: asyncpg.Pool) -> None:
    """What a producer takes back is gone from every view."""
    await hear(pool, story.scan())
    key = key_of("orders")
    await hear(pool, [story.tombstone(AssetClassified, key), story.tombstone(SchemaDiscovered, key)])
    assert await read.asset(pool, key) is None
    assert await read.lineage(pool, key_of("customers")) == []
    assert await pool.fetchval("SELECT count(*) FROM verdict WHERE asset = $1", key) == 0


async def test_lineage_is_that_of_the_newest_description(pool: asyncpg.Pool) -> None:
    """A foreign key that is gone leaves no edge, also when the old description is heard again."""
    await hear(pool, [story.discovered("orders", ["id"], target="customers")])
    await hear(pool, [story.discovered("orders", ["id"], sequence=2, second=9, target="people")])
    await hear(pool, [story.discovered("orders", ["id"], second=8, target="customers")])
    assert [edge["target"] for edge in await read.lineage(pool, key_of("orders"))] == [key_of("people")]
    assert [edge["side"] for edge in await read.lineage(pool, key_of("people"))] == ["down"]


async def test_what_compliance_says_last_decides_what_is_open(pool: asyncpg.Pool) -> None:
    """A violation whose control passes now is not open, whichever event came first."""
    await hear(pool, story.scan())
    assert {one["asset"] for one in await read.violations(pool)} == {key_of("customers"), key_of("orders")}
    await hear(pool, [story.evaluated("orders", "pass", sequence=2, second=9)])
    assert [one["asset"] for one in await read.violations(pool)] == [key_of("customers")]
    await hear(pool, [story.evaluated("customers", "waived", sequence=2, second=9)])
    assert await read.violations(pool) == []
    assert [one["state"] for one in await read.violations(pool, states=["waived"])] == ["waived"]


async def test_a_violation_is_there_with_its_judgement(pool: asyncpg.Pool) -> None:
    """Who reads a report after the last judgement sees all of it, also while violation.opened is still on its way."""
    await hear(pool, [event for event in story.scan() if event.topic != "violation.opened"])
    found = await read.violations(pool, asset=key_of("orders"))
    assert [(one["control"], one["message"], one["columns"], one["opened_at"]) for one in found] == [
        (CONTROL, "Storage is not encrypted", ["email"], None)
    ]
    assert found[0]["facts"] == [{"name": "posture.encrypted_at_rest", "value": "false"}]
    assert (found[0]["title"], found[0]["remedy"]) == ("Personal data is encrypted", "Run `encrypt`.")


async def test_a_violation_says_what_the_newest_judgement_says(pool: asyncpg.Pool) -> None:
    """An older judgement that comes late changes neither the text nor what is open."""
    now = story.evaluated("orders", sequence=2, second=9)
    (control,) = now.event.controls
    worse = now.event.model_copy(update={"controls": (control.model_copy(update={"message": "Neither is the line"}),)})
    await hear(pool, [*story.scan(), story.heard(worse, now.key, second=9), story.evaluated("orders", "pass", sequence=1, second=3)])
    assert [one["message"] for one in await read.violations(pool, asset=key_of("orders"))] == ["Neither is the line"]


async def test_what_a_source_does_not_declare_is_told_once(pool: asyncpg.Pool) -> None:
    """However many tables ask for it; and not any more once their judgements know it."""
    owner = MissingFact(name="source.owner", says="who answers for this source", remedy="Declare it.", declare="owner")
    unseen = MissingFact(name="plain.pan", says="whether the numbers are readable")
    late = [story.evaluated(table, "unknown", sequence=2, second=9, missing=(owner, unseen)) for table in ("customers", "orders")]
    await hear(pool, [*story.scan(), *late])
    told = {"field": "owner", "tables": 2, "says": "who answers for this source", "remedy": "Declare it."}
    assert await read.undeclared(pool, SOURCE) == [told]
    await hear(pool, [story.evaluated(table, "pass", sequence=3, second=10) for table in ("customers", "orders")])
    assert await read.undeclared(pool, SOURCE) == []


async def test_removing_a_source_leaves_nothing_of_it(pool: asyncpg.Pool) -> None:
    """Only that it was registered and removed is remembered, to tell which came last."""
    await hear(pool, story.scan())
    await hear(pool, [story.heard(EXAMPLE[SourceRemoved], SOURCE, second=30)])
    assert await read.sources(pool) == []
    for table in ("asset", "verdict", "judgement", "violation", "tag_set", "scan", "step", "edge"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    assert await pool.fetchval("SELECT count(*) FROM timeline WHERE starts_with(subject, $1)", SOURCE + "/") == 0


async def test_the_timeline_tells_who_said_what_after_which_event(pool: asyncpg.Pool) -> None:
    """An asset's line begins at its source and ends at its tags."""
    await hear(pool, story.scan())
    events = await read.timeline(pool, read.subjects_of(key_of("orders")))
    assert [event["type"] for event in events][:5] == [
        "source.registered",
        "source.connected",
        "schema.discovered",
        "scan.completed",
        "asset.classified",
    ]
    assert {event["trace_id"] for event in events} == {TRACE}
    assert events[-1]["service"] == "tagger"


async def test_a_scans_trace_leads_to_the_traces_of_its_assets(pool: asyncpg.Pool) -> None:
    """Beyond a hundred assets each has its own trace; the links are followed both ways."""
    other = "a" * 32
    await hear(pool, [story.registered(), story.completed(1)])
    discovered = story.discovered("customers", ["id"])
    await hear(pool, [story.heard(discovered.event, discovered.key, second=2, trace=other)])
    assert {event["trace_id"] for event in (await read.trace(pool, TRACE))["events"]} == {TRACE, other}
    assert (await read.trace(pool, other))["scans"] == [{"scan_id": "scan-1", "source": SOURCE, "trace_id": TRACE, "linked": True}]


async def test_a_dead_letter_ends_the_way_of_its_asset(pool: asyncpg.Pool) -> None:
    """The scan is done though one table never came to its tags, and the answer says where it was put aside."""
    events = [event for event in story.scan() if not (event.key == key_of("orders") and event.topic != "schema.discovered")]
    await hear(pool, [event for event in events if event.event != story.tagged("orders").event])
    assert not (await progress_of(pool, SOURCE, now=START, stuck_after_seconds=60))["done"]
    dead = EXAMPLE[EventDeadLettered].model_copy(update={"asset": key_of("orders"), "scan_id": "scan-1"})
    await hear(pool, [story.heard(dead, SOURCE, second=9)])
    told = await progress_of(pool, "scan-1", now=START, stuck_after_seconds=60)
    assert (told["done"], told["dead"]) == (True, 1)
    assert told["dead_letters"][0]["error_code"] == "not_json"


async def test_progress_since_a_moment_ignores_earlier_scans(pool: asyncpg.Pool) -> None:
    """Who asked for a new scan does not take the old one's end for it."""
    await hear(pool, story.scan())
    told = await progress_of(pool, SOURCE, now=START, stuck_after_seconds=60, since=story.removed("x", second=100).time)
    assert (told["scan_id"], told["done"], told["state"]) == ("", False, "connected")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(Wanted(text="email"), {"customers", "orders"}, id="by class"),
        pytest.param(Wanted(text="contact"), {"orders", "customers"}, id="by category and by name"),
        pytest.param(Wanted(text="ail"), {"customers", "orders"}, id="inside a word where no word begins so"),
        pytest.param(Wanted(text="orders email"), {"orders"}, id="all words, of name and class together"),
        pytest.param(Wanted(text="' | :* & !"), set(), id="signs alone find nothing"),
        pytest.param(Wanted(class_name="email", source=SOURCE), {"customers", "orders"}, id="by filters"),
        pytest.param(Wanted(framework="GDPR"), {"customers", "orders"}, id="by failing framework"),
        pytest.param(Wanted(framework="gdpr"), {"customers", "orders"}, id="as people type it"),
        pytest.param(Wanted(review=True), set(), id="nothing to review"),
        pytest.param(Wanted(named="crm/shop.PUBLIC.orders"), {"orders"}, id="by name"),
        pytest.param(Wanted(named="Orders"), {"orders"}, id="by the end of it"),
        pytest.param(Wanted(named="ders"), set(), id="not by the end of a word"),
        pytest.param(Wanted(named="xpublic.orders"), set(), id="nor by a word that ends so"),
        pytest.param(Wanted(named="other.orders"), set(), id="not by another's name"),
    ],
)
async def test_search(pool: asyncpg.Pool, wanted: Wanted, expected: set[str]) -> None:
    """One statement: results, facets, total."""
    await hear(pool, story.scan())
    found = await search.search(pool, wanted)
    assert {one["table_name"] for one in found["results"]} == expected
    assert found["total"] == len(expected)
    assert sum(one["count"] for one in found["facets"]["source"]) == len(expected)


async def test_a_name_that_nothing_has_is_told_what_looks_like_it(pool: asyncpg.Pool) -> None:
    """In the scope that is asked about, and only where nothing is called so."""
    await hear(pool, story.scan())
    for named in ("ordrs", "crm/shop.public.ordrs", "publik.orders"):
        assert (await search.search(pool, Wanted(named=named, source=SOURCE)))["near"] == [key_of("orders")]
    assert (await search.search(pool, Wanted(named="ordrs", source="other/")))["near"] == []
    assert "near" not in await search.search(pool, Wanted(named="orders"))


async def test_many_searches_for_what_is_not_there_at_once(pool: asyncpg.Pool) -> None:
    """None waits for a second connection while it holds one: all of them would for ever."""
    await hear(pool, story.scan())
    asked = (Wanted(class_name="iban", named="ordrs", source=SOURCE) for _ in range(4 * pool.get_max_size()))
    async with asyncio.timeout(20):
        found = await asyncio.gather(*(search.search(pool, each) for each in asked))
    assert all(each["near"] == [key_of("orders")] for each in found)


async def test_exact_names_come_first(pool: asyncpg.Pool) -> None:
    """Before riskier ones whose names only end so, which could leave no room for them."""
    await hear(pool, story.scan())
    await pool.execute("UPDATE asset SET place = CASE table_name WHEN 'orders' THEN 'log' ELSE 'x.log' END")
    for risk, called in ((0, "orders"), (99, "customers")):
        await pool.execute(
            "UPDATE judgement SET risk = $1 FROM asset WHERE asset.asset = judgement.asset AND table_name = $2", risk, called
        )
    found = await search.search(pool, Wanted(named="data/LOG", limit=1))
    assert [one["table_name"] for one in found["results"]] == ["orders"]
    assert (await search.search(pool, Wanted(named="log", limit=1)))["results"][0]["table_name"] == "orders"


@pytest.mark.parametrize("named", ["STRASSE.csv", "straße.CSV", "crm/shop.PUBLIC.Strasse.csv"])
async def test_a_name_is_found_however_it_is_written(pool: asyncpg.Pool, named: str) -> None:
    """Also in letters that two small ones become."""
    await hear(pool, [*story.scan(), *story.line("Straße.csv", {"id": "none"})])
    (found,) = (await search.search(pool, Wanted(named=named)))["results"]
    assert (found["table_name"], "place" in found) == ("Straße.csv", False)


async def test_the_timeline_is_bounded(pool: asyncpg.Pool) -> None:
    """Old lines and the oldest beyond the limit go; facts stay."""
    await hear(pool, story.scan())
    before = await fingerprint(pool)
    lines = await pool.fetchval("SELECT count(*) FROM timeline")
    assert await trim_timeline(pool, days=100_000, rows_kept=lines - 3) == 3
    await pool.execute("UPDATE timeline SET at = now() - interval '40 days' WHERE type = 'tags.derived'")
    assert await trim_timeline(pool, days=30, rows_kept=1_000) >= 2
    assert await fingerprint(pool) == before
    assert [one["control"] for one in await read.violations(pool, limit=1)] == [CONTROL]
