"""The tagger on a real PostgreSQL: events go in by its handlers, what it says is read from its outbox, jobs run when asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
import orjson

from services.tagger import handlers, worker
from services.tagger.declarations import withdraw_job
from services.tagger.domain.house import House as Rule
from services.tagger.domain.privacy import holds_personal
from services.tagger.gateway.clouds import Clouds
from services.tagger.gateway.standard import shape
from services.tagger.store import APPLY, Store
from shared.access.actor import Actor
from shared.access.gate import Gate
from shared.bus.jobs import Job, Jobs
from shared.bus.received import Cause, Received
from shared.contracts.asset import AssetRemoved
from shared.contracts.base import Contract
from shared.contracts.compliance import ComplianceEvaluated
from shared.contracts.rules import ContractPublished
from shared.contracts.scan import ScanCompleted
from shared.contracts.source import SourceRemoved
from shared.contracts.tags import JobSubmitted
from shared.contracts.topics import BY_EVENT

IDS = count(1)
TRACE = "ab" * 16
RULE = Rule(holds_personal)
GATE = Gate.load()


@dataclass
class House:
    """`time` is when the next event is said to have happened; it grows with each."""

    pool: asyncpg.Pool
    store: Store
    jobs: Jobs
    clouds: Clouds
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    rule: Rule = RULE

    def heard(self, event: Contract | None, *, key: str, kind: type[Contract] | None = None) -> Received[Any]:
        number = next(IDS)
        self.time += timedelta(milliseconds=1)
        return Received(
            event=event,
            id=f"event-{number}",
            key=key,
            topic=BY_EVENT[kind or type(event)].name,  # type: ignore[arg-type]
            partition=0,
            offset=number,
            time=self.time,
            tenant="acme",
            causation_id="",
            traceparent=f"00-{TRACE}-{number:016x}-01",
            tombstone=event is None,
        )

    async def evaluated(self, *events: ComplianceEvaluated) -> list[Received[Any]]:
        batch = [self.heard(event, key=event.asset) for event in events]
        await self.again(batch)
        return batch

    async def again(self, batch: list[Received[Any]]) -> None:
        await handlers.on_compliance_evaluated(batch, store=self.store, jobs=self.jobs, house=self.rule)

    async def tombstone(self, asset: str) -> None:
        await self.again([self.heard(None, key=asset, kind=ComplianceEvaluated)])

    async def asset_removed(self, asset: str, *, source: str, scan_id: str) -> None:
        event = AssetRemoved(asset=asset, source=source, sequence=9, scan_id=scan_id)
        await handlers.on_asset_removed([self.heard(event, key=asset)], store=self.store, jobs=self.jobs)

    async def scan_completed(self, source: str, scan_id: str = "scan-1", *, changed: int = 1, removed: int = 0, wait: float = 300) -> None:
        scan = ScanCompleted(
            source=source, scan_id=scan_id, complete=True, tables=changed, columns=9, changed=changed, removed=removed, digest="x"
        )
        await handlers.on_scan_completed([self.heard(scan, key=source)], store=self.store, jobs=self.jobs, wait=timedelta(seconds=wait))

    async def source_removed(self, source: str) -> None:
        event = SourceRemoved(source=source, version=2)
        await handlers.on_source_removed([self.heard(event, key=source)], store=self.store, jobs=self.jobs)

    async def published(self, document: dict[str, Any], *, key: str = "acme/any") -> list[Received[Any]]:
        batch = [self.heard(ContractPublished.model_validate(document), key=key)]
        await self.publish(batch)
        return batch

    async def publish(self, batch: list[Received[Any]]) -> None:
        await handlers.on_contract_published(batch, store=self.store, jobs=self.jobs, house=self.rule, shape=shape)

    async def withdrawn(self, key: str) -> None:
        await self.publish([self.heard(None, key=key, kind=ContractPublished)])

    async def submitted(self, document: dict[str, Any], actor: Actor) -> None:
        received = self.heard(JobSubmitted.model_validate(document), key="acme/any")._replace(actor=actor)
        await handlers.on_job_submitted([received], store=self.store, jobs=self.jobs, house=self.rule, gate=GATE)

    async def gone(self, key: str) -> bool:
        """Withdraw a job, as the API does."""
        async with self.store.unit(keys=[key]) as unit:
            targets = await withdraw_job(unit, key, Cause.new(tenant="acme"))
            await unit.enqueue(self.jobs, targets or ())
        return targets is not None

    async def asked(self, target: str) -> None:
        """A person wants the resource as it should be."""
        async with self.store.unit(keys=[target]) as unit:
            await unit.reasons.ask("", target, scan_id="", cause=Cause.new(tenant="acme"), kind="asked")
            await unit.enqueue(self.jobs, [target])
        await self.run_jobs()

    async def run_jobs(self) -> int:
        """Do all due jobs; how many there were."""
        done = 0
        while job := await self.jobs.claim(APPLY):
            await self.run(job)
            done += 1
        return done

    async def run(self, job: Job) -> None:
        await worker.apply(job, store=self.store, jobs=self.jobs, clouds=self.clouds, house=self.rule)
        if await self.pool.fetchval("select state from job where id = $1", job.id) == "running":
            await self.jobs.finish(self.pool, job)

    async def said(self, topic: str = "") -> list[dict[str, Any]]:
        """What waits in the outbox, oldest first, tombstones as {}; and forgets it."""
        rows = await self.pool.fetch("select topic, key, body from outbox where $1 in ('', topic) order by id", topic)
        await self.pool.execute("delete from outbox where $1 in ('', topic)", topic)
        return [{"topic": row["topic"], "key": row["key"].decode(), **orjson.loads(row["body"] or b"{}")} for row in rows]


def tags_of(event: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in event["tags"]}
