"""The doors and the state on a real PostgreSQL: what is said, what is kept, what is said only once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

import services.compliance
from services.compliance import handlers
from services.compliance.app import announce
from services.compliance.domain.assess import Assessor
from services.compliance.domain.policy import Rules
from services.compliance.domain.violations import violation_id
from services.compliance.store import Store, Views, ViolationFilter
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.bus.received import Cause, Received
from shared.contracts.asset import AssetClassified, AssetRemoved
from shared.contracts.connection import ConnectionPlan, Posture, Privileges, ServerFacts, SourceConnected
from shared.contracts.source import SourceRemoved
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from tests.compliance.examples import GOOD, SOURCE, asset, column, rules, spec

MIGRATIONS = Path(services.compliance.__file__ or "").parent / "migrations"
OPEN_LINE = GOOD.model_copy(update={"tls_in_transit": False})
PEOPLE = column("email", "email", "email")


@dataclass
class Line:
    """Compliance without a broker: events go in by hand, what it says is read from the outbox."""

    pool: asyncpg.Pool
    store: Store
    jobs: Jobs
    assessor: Assessor = field(default_factory=lambda: Assessor(rules()))
    heard: int = 0

    def received(self, event: Any) -> Received[Any]:
        self.heard += 1
        now = datetime.now(UTC)
        key = getattr(event, "asset", "") or event.source
        return Received(event, f"event-{self.heard}", key, type(event).__name__, 0, self.heard, now, "default", "", "")

    async def classified(self, *events: AssetClassified) -> list[Received[Any]]:
        batch = [self.received(event) for event in events]
        await handlers.on_asset_classified(batch, store=self.store, assessor=self.assessor)
        return batch

    async def removed(self, table: str, sequence: int, **more: Any) -> None:
        event = AssetRemoved(asset=f"{SOURCE}/shop.public.{table}", source=SOURCE, sequence=sequence, **more)
        await handlers.on_asset_removed([self.received(event)], store=self.store)

    async def connected(self, sequence: int, posture: Posture, **more: Any) -> None:
        event = SourceConnected(
            source=SOURCE,
            sequence=sequence,
            based_on=1,
            spec=spec(**more),
            plan=ConnectionPlan(host="db.example", port=5432, database="shop", username="scan"),
            server=ServerFacts(version="18"),
            privileges=Privileges(role="scan"),
            posture=posture,
        )
        await handlers.on_source_connected([self.received(event)], store=self.store, assessor=self.assessor, jobs=self.jobs)
        await self.work()

    async def work(self) -> None:
        """Do the jobs that wait."""
        while job := await self.jobs.claim(handlers.REEVALUATE):
            await handlers.reevaluate(job, store=self.store, assessor=self.assessor, jobs=self.jobs)
            await self.jobs.finish(self.pool, job)
        while job := await self.jobs.claim(handlers.FORGET):
            await handlers.forget(job, store=self.store, jobs=self.jobs)
            await self.jobs.finish(self.pool, job)

    async def said(self) -> list[tuple[str, dict[str, Any] | None]]:
        """What was said since the last look."""
        rows = await self.pool.fetch("with gone as (delete from outbox returning id, topic, body) select topic, body from gone order by id")
        return [(row["topic"], orjson.loads(row["body"]) if row["body"] else None) for row in rows]

    async def topics(self) -> list[str]:
        return [topic for topic, _ in await self.said()]


@pytest.fixture
async def line(fresh_database_url: str) -> AsyncIterator[Line]:
    pool = await open_pool(fresh_database_url, schema="compliance", application_name="test")
    await migrate(pool, schema="compliance", folders=[FOLDER, MIGRATIONS])
    yield Line(pool, Store(pool), Jobs(pool, service="compliance"))
    await pool.close()


async def test_a_table_that_fails_opens_violations_once(line: Line) -> None:
    """First all results and the violations; judged again with the same outcome, only the results."""
    await line.classified(asset(PEOPLE, posture=OPEN_LINE))
    said = await line.said()
    opened = [body for topic, body in said if topic == "violation.opened" and body]
    assert said[0][0] == "compliance.evaluated"
    assert {each["control"] for each in opened} == {"gdpr:32(1)(a)", "ccpa:1798.100(e)", "soc2:CC6.7"}
    assert opened[0]["message"] == "Personal information from public.customers travels over an open line."
    await line.classified(asset(PEOPLE, posture=OPEN_LINE, sequence=2, based_on=2))
    ((topic, body),) = await line.said()
    assert (topic, body and body["sequence"], body and body["based_on"]) == ("compliance.evaluated", 2, 2)


async def test_a_redelivered_event_is_judged_once(line: Line) -> None:
    """The same event twice, or an older one late, changes nothing."""
    batch = await line.classified(asset(PEOPLE, sequence=5))
    await handlers.on_asset_classified(batch, store=line.store, assessor=line.assessor)
    await line.classified(asset(PEOPLE, sequence=4))
    assert await line.topics() == ["compliance.evaluated"]


async def test_of_a_batch_the_newest_of_each_asset_is_judged(line: Line) -> None:
    """Whatever their order."""
    await line.classified(asset(PEOPLE, sequence=2, based_on=2), asset(PEOPLE, sequence=3, based_on=3), asset(PEOPLE), asset(table="b"))
    found = {body["asset"]: body["based_on"] for topic, body in await line.said() if topic == "compliance.evaluated" and body}
    assert found == {f"{SOURCE}/shop.public.customers": 3, f"{SOURCE}/shop.public.b": 1}


async def test_a_better_posture_resolves_and_says_only_what_changed(line: Line) -> None:
    """A new posture judges the source's tables again; those for which it makes no difference stay silent."""
    await line.connected(1, OPEN_LINE)
    await line.classified(asset(PEOPLE, posture=OPEN_LINE), asset(column("sku"), table="articles", posture=OPEN_LINE))
    await line.said()
    await line.connected(2, GOOD)
    said = [(topic, body) for topic, body in await line.said() if body]
    assert [topic for topic, _ in said] == ["compliance.evaluated"] + 3 * ["violation.resolved"]
    assert {body.get("reason", "passes_now") for topic, body in said if topic == "violation.resolved"} == {"passes_now"}
    await line.connected(3, GOOD, pool_size=5)
    await line.connected(2, OPEN_LINE)
    assert await line.topics() == []


