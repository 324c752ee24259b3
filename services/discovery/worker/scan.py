"""The scan: a job that reads one source's catalogue, samples what is new or changed, and says it.

It goes on after a crash by itself: each asset's row tells which scan looked at it last, in the transaction that said it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any, Literal

from services.discovery.counting import columns_left_out
from services.discovery.domain import document, event, plan
from services.discovery.domain.document import Place
from services.discovery.domain.plan import Known
from services.discovery.domain.scope import contains, covers_all, effective
from services.discovery.gateway import CONFLICT, Line, Sources
from services.discovery.pacing import Pacer
from services.discovery.store import Scan, Store, Totals
from services.discovery.worker.pipeline import flow
from services.discovery.worker.tell import Cancelled, Found, Overtaken, Teller, say_removed
from shared.bus.jobs import Job, Jobs, LostLease
from shared.bus.received import Cause
from shared.contracts.choices import store_host
from shared.contracts.connection import Diagnosis, SourceConnected
from shared.contracts.engines import engine_of
from shared.contracts.names import AssetName
from shared.contracts.scan import LeftOut, PaceChange, ScanCompleted, ScanFailed, ScanPaced
from shared.contracts.source import DataSource, Scope
from shared.errors import PurSightError
from shared.observe import tracing
from shared.sources.base import Partial, Snapshot, TableFacts, TableMark
from shared.sources.failures import failure_of

log = logging.getLogger(__name__)
_CHUNK = 100
_REMOVE_CHUNK = 200
_ONE_TRACE_ASSETS = 100
_UNKNOWN_TRIES = 4
_MEMBER_TRIES, _MEMBER_SECONDS = 6, 1.5  # longer than the connector needs to move to another endpoint
ELSEWHERE = frozenset(  # failures of a member, not of the work: another one may do it
    [CONFLICT, "connection_reset", "refused", "timeout", "unreachable", "host_unknown", "shutting_down", "starting_up", "recovering"]
)
_SLICE = 50  # tables that are described at once by a scan that may rest or stop between them
_GROUP = 500  # tables that a line that is alone describes before it reads their samples


@dataclass(slots=True)
class Run:
    """What one attempt at a scan gathers for its manifest."""

    seconds: dict[str, float] = field(default_factory=dict)
    marks: Sequence[TableMark] = ()
    removed: int = 0
    kept_back: int = 0
    linked: bool = False
    statements: int = 0
    address: str = ""
    others: bool = False
    told: int = 0
    left: int = 0
    stopped: str = ""
    shut: int = 0
    pacer: Pacer | None = None


class Catalogue:
    """The catalogue as one scan reads it: all of one instant, or, on a line that is alone, a group of tables of one instant each."""

    def __init__(self, line: Line, snapshot: Snapshot, held: AsyncExitStack) -> None:
        self._line, self._snapshot, self._held = line, snapshot, held
        self._scope = Scope()

    async def marks(self, scope: Scope, *, compare: bool) -> Sequence[TableMark]:
        """Every table in scope. A line that is alone does not come back to this instant."""
        self._scope = scope
        found = await self._snapshot.marks(scope, compare=compare)
        if self._line.alone:
            await self._held.aclose()
        return found

    @property
    def shut(self) -> int:
        """Parts of the source that could not be listed."""
        return self._snapshot.shut if isinstance(self._snapshot, Partial) else 0

    def hidden(self, schema: str, table: str) -> bool:
        """Whether this table may be in one of them."""
        return isinstance(self._snapshot, Partial) and self._snapshot.hidden(schema, table)

    async def describe(self, tables: Sequence[TableMark]) -> AsyncIterator[list[TableFacts]]:
        if not self._line.alone:
            async for chunk in self._snapshot.describe(tables):
                yield chunk
            return
        for start in range(0, len(tables), _GROUP):
            for chunk in await self._group({(mark.schema, mark.table) for mark in tables[start : start + _GROUP]}):
                yield chunk

    async def _group(self, wanted: set[tuple[str, str]]) -> list[list[TableFacts]]:
        """A snapshot knows the tables that it listed itself; so they are listed again, with the marks of this instant."""
        scope = effective(self._scope, Scope(tables=tuple(f"{schema}.{table}" for schema, table in sorted(wanted))))
        async with self._line.snapshot() as snapshot:
            marks = [mark for mark in await snapshot.marks(scope, compare=True) if (mark.schema, mark.table) in wanted]
            return [chunk async for chunk in snapshot.describe(marks)]


class Scanner:
    """Does the scans of one process."""

    def __init__(self, store: Store, jobs: Jobs, sources: Sources, *, tries: int) -> None:
        self._store, self._jobs, self._sources, self._tries = store, jobs, sources, tries

    async def work(self, job: Job) -> None:
        """All that waits for the source whose key the job has: draining first, then scans, the most urgent first."""
        await self._drain(job)
        while scan := await self._store.next_scan(job.key):
            with tracing.span("scan", scan.traceparent, attributes={"pursight.scan.id": scan.id}) as own:
                await self._attempt(job, scan, Cause(scan.id, own, scan.tenant, scan.after))

    async def _attempt(self, job: Job, scan: Scan, cause: Cause) -> None:
        try:
            async with self._store.unit(keys=[scan.source]) as unit:
                if not await unit.begin(scan.id):
                    return
            await self._persistently(job, scan, cause)
        except LostLease:
            raise
        except Cancelled:
            pass
        except Overtaken:
            async with self._store.unit(keys=[scan.source]) as unit:
                await self._jobs.check(unit.bus.connection, job)
                await unit.give_way(scan.id)
        except PurSightError as error:
            if not failure_of(error).lasting and scan.tries + 1 < self._tries:
                raise
            await self._fail(job, scan, cause, failure_of(error).diagnosis())
        except Exception as error:
            if scan.tries + 1 < _UNKNOWN_TRIES:
                raise
            log.error("scan.broken", extra={"scan_id": scan.id, "error_type": type(error).__name__}, exc_info=error)
            await self._fail(
                job, scan, cause, Diagnosis(code="internal", cause="the scan met an error of ours", remedy="See discovery's log.")
            )

    async def _persistently(self, job: Job, scan: Scan, cause: Cause) -> None:
        """Where the source has other members, a line that breaks is no end: another one goes on, at the latest when the connector says
        which is active now. What was said already is not looked at again."""
        avoid: frozenset[str] = frozenset()
        for left in reversed(range(_MEMBER_TRIES)):
            run = Run()
            try:
                return await self._scan(job, scan, cause, run, avoid)
            except (LostLease, Cancelled, Overtaken):
                raise
            except PurSightError as error:
                if not left or error.code not in ELSEWHERE or not run.others:
                    raise
                avoid = frozenset({run.address}) if error.code == CONFLICT else frozenset()
                log.warning("scan.goes_on", extra={"scan_id": scan.id, "error_code": error.code})
                await asyncio.sleep(0.0 if avoid else _MEMBER_SECONDS)

    async def _scan(self, job: Job, scan: Scan, cause: Cause, run: Run, avoid: frozenset[str]) -> None:
        started = perf_counter()
        connected = await self._store.connected(scan.source)
        if connected is None:
            raise PurSightError("this source is not connected", code="source_not_connected", remedy="See the source's health.")
        run.others = bool(connected.plan.others)
        hear = partial(self._paced, job, scan, cause)
        run.pacer = Pacer.of(connected.spec, scan.id, hear, connected.server.max_connections)
        async with self._sources.open(connected, tracing.trace_id(cause.traceparent), avoid, run.pacer) as line:
            run.seconds["connect"] = perf_counter() - started
            run.address = line.address
            async with AsyncExitStack() as held:
                snapshot = await held.enter_async_context(line.snapshot())
                await self._look(job, scan, cause, connected, line, Catalogue(line, snapshot, held), run)
            run.statements = line.statements
        await self._complete(job, scan, cause, run, perf_counter() - started)

    async def _paced(self, job: Job, scan: Scan, cause: Cause, change: PaceChange) -> None:
        """Say it at once, for who wonders meanwhile why the scan takes so long. Raises LostLease."""
        async with self._store.unit(keys=[scan.source]) as unit:
            await self._jobs.check(unit.bus.connection, job)
            if number := await unit.paced(scan.id, change):
                told = ScanPaced(source=scan.source, scan_id=scan.id, trace_id=tracing.trace_id(cause.traceparent), **dict(change))
                own = replace(cause, id=f"{scan.id}/pace/{number}", after=cause.after or cause.id)
                unit.bus.emit(told, key=scan.source, cause=own)

    async def _look(
        self, job: Job, scan: Scan, cause: Cause, connected: SourceConnected, line: Line, catalogue: Catalogue, run: Run
    ) -> None:
        spec, started = connected.spec, perf_counter()
        allowed = line.whole(spec.scope)
        scope = effective(allowed, scan.scope)
        known = await self._store.known(scan.source)
        run.marks = await catalogue.marks(scope, compare=bool(known))
        run.seconds["list"] = perf_counter() - started
        consent, run.shut = plan.consent_of(spec.sampling), catalogue.shut
        work = plan.plan(run.marks, known, scan_id=scan.id, mode=_mode(scan), consent=consent, hidden=catalogue.hidden)
        run.linked = len(work.look) + work.done > _ONE_TRACE_ASSETS
        async with self._store.unit(keys=[scan.source]) as unit:
            await self._jobs.check(unit.bus.connection, job)
            await unit.progress(scan.id, tables=len(run.marks))
            await unit.unread(scan.source, [run.marks[at] for at in work.unread])
        teller = Teller(self._store, self._jobs, job, scan, _frame(connected, scan), cause, consent=consent, linked=run.linked)
        if work.look:
            await self._tell(work, line, catalogue, run, teller, _place(connected), spec)
        if not known and not line.alone:
            await self._remember(job, scan, await catalogue.marks(scope, compare=True))
        if covers_all(scan.scope) and not run.left:
            await self._remove(job, scan, work.gone, known, allowed, teller, run)

    async def _tell(
        self, work: plan.Work, line: Line, catalogue: Catalogue, run: Run, teller: Teller, place: Place, spec: DataSource
    ) -> None:
        consent, rows = plan.consent_of(spec.sampling), spec.sample_rows
        if work.count:
            await line.prepare(only_one=consent == "statistics")
        tables = [run.marks[at] for at in work.look]
        counted = {(run.marks[at].schema, run.marks[at].table) for at in work.count}

        async def sample(chunk: list[Found]) -> None:
            await (_estimate(line, chunk) if consent == "statistics" else _sample(line, chunk, rows))
            run.told += len(chunk)

        async def count(chunk: list[Found]) -> None:
            await _count(line, chunk, rows)

        stages = [("sample", sample), ("count", count), ("say", teller.tell)]
        await flow(_described(catalogue, line, (tables[: work.hot], tables[work.hot :]), counted, place, run.seconds), stages, run.seconds)
        if stopped := line.spent():
            run.stopped, run.left = stopped, len(tables) - run.told

    async def _remember(self, job: Job, scan: Scan, marks: Sequence[TableMark]) -> None:
        """After a first scan, which needs no marks to know that all is new: what the next one compares with, of the same instant."""
        async with self._store.unit(keys=[scan.source]) as unit:
            await self._jobs.check(unit.bus.connection, job)
            await unit.mark(scan.source, [(mark.schema, mark.table, mark.mark) for mark in marks])

    async def _remove(
        self, job: Job, scan: Scan, gone: Sequence[str], known: Mapping[tuple[str, str], Known], allowed: Scope, teller: Teller, run: Run
    ) -> None:
        """Only here, after everything was looked at without an error; and nothing that may be where nobody could look."""
        found = plan.removals(gone, known, scan_id=scan.id, asked_by_person=scan.priority == "person")
        run.kept_back = len(found.kept)
        if found.kept or any(asset.missed_by for asset in known.values()):
            async with self._store.unit(keys=[scan.source]) as unit:
                await self._jobs.check(unit.bus.connection, job)
                await unit.missed(scan.source, found.kept, scan.id)
        inside = [key for key in found.now if _in_scope(key, allowed)]
        outside = sorted(set(found.now) - set(inside))
        for keys, reason in ((inside, "dropped"), (outside, "out_of_scope")):
            for at in range(0, len(keys), _REMOVE_CHUNK):
                run.removed += await teller.remove(keys[at : at + _REMOVE_CHUNK], reason)

    async def _complete(self, job: Job, scan: Scan, cause: Cause, run: Run, seconds: float) -> None:
        totals = await self._store.totals(scan.source, None if covers_all(scan.scope) else _keys(scan.source, run))
        ending = await self._store.ending(scan.id)
        manifest = _manifest(scan, cause, run, totals, seconds, ending)
        async with self._store.unit(keys=[scan.source]) as unit:
            await self._jobs.check(unit.bus.connection, job)
            if await unit.end(scan.id, "completed", report=manifest.to_json()):
                unit.bus.emit(manifest, key=scan.source, cause=cause)
        log.info(
            "scan.completed",
            extra={
                "scan_id": scan.id,
                "tables": manifest.tables,
                "changed": manifest.changed,
                "seconds": round(seconds, 3),
                "read_from": run.address,
            },
        )

    async def _fail(self, job: Job, scan: Scan, cause: Cause, diagnosis: Diagnosis) -> None:
        async with self._store.unit(keys=[scan.source]) as unit:
            await self._jobs.check(unit.bus.connection, job)
            failed = ScanFailed(
                source=scan.source,
                scan_id=scan.id,
                diagnosis=diagnosis,
                trace_id=tracing.trace_id(cause.traceparent),
                progress=await unit.share(scan.id),
            )
            if await unit.end(scan.id, "failed", code=diagnosis.code, report=failed.to_json()):
                unit.bus.emit(failed, key=scan.source, cause=cause)

    async def _drain(self, job: Job) -> None:
        """Say that every asset of a removed source is gone, then forget it."""
        while wanted := await self._store.draining(job.key):
            scan, cause = wanted, Cause(wanted.id, wanted.traceparent, wanted.tenant)
            async with self._store.unit(keys=[job.key]) as unit:
                await self._jobs.check(unit.bus.connection, job)
                keys = await unit.some_of(job.key, _REMOVE_CHUNK)
                await say_removed(unit, keys, scan, cause, "source_removed")
                if len(keys) < _REMOVE_CHUNK:
                    await unit.drained(job.key)


async def _sample(line: Line, chunk: list[Found], rows: int) -> None:
    wanted = [
        each for each in chunk if each.wanted and (any(each.facts.sampled) or each.facts.mark.kind == "prefix")
    ]  # or why there are none
    if wanted:
        samples = await line.sample([(each.document.key, each.facts) for each in wanted], rows)
        for each, sample in zip(wanted, samples, strict=True):
            each.sample = sample
    _without(chunk, [each for each in wanted if not each.sample])


async def _estimate(line: Line, chunk: list[Found]) -> None:
    """What the server has counted itself; nothing is read, so there is nothing to count afterwards."""
    wanted = [each for each in chunk if each.wanted]
    if wanted:
        for each, counted in zip(wanted, await line.estimate([each.facts for each in wanted]), strict=True):
            each.counted = counted
    _without(chunk, [each for each in wanted if not each.counted])


def _without(chunk: list[Found], unread: Sequence[Found]) -> None:
    """Where the budget was spent: the next scan looks at them."""
    left = set(map(id, unread))
    chunk[:] = [each for each in chunk if id(each) not in left]


async def _count(line: Line, chunk: list[Found], rows: int) -> None:
    """Off the event loop; the values are dropped as soon as they are counted."""
    sampled = [(each, each.sample) for each in chunk if each.sample]
    counts = await line.count([sample for _, sample in sampled], [each.facts for each, _ in sampled], rows)
    for (each, _), counted in zip(sampled, counts, strict=True):
        each.counted, each.sample = counted, None


async def _described(
    catalogue: Catalogue,
    line: Line,
    groups: Sequence[Sequence[TableMark]],
    counted: set[tuple[str, str]],
    place: Place,
    seconds: dict[str, float],
) -> AsyncIterator[list[Found]]:
    """Group after group, each in slices where the scan is to go slowly or may have to stop."""
    for tables in groups:
        start = 0
        while start < len(tables) and not line.spent():
            some = _SLICE if line.pacer.step.rest or any(line.pacer.budget) else len(tables)
            started = perf_counter()
            async for chunk in catalogue.describe(tables[start : start + some]):
                found = [_found(place, facts, counted) for facts in chunk]
                worked = perf_counter() - started
                seconds["describe"] = seconds.get("describe", 0.0) + worked
                for at in range(0, len(found), _CHUNK):
                    yield found[at : at + _CHUNK]
                await line.pacer.rest(worked)
                started = perf_counter()
            start += some


def _found(place: Place, facts: TableFacts, counted: set[tuple[str, str]]) -> Found:
    mark = facts.mark
    described = document.document(place, mark.schema, mark.table, mark.kind, facts)
    return Found(facts, described, (mark.schema, mark.table) in counted, plan.why_not_sampled(mark))


def _mode(scan: Scan) -> Literal["incremental", "full"]:
    return "full" if scan.mode == "full" else "incremental"


def _place(connected: SourceConnected) -> Place:
    spec = connected.spec
    at = f"{spec.host}:{spec.port}/"
    inner = f"{spec.path.strip('/')}/" if spec.path.strip("/") else ""
    prefixes = {
        "postgresql": f"postgres://{at}{spec.database}.",
        "mongodb": f"mongodb://{at}",
        "s3": f"s3://{spec.database}/{inner}",
        "gcs": f"gs://{spec.database}/{inner}",
        "azure_blob": f"wasbs://{spec.database}@{store_host(spec)}/{inner}",
        "folder": f"file:///{inner}",
    }
    joint = "." if engine_of(spec.engine).kind == "server" else "/"
    return Place(spec.tenant, spec.name, spec.database, prefixes.get(spec.engine, f"mysql://{at}"), joint)


def _frame(connected: SourceConnected, scan: Scan) -> event.ScanFrame:
    return event.frame(
        _place(connected),
        scan.source,
        scan.id,
        spec=connected.spec.to_json(),
        posture=connected.posture.to_json(),
        server=connected.server.to_json(),
    )


def _in_scope(key: str, allowed: Scope) -> bool:
    name = AssetName.parse(key)
    return contains(allowed, name.schema, name.table)


def _keys(source: str, run: Run) -> list[tuple[str, str]]:
    return [(mark.schema, mark.table) for mark in run.marks]


def _manifest(
    scan: Scan, cause: Cause, run: Run, totals: Totals, seconds: float, ending: tuple[int, int, Sequence[Mapping[str, Any]]]
) -> ScanCompleted:
    changed, values, pace = min(ending[0], len(totals.facts)), *ending[1:]
    left_out = [LeftOut(what="samples", why=why, count=count, names=tuple(names)) for why, (count, names) in totals.left_out.items()]
    left_out += columns_left_out(totals.skipped)
    if run.kept_back:
        left_out.append(LeftOut(what="removals", why="mass_removal", count=run.kept_back))
    if run.shut:
        left_out.append(LeftOut(what="folders", why="shut", count=run.shut))
    if run.left:
        left_out.append(LeftOut(what="tables", why=run.stopped, count=run.left))
    elif missed := len(run.marks) - len(totals.facts):
        left_out += [LeftOut(what="tables", why="gone", count=missed)] if missed > 0 else []
    return ScanCompleted(
        source=scan.source,
        scan_id=scan.id,
        complete=covers_all(scan.scope) and not (run.kept_back or run.left or run.shut),
        scope=scan.scope,
        tables=len(run.marks),
        columns=totals.columns,
        changed=changed,
        removed=run.removed,
        unchanged=len(totals.facts) - changed,
        text_columns=totals.text_columns,
        text_columns_with_evidence=totals.text_columns_with_evidence,
        sampled_values=values,
        statements=run.statements,
        bytes_read=run.pacer.bytes_read if run.pacer else 0,
        pace=tuple(map(PaceChange.model_validate, pace)),
        seconds=round(seconds, 3),
        seconds_by_phase={name: round(value, 3) for name, value in run.seconds.items()},
        digest=plan.digest(totals.facts),
        left_out=tuple(left_out),
        linked_traces=run.linked,
        trace_id=tracing.trace_id(cause.traceparent),
    )
