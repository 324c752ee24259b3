"""The classifier's door for events: one function per topic, each a single transaction for a whole batch; and the jobs that judge again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import compress
from typing import Any, NamedTuple

from services.classifier.domain.judging import Judged, Wanted, judge_all
from services.classifier.domain.meaning import Near, sign_of
from services.classifier.domain.promised import told_by
from services.classifier.domain.reviews import review_from
from services.classifier.domain.tables import Judge, Known, keyed, targets_of
from services.classifier.gateway.sentences import Sentences
from services.classifier.store import ClassifierUnit, Row, Store, Stored
from services.classifier.store.meanings import Meanings
from shared.access.actor import Actor
from shared.access.gate import Gate
from shared.bus.jobs import Job, Jobs
from shared.bus.received import AnyCause, Cause, Received
from shared.contracts.asset import AssetRemoved, ClassificationReviewed, SchemaDiscovered
from shared.contracts.judging.contract import DEEPEST, MOST_PARTS, contract_key, key_of
from shared.contracts.judging.hostile import too_large
from shared.contracts.names import SourceName, source_of, tenant_of
from shared.contracts.rules import ContractPublished
from shared.contracts.source import SourceRemoved

log = logging.getLogger(__name__)
REJUDGE, FORGET, LIKES = "rejudge", "forget", "likes"
READ_AT_ONCE = 512  # texts
EVERYTHING = "*"
CHUNK = 250  # assets per transaction of a job
Offload = Callable[..., Awaitable[list[Any]]]


class Third(NamedTuple):
    """Tier 3: what was read so far, and what reads texts (a vector each)."""

    meanings: Meanings
    sentences: Sentences


@dataclass(slots=True)
class Classifier:
    """What the doors share: the state, the rules and the model in force, the jobs, and where work that burns CPU goes.

    `third`: tier 3, where its parts are there.
    """

    store: Store
    judge: Judge
    jobs: Jobs
    offload: Offload
    third: Third | None = None

    async def judged(self, unit: ClassifierUnit, wanted: Sequence[Wanted]) -> tuple[list[Judged], str]:
        """One result per table, and the mark of what judged: rules may change meanwhile."""
        judge, tables = self.judge, [want.table for want in wanted]
        known = await unit.known(targets_of(tables), [table.asset for table in tables])
        judged = await self.offload(judge_all, judge, wanted, known)
        if self.third and any(result.asked for result in judged):
            judged = await self._once_more(unit, self.third.meanings, judge, wanted, judged, known)
        return judged, judge.mark

    async def _once_more(
        self, unit: ClassifierUnit, meanings: Meanings, judge: Judge, wanted: Sequence[Wanted], judged: list[Judged], known: Known
    ) -> list[Judged]:
        """Tables that ask for texts which were read are judged again with these; what was not read waits for a job."""
        read: dict[str, dict[str, tuple[Near, ...]]] = {}
        for want, result in zip(wanted, judged, strict=True):
            read.setdefault(want.tenant, {}).update(dict.fromkeys(result.asked, ()))
        for tenant, texts in read.items():
            read[tenant] = await meanings.near(unit.bus.connection, tenant, list(texts), judge.descriptions)
        again = [at for at, result in enumerate(judged) if any(sign_of(read[wanted[at].tenant].get(text, ())) for text in result.asked)]
        some = [wanted[at] for at in again]
        theirs = {key for want, result in zip(wanted, judged, strict=True) for key in keyed(want.table.asset, result.classes).items()}
        meant = await self.offload(judge_all, judge, some, {**known, **dict(theirs)}, [read[want.tenant] for want in some])
        for at, result in zip(again, meant, strict=True):
            judged[at] = result
        return [
            replace(result, waits=any(text not in read[want.tenant] for text in result.asked))
            for want, result in zip(wanted, judged, strict=True)
        ]

    async def read(self) -> None:
        """Read what columns, reviews and descriptions ask for and nobody has read. Memory that this takes is given back.

        A model that cannot be run is told once; from then on there are two tiers, until the next start.
        """
        if self.third is None:
            return
        meanings, sentences = self.third
        while texts := await meanings.unread(self.judge.descriptions, READ_AT_ONCE):
            try:
                vectors = await self.offload(sentences, texts)
            except (ImportError, OSError, ValueError) as error:
                log.error("tier3.off", extra={"reason": str(error), "error_type": type(error).__name__})
                self.third = None
                return
            await meanings.keep(texts, vectors)
        sentences.release()

    async def waiting(self, unit: ClassifierUnit, judged: Sequence[Judged]) -> None:
        """What waits for tier 3 is judged again by a job that reads first."""
        if any(result.waits for result in judged):
            await self.jobs.enqueue(unit.bus.connection, REJUDGE, EVERYTHING, "meanings")

    async def follow(self, unit: ClassifierUnit, judged: Sequence[Judged], besides: Sequence[str]) -> None:
        """Assets whose foreign keys point to a column with a new class are judged again, each by a job of its own."""
        moved = [key for result in judged for key in result.moved]
        for asset in await unit.followers(moved, besides):
            await self.jobs.enqueue(unit.bus.connection, REJUDGE, asset, "reference")


async def on_schema_discovered(batch: Sequence[Received[SchemaDiscovered]], *, classifier: Classifier) -> None:
    """schema.discovered -> asset.classified. Of one asset only the newest is judged; a tombstone forgets it."""
    async with classifier.store.unit(batch) as unit:
        newest = _newest(compress(batch, unit.bus.is_new))
        assets = list(newest)
        rows = await unit.rows(assets)
        gone = {asset: received for asset, received in newest.items() if received.tombstone and asset in rows}
        await unit.remove({asset: (source_of(asset), rows[asset].discovered, received) for asset, received in gone.items()}, rows)
        fresh = [r for asset, r in newest.items() if not r.tombstone and r.event.sequence > rows.get(asset, Row()).discovered]
        if fresh:
            await _classify(unit, fresh, rows, classifier)


async def _classify(
    unit: ClassifierUnit, fresh: Sequence[Received[SchemaDiscovered]], rows: Mapping[str, Row], classifier: Classifier
) -> None:
    assets = [received.event.asset for received in fresh]
    wanted = await _wanted(unit, [(received.event, rows.get(received.event.asset, Row())) for received in fresh])
    judged, mark = await classifier.judged(unit, wanted)
    await unit.save([(r.event, result, r.time) for r, result in zip(fresh, judged, strict=True)], mark)
    await classifier.follow(unit, judged, assets)
    await classifier.waiting(unit, judged)
    for received, result in zip(fresh, judged, strict=True):
        unit.bus.emit(result.event, key=received.event.asset, cause=received)


async def _wanted(unit: ClassifierUnit, known: Sequence[tuple[SchemaDiscovered, Row]]) -> list[Wanted]:
    """These tables, to be judged with all that people and contracts say of them."""
    tables = [table for table, _ in known]
    reviews, likes = await unit.reviews([table.asset for table in tables]), await unit.likes(tables)
    contracts = await unit.contracts(tables)
    return [
        Wanted(
            table,
            row.sequence + 1,
            row.classes or {},
            reviews.get(table.asset, {}),
            row.said,
            likes.get(tenant_of(table.source), {}),
            contracts.of(table),
        )
        for table, row in known
    ]


def _newest(batch: Iterable[Received[SchemaDiscovered]]) -> dict[str, Received[SchemaDiscovered]]:
    """The last word on each asset. The topic keeps the order of one asset, so a tombstone counts by its place."""
    newest: dict[str, Received[SchemaDiscovered]] = {}
    for received in batch:
        asset = received.key if received.tombstone else received.event.asset
        other = newest.get(asset)
        if other is None or received.tombstone or other.tombstone or received.event.sequence > other.event.sequence:
            newest[asset] = received
    return newest


async def on_asset_removed(batch: Sequence[Received[AssetRemoved]], *, classifier: Classifier) -> None:
    """asset.removed -> the asset's place on asset.classified is cleared. Older than what was judged last: nothing happens."""
    async with classifier.store.unit(batch) as unit:
        fresh = sorted(compress(batch, unit.bus.is_new), key=lambda received: received.event.sequence)
        rows = await unit.rows([received.event.asset for received in fresh])
        gone = [r for r in fresh if r.event.sequence >= rows.get(r.event.asset, Row()).discovered]
        await unit.remove({r.event.asset: (r.event.source, r.event.sequence, r) for r in gone}, rows)


