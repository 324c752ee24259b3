"""Says what a scan found, a chunk a transaction: events and the state that the next scan compares with commit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import time_ns

from services.discovery.counting import Counted, skipped
from services.discovery.domain import drift, event
from services.discovery.domain.document import Document, Outline, outline
from services.discovery.domain.event import ScanFrame, Statistics
from services.discovery.domain.plan import Consent, cooled
from services.discovery.store import Before, DiscoveryUnit, Row, Scan, Store
from shared.bus.jobs import Job, Jobs
from shared.bus.received import Cause
from shared.contracts.asset import AssetRemoved, SchemaChange, SchemaDiscovered
from shared.errors import Failed
from shared.observe import tracing
from shared.sources.base import Sample, TableFacts

_NOTHING = Counted({}, 0, 0, whole=False)


class Cancelled(Failed):
    """The scan was cancelled or paused, or its source removed, while it ran."""

    def __init__(self) -> None:
        super().__init__("the scan was cancelled", code="cancelled")


class Overtaken(Failed):
    """A more urgent scan of the same source waits: that one first, then the rest of this one."""

    def __init__(self) -> None:
        super().__init__("a more urgent scan goes first", code="overtaken")


@dataclass(slots=True)
class Found:
    """One table on its way through a scan. `wanted`: its values are to be counted, as far as is agreed. `sample` is there between reading
    and counting only."""

    facts: TableFacts
    document: Document
    wanted: bool
    why_not: str
    sample: Sample | None = None
    counted: Counted | None = None


class Teller:
    """Says chunks of one scan. `linked`: each asset has a trace of its own, linked to the scan's."""

    def __init__(
        self, store: Store, jobs: Jobs, job: Job, scan: Scan, frame: ScanFrame, cause: Cause, *, consent: Consent, linked: bool
    ) -> None:
        self._store, self._jobs, self._job = store, jobs, job
        self._scan, self._frame, self._cause = scan, frame, cause
        self._consent, self._linked = consent, linked

    async def tell(self, chunk: Sequence[Found]) -> None:
        """Raises LostLease where another worker took over, Cancelled where nobody wants the scan any more."""
        if not chunk:
            return
        keys = [each.document.key for each in chunk]
        async with self._store.unit(keys=keys) as unit:
            await self._hold(unit)
            before = await unit.before(keys)
            known = [before.get(each.document.key, Before()) for each in chunk]
            rows = [self._one(unit, each, was) for each, was in zip(chunk, known, strict=True)]
            await unit.save(rows)
            changed = sum(row.sequence > was.sequence for row, was in zip(rows, known, strict=True))
            values = sum(each.counted.values for each in chunk if each.counted)
            await unit.progress(self._scan.id, looked=len(chunk), changed=changed, values=values)

    async def remove(self, keys: Sequence[str], reason: str) -> int:
        """Say that these assets are gone; how many were there."""
        async with self._store.unit(keys=keys) as unit:
            await self._hold(unit)
            return await say_removed(unit, keys, self._scan, self._cause, reason)

    async def _hold(self, unit: DiscoveryUnit) -> None:
        await self._jobs.check(unit.bus.connection, self._job)
        if not await unit.runs(self._scan.id):
            raise Cancelled
        if await unit.is_overtaken(self._scan):
            raise Overtaken

    def _one(self, unit: DiscoveryUnit, found: Found, before: Before) -> Row:
        counted = found.counted or _NOTHING
        digest = _digest(found)
        if counted.unread and before.fingerprint == found.document.fingerprint and before.looked == self._consent:
            digest = before.evidence  # this time it could not be read; what was said of it before still stands
        after = outline(found.document.kind, found.facts)
        change = self._change(found, before, after, digest)
        sequence = before.sequence + bool(change)
        if change:
            self._say(unit, found, counted, sequence, change)
        return self._row(found, counted, before, digest, after, change)

    def _say(self, unit: DiscoveryUnit, found: Found, counted: Counted, sequence: int, change: Sequence[SchemaChange]) -> None:
        mark = found.facts.mark
        rows = counted.rows if mark.rows is None and counted.whole else mark.rows
        body = event.body(
            self._frame,
            found.document,
            sequence=sequence,
            statistics=Statistics(rows, None if mark.kind in ("view", "foreign_table") else mark.bytes, mark.partitions),
            change=change,
            sampling=self._consent if found.counted is not None and not found.counted.unread else "none",
            evidence=counted.evidence,
            left_out=counted.left_out or mark.unread,
        )
        unit.bus.emit_body(SchemaDiscovered, body, key=found.document.key, cause=self._cause, trace=self._trace())

    def _change(self, found: Found, before: Before, after: Outline, digest: str) -> tuple[SchemaChange, ...]:
        if before.sequence == 0:
            return drift.CREATED
        if before.gone:
            return drift.RESTORED
        if before.fingerprint != found.document.fingerprint:
            return drift.between(Outline.from_json(before.outline), after, found.facts) or drift.RESCANNED
        if before.evidence != digest:
            return drift.STATISTICS_CHANGED if before.looked == self._consent == "statistics" else drift.EVIDENCE_CHANGED
        return drift.RESCANNED if self._scan.mode == "full" else ()

    def _trace(self) -> str | None:
        """For a scan of many assets: a trace for this one, whose first span links to the scan's."""
        if not self._linked:
            return None
        own, now = tracing.root("discover asset"), time_ns()
        tracing.record("discover asset", own, start_ns=now, end_ns=now, links=[self._cause.traceparent])
        return own

    def _row(self, found: Found, counted: Counted, before: Before, digest: str, after: Outline, change: Sequence[SchemaChange]) -> Row:
        changed = bool(change) and change not in (drift.CREATED, drift.RESTORED, drift.RESCANNED)
        texts = [at for at, textual in enumerate(found.facts.textual) if textual]
        empty = found.wanted and counted.whole and counted.rows == 0
        return Row(
            key=found.document.key,
            source=self._frame.source_key,
            schema_name=found.document.schema,
            table_name=found.document.table,
            sequence=before.sequence + bool(change),
            mark=found.facts.mark.mark,
            pages=found.facts.mark.pages,
            fingerprint=found.document.fingerprint,
            evidence=digest,
            outline=after.to_json(),
            looked_by=self._scan.id,
            looked=self._consent if found.wanted else "none",
            columns=len(found.facts.names),
            text_columns=0 if empty or not found.wanted else len(texts),
            text_columns_with_evidence=sum(at in counted.evidence for at in texts),
            left_out=counted.left_out or found.why_not,
            warmth=cooled(before.warmth, before.days) + changed,
            skipped=skipped(found.facts, counted.binary) if found.wanted and self._consent == "sample" else "",
            written=found.facts.mark.written,
        )


def _digest(found: Found) -> str:
    if found.counted is None or not found.counted.evidence:
        return ""
    texts = [text for _, text in sorted(found.counted.evidence.items())]
    return sha256(b"\x1f".join([*texts, *([found.counted.left_out.encode()] if found.counted.left_out else ())])).hexdigest()[:32]


async def say_removed(unit: DiscoveryUnit, keys: Sequence[str], scan: Scan, cause: Cause, reason: str) -> int:
    """The removal event first, then the tombstone on the compacted topic."""
    gone = await unit.remove(keys, scan.id)
    for key, sequence in gone:
        removed = AssetRemoved(asset=key, source=scan.source, sequence=sequence, scan_id=scan.id, reason=reason)
        unit.bus.emit(removed, key=key, cause=cause)
        unit.bus.tombstone(SchemaDiscovered, key=key, cause=cause)
    return len(gone)