async def test_an_owner_that_changes_reaches_the_tags(line: Line) -> None:
    """Later stages read the source from what we say, so a new owner is said even where no control cares."""
    await line.connected(1, GOOD)
    await line.classified(asset(column("sku"), table="articles"))
    await line.said()
    await line.connected(2, GOOD, owner="new-team")
    ((topic, body),) = await line.said()
    assert (topic, body and body["spec"]["owner"]) == ("compliance.evaluated", "new-team")


async def test_what_the_connector_said_last_wins_over_what_travelled(line: Line) -> None:
    """An event that carries an older posture is judged with the newest one."""
    await line.connected(1, GOOD)
    await line.classified(asset(PEOPLE, posture=OPEN_LINE))
    assert await line.topics() == ["compliance.evaluated"]


async def test_a_dropped_table_resolves_and_leaves_its_count(line: Line) -> None:
    """Violations are over, the topic is cleared, and the same table coming back goes on counting."""
    await line.classified(asset(PEOPLE, posture=OPEN_LINE, based_on=3))
    await line.said()
    await line.removed("customers", 4)
    said = await line.said()
    assert [topic for topic, _ in said] == 3 * ["violation.resolved"] + ["compliance.evaluated"]
    assert said[-1][1] is None
    assert {body["reason"] for _, body in said if body} == {"asset_removed"}
    await line.classified(asset(PEOPLE, sequence=2, based_on=3))
    assert await line.topics() == []
    await line.classified(asset(PEOPLE, sequence=3, based_on=5, posture=OPEN_LINE))
    back = [body for topic, body in await line.said() if topic == "compliance.evaluated"]
    assert [body and body["sequence"] for body in back] == [2]


async def test_a_removal_that_comes_late_removes_nothing(line: Line) -> None:
    """The table was dropped and made anew; the news of the drop arrives last."""
    await line.classified(asset(PEOPLE, based_on=7))
    await line.said()
    await line.removed("customers", 6)
    await line.removed("unheard_of", 1)
    assert await line.topics() == []


async def test_a_removed_source_is_forgotten(line: Line) -> None:
    """Assets are cleared, violations are resolved and their rows are gone; discovery's own removals then find nothing to do."""
    await line.connected(1, OPEN_LINE)
    await line.classified(asset(PEOPLE, posture=OPEN_LINE), asset(PEOPLE, posture=OPEN_LINE, table="b"))
    await line.said()
    await handlers.on_source_removed([line.received(SourceRemoved(source=SOURCE, version=2))], store=line.store, jobs=line.jobs)
    await line.work()
    topics = await line.topics()
    assert (topics.count("violation.resolved"), topics.count("compliance.evaluated")) == (6, 2)
    await line.removed("b", 9, reason="source_removed")
    assert await line.topics() == []
    left = await line.pool.fetchrow(
        "select (select count(*) from violation), (select count(*) from source), (select count(*) from asset where body is not null)"
    )
    assert left
    assert tuple(left) == (0, 0, 0)