async def on_source_removed(batch: Sequence[Received[SourceRemoved]], *, classifier: Classifier) -> None:
    """source.removed: its assets are forgotten by a job; what a later source of the same name brings stays."""
    async with classifier.store.unit(batch) as unit:
        for received in compress(batch, unit.bus.is_new):
            await classifier.jobs.enqueue(unit.bus.connection, FORGET, received.event.source, received.time.isoformat())


async def on_contract_published(batch: Sequence[Received[ContractPublished]], *, classifier: Classifier) -> None:
    """contract.published: what it says of columns is weighed from now on; assets that it may mean are judged again by a job."""
    async with classifier.store.unit(batch) as unit:
        for received in compress(batch, unit.bus.is_new):
            document = {} if received.tombstone else received.event.document()
            if too_large(document, most_parts=MOST_PARTS, deepest=DEEPEST) is None:  # else it is refused, which others say
                key = contract_key(document) if document else key_of(received.key)
                await unit.keep_contract(key, told_by(key, document))
                await classifier.jobs.enqueue(unit.bus.connection, REJUDGE, EVERYTHING, "contract")


async def on_classification_reviewed(batch: Sequence[Received[ClassificationReviewed]], *, classifier: Classifier, gate: Gate) -> None:
    """classification.reviewed -> asset.classified at once, and audit.recorded; what cannot be taken is audited with the reason."""
    async with classifier.store.unit(batch, keys=[received.event.asset for received in batch]) as unit:
        for received in compress(batch, unit.bus.is_new):
            if denied := _not_allowed(received, gate):
                audit(unit, received, "denied", denied)
            elif refusal := await review(unit, received.event, received, classifier):
                audit(unit, received, "failed", refusal)
            else:
                audit(unit, received, "allowed", received.event.class_name)


