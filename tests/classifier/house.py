"""A classifier on a schema of its own, for tests of its doors."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson

from services.classifier import handlers
from services.classifier.domain.tables import Judge
from services.classifier.handlers import Classifier
from services.classifier.store import Store
from shared.access.actor import Actor
from shared.access.gate import shipped
from shared.bus.jobs import Job, Jobs
from shared.contracts.asset import ClassificationReviewed, SchemaDiscovered
from tests.classifier.tables import received, table

ANA = Actor("person:ana", "acme", frozenset({"steward"}))


class House:
    """A classifier on a schema of its own, and what it has said so far."""

    def __init__(self, pool: asyncpg.Pool, judge: Judge) -> None:
        self.pool, self.jobs = pool, Jobs(pool, service="classifier")
        self.classifier = Classifier(Store(pool), judge, self.jobs, at_once)

    async def discover(self, *tables: SchemaDiscovered) -> None:
        await handlers.on_schema_discovered([received(t, key=t.asset) for t in tables], classifier=self.classifier)

    async def review(self, asset: str, name: str, decision: Any, class_name: str = "none", who: Actor | None = ANA) -> None:
        request = ClassificationReviewed(asset=asset, column=name, decision=decision, class_name=class_name, reviewer="ana")
        await handlers.on_classification_reviewed(
            [received(request, key=asset)._replace(actor=who)], classifier=self.classifier, gate=shipped()
        )

    async def said(self, topic: str = "asset.classified") -> list[dict[str, Any] | None]:
        rows = await self.pool.fetch("select body from outbox where topic = $1 order by id", topic)
        return [None if row[0] is None else orjson.loads(row[0]) for row in rows]

    async def labels(self) -> dict[str, str]:
        """Column to class, as said last."""
        last = (await self.said())[-1]
        assert last is not None
        return {c["name"]: c.get("class_name", "none") for c in last["columns"]}

    async def work(self, kind: str) -> None:
        """Do the job of this kind that waits."""
        job = await self.job(kind)
        assert job is not None
        await handlers.JOBS[kind](job, classifier=self.classifier)
        await self.jobs.finish(self.pool, job)

    async def job(self, kind: str) -> Job | None:
        return await self.jobs.claim(kind)


async def at_once(work: Any, *arguments: Any) -> Any:
    return work(*arguments)


PEOPLE = table("kunden", ["vorname", "nachname", "telefon", "farbe"])
NEWER = PEOPLE.model_copy(update={"sequence": 2})