async def waive(line: Line, control: str, until: datetime) -> None:
    name = f"{SOURCE}/shop.public.customers"
    cause = Cause.new()
    async with line.store.unit(keys=[name]) as unit:
        assert await unit.waive(violation_id(control, name), "token:local for dpo", "accepted until the move", until, cause)
        await unit.judge([(event, cause) for event in await unit.bodies([name])], line.assessor, only_changes=True)


async def test_a_waiver_holds_until_it_runs_out(line: Line) -> None:
    """Waived is said and audited, not opened again by a rescan; when its time is over, the violation opens again."""
    await line.classified(asset(PEOPLE, posture=OPEN_LINE))
    await line.said()
    await waive(line, "gdpr:32(1)(a)", datetime.now(UTC) + timedelta(days=1))
    assert await line.topics() == ["violation.waived", "audit.recorded", "compliance.evaluated"]
    await line.classified(asset(PEOPLE, posture=OPEN_LINE, sequence=2))
    ((_, body),) = await line.said()
    assert body
    assert [each["result"] for each in body["controls"] if each["control"] == "gdpr:32(1)(a)"] == ["waived"]
    await line.pool.execute("update violation set waived_until = now() - interval '1 second' where waived_until is not null")
    async with line.store.unit() as unit:
        assert await unit.lapse() == 1
        await line.jobs.enqueue(unit.bus.connection, handlers.REEVALUATE, handlers.EVERYTHING, "waivers")
    await line.work()
    assert await line.topics() == ["compliance.evaluated", "violation.opened"]


async def test_rules_that_changed_judge_again_and_say_only_what_differs(line: Line) -> None:
    """Packs are announced once; new ones judge every stored asset, and only different outcomes are said."""
    await announce(line.store, line.jobs, line.assessor)
    assert await line.topics() == 5 * ["policy.published"]
    await line.classified(asset(PEOPLE, posture=OPEN_LINE), asset(column("sku"), table="articles"))
    await line.said()
    fewer = tuple(policy for policy in rules().policies if policy.text.name != "soc2")
    line.assessor = Assessor(Rules(rules().vocabulary, rules().residency, fewer, rules().schema, "other"))
    await announce(line.store, line.jobs, line.assessor)
    await line.work()
    said = await line.said()
    assert [topic for topic, _ in said] == ["compliance.evaluated", "violation.resolved"]
    assert said[1][1]
    assert said[1][1]["reason"] == "not_applicable"
    await announce(line.store, line.jobs, line.assessor)
    await line.work()
    assert await line.topics() == []


async def test_violations_are_listed_worst_first(line: Line) -> None:
    """By severity, then by the risk of the table."""
    cards = column("pan", "card_pan", "card_pan")
    await line.classified(asset(PEOPLE, posture=OPEN_LINE), asset(cards, PEOPLE, table="payments", posture=OPEN_LINE))
    views = Views(line.pool)
    rows, total = await views.violations(ViolationFilter(limit=4))
    assert total > len(rows) == 4
    assert (rows[0]["control"], rows[0]["asset"].rpartition(".")[2], rows[0]["facts"]["plain.pan"]) == ("pci-dss:3.5.1", "payments", "true")
    grouped, _ = await views.grouped(ViolationFilter(pack="gdpr"))
    assert {row["control"]: row["tables"] for row in grouped}["gdpr:32(1)(a)"] == 2


async def test_a_report_counts_outcomes(line: Line) -> None:
    """Per control: how many tables pass, fail, are unknown; which facts are missing; which tables fail."""
    await line.classified(
        asset(PEOPLE, posture=OPEN_LINE), asset(PEOPLE, table="b", posture=GOOD.model_copy(update={"encrypted_at_rest": None}))
    )
    report = await Views(line.pool).report("gdpr", None, 100)
    row = report["gdpr:32(1)(a)"]
    assert (row.outcomes, row.missing) == ({"fail": 1, "unknown": 1}, {"posture.encrypted_at_rest": 1})
    assert [table["asset"] for table in row.tables] == [f"{SOURCE}/shop.public.customers"]