def _not_allowed(received: Received[ClassificationReviewed], gate: Gate) -> str:
    """Why who asks may not review that; empty where they may."""
    asset = received.event.asset
    allowed = gate.allows(_actor(received), "classification.review", _tenant(received), asset, via="event")
    return "" if allowed else "lacks the permission classification.review"


def _actor(received: Received[ClassificationReviewed]) -> Actor:
    return received.actor or Actor("event:unknown")


def _tenant(received: Received[ClassificationReviewed]) -> str:
    asset = received.event.asset
    return SourceName.parse(source_of(asset)).tenant if asset.count("/") == 2 else received.tenant


async def review(unit: ClassifierUnit, request: ClassificationReviewed, cause: AnyCause, classifier: Classifier) -> str:
    """Apply one review; returns why not, or nothing."""
    stored = await unit.bodies([request.asset])
    column = next((c for s in stored for c in s.table.columns if c.name == request.column), None)
    if column is None:
        return "no such column" if stored else "no such asset"
    (want,) = await _wanted(unit, [(stored[0].table, stored[0].row)])
    (now,), _ = await classifier.judged(unit, [replace(want, reviews={}, likes={})])
    verdict = next(c for c in now.event.columns if c.name == request.column)
    taken = review_from(request, column, verdict, classifier.judge.ruleset, classifier.judge.about(want.table))
    if isinstance(taken, str):
        return taken
    await unit.keep_review(request.asset, taken)
    await classifier.jobs.enqueue(unit.bus.connection, LIKES, f"{want.tenant}/{taken.words}", request.asset)
    if classifier.third:
        await unit.unsettle(want.tenant)
        await classifier.jobs.enqueue(unit.bus.connection, REJUDGE, EVERYTHING, "example")
    await _again(unit, stored, lambda _: cause, classifier, only_changes=False)
    return ""


def audit(unit: ClassifierUnit, received: Received[ClassificationReviewed], result: str, detail: str) -> None:
    """Who decided what on which column, and what came of it."""
    request, tenant, actor = received.event, _tenant(received), _actor(received).id
    who = actor if request.reviewer in ("", actor) else f"{actor} for {request.reviewer[:200]}"
    told = f"{request.decision}: {detail}".removesuffix(": ")
    unit.bus.audit(tenant, who, "classification.review", f"{request.asset}#{request.column}", received, result, told)


async def _again(
    unit: ClassifierUnit,
    stored: Sequence[Stored],
    cause: Callable[[str], AnyCause],
    classifier: Classifier,
    *,
    only_changes: bool,
) -> None:
    """Judge stored assets again and say them: all, or only those that come out differently."""
    judged, mark = await classifier.judged(unit, await _wanted(unit, [(s.table, s.row) for s in stored]))
    told = [(s, result) for s, result in zip(stored, judged, strict=True) if result.changed or not only_changes]
    quiet = {s.table.asset: result for s, result in zip(stored, judged, strict=True) if only_changes and not result.changed}
    await unit.save([(s.table, result, s.heard_at) for s, result in told], mark, with_body=False)
    await unit.mark_judged(quiet, mark)
    await classifier.follow(unit, [result for _, result in told], [s.table.asset for s in stored])
    await classifier.waiting(unit, judged)
    for s, result in told:
        unit.bus.emit(result.event, key=s.table.asset, cause=cause(s.table.asset))


async def rejudge(job: Job, *, classifier: Classifier) -> None:
    """Judge again from what is stored: everything that other rules judged, or one asset; say only what came out differently."""
    mark = classifier.judge.mark
    everything = job.key == EVERYTHING
    if everything:
        await classifier.read()
    assets = await classifier.store.stale(mark, job.cursor, CHUNK) if everything else [job.key]
    while assets:
        await _chunk(job, assets, assets[-1], classifier)
        assets = await classifier.store.stale(mark, job.cursor, CHUNK) if everything else []


async def _chunk(job: Job, assets: Sequence[str], cursor: str, classifier: Classifier) -> None:
    """Judge these again, and remember how far the job has come."""
    async with classifier.store.unit(keys=assets) as unit:
        await _again(unit, await unit.bodies(assets), lambda asset: _cause(job, asset), classifier, only_changes=True)
        await classifier.jobs.save_cursor(unit.bus.connection, job, cursor)


async def like(job: Job, *, classifier: Classifier) -> None:
    """Judge again what has a column of the name that a person spoke of, in any table of the tenant; say only what came out differently."""
    tenant, _, words = job.key.partition("/")
    while True:
        assets, last = await classifier.store.named(tenant, words, job.cursor, CHUNK)
        if not last:
            return
        await _chunk(job, assets, last, classifier)


async def forget(job: Job, *, classifier: Classifier) -> None:
    """Every asset of a removed source is gone."""
    until = datetime.fromisoformat(job.payload)
    while assets := await classifier.store.assets_of(job.key, until, CHUNK):
        async with classifier.store.unit(keys=assets) as unit:
            rows = await unit.rows(assets)
            await unit.remove({asset: (job.key, row.discovered, _cause(job, asset)) for asset, row in rows.items()}, rows)
            await classifier.jobs.check(unit.bus.connection, job)
    if classifier.third:
        await classifier.third.meanings.forget(classifier.judge.descriptions)


def _cause(job: Job, asset: str) -> Cause:
    """The cause of what a job says about one asset: a new one for each time the job comes by."""
    return job.cause(str(job.fence), tenant=SourceName.parse(source_of(asset)).tenant)


JOBS: Mapping[str, Callable[..., Awaitable[None]]] = {REJUDGE: rejudge, FORGET: forget, LIKES: like}
