"""One transaction of compliance: state is read under the keys' locks, judged, written and said together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from services.compliance.domain.assess import Assessment, Assessor, SourceView, Wanted, slim
from services.compliance.domain.policy import Policy
from services.compliance.domain.violations import Reason, Standing, violation_id
from services.compliance.store import statements
from services.compliance.store.rows import by_column, opened, published, results_of, violation_row
from shared.bus.received import Cause, Received
from shared.bus.unit import Unit, unit
from shared.contracts.asset import AssetClassified
from shared.contracts.compliance import ComplianceEvaluated, ViolationResolved, ViolationWaived
from shared.contracts.connection import Posture
from shared.contracts.names import SourceName, source_of
from shared.contracts.source import DataSource

SERVICE = "compliance"
AnyCause = Received[Any] | Cause
Judged = tuple[AssetClassified, SourceView, AnyCause]


@dataclass(frozen=True, slots=True)
class AssetRow:
    """Where we stand with an asset: our count, the classifier's and discovery's numbers, and what was said last."""

    sequence: int = 0
    based_on: int = 0
    discovered: int = 0
    removed: bool = False
    digest: str = ""

    def is_older_than(self, event: AssetClassified) -> bool:
        """Is the event news? Not where a newer verdict was judged, nor where the table was removed after it was seen."""
        return event.sequence > self.based_on and not (self.removed and event.based_on <= self.discovered)


class ComplianceUnit:
    """What is read and written here commits together with what is said."""

    def __init__(self, unit: Unit) -> None:
        self.bus = unit
        self._db = unit.connection

    async def rows(self, assets: Sequence[str]) -> dict[str, AssetRow]:
        """Where we stand, for those of the assets that we have met."""
        found = await self._db.fetch(
            "select asset, sequence, based_on, discovered, removed, digest from asset where asset = any($1::text[])", assets
        )
        return {row["asset"]: AssetRow(*tuple(row)[1:]) for row in found}

    async def bodies(self, assets: Sequence[str]) -> list[AssetClassified]:
        """The assets as they were last classified, by name; removed ones are left out."""
        found = await self._db.fetch("select body from asset where asset = any($1::text[]) and not removed order by asset", assets)
        return [AssetClassified.model_validate_json(row["body"]) for row in found]

    async def views(self, events: Sequence[AssetClassified], assessor: Assessor) -> list[SourceView]:
        """What is known of each event's source: what the connector said last, or else what travelled with the event."""
        sources = list({event.source for event in events})
        found = await self._db.fetch("select source, spec, posture from source where source = any($1::text[])", sources)
        said = {
            row["source"]: assessor.view(DataSource.model_validate_json(row["spec"]), Posture.model_validate_json(row["posture"]))
            for row in found
        }
        return [said.get(event.source) or assessor.view(event.spec, event.posture) for event in events]

    async def judge(self, events: Sequence[tuple[AssetClassified, AnyCause]], assessor: Assessor, *, only_changes: bool) -> int:
        """Judge the assets, keep the outcome, say it; returns how many outcomes differ from before. With `only_changes`, an outcome
        equal to the last one is kept but not said. The assets' keys must be locked by this unit, and each come once."""
        if not events:
            return 0
        assets = [event.asset for event, _ in events]
        rows, standing = await self.rows(assets), await self._standing(assets)
        views = await self.views([event for event, _ in events], assessor)
        wanted = [
            Wanted(event, view, standing.get(event.asset, {}), rows.get(event.asset, AssetRow()).sequence + 1)
            for (event, _), view in zip(events, views, strict=True)
        ]
        assessments = await asyncio.to_thread(assessor.assess_all, wanted, now=self.bus.now)
        said = [not only_changes or rows[event.asset].digest != done.digest for (event, _), done in zip(events, assessments, strict=True)]
        await self._save(wanted, assessments, said, assessor.rules.digest)
        await self._save_violations(assessments)
        for (_, cause), done, speak in zip(events, assessments, said, strict=True):
            if speak:
                self._say(done, cause)
        return sum(said)

    async def _standing(self, assets: Sequence[str]) -> dict[str, dict[str, Standing]]:
        found = await self._db.fetch(
            statements.STANDING,
            assets,
            self.bus.now,
        )
        standing: dict[str, dict[str, Standing]] = {}
        for asset, control, state, until, mark in found:
            standing.setdefault(asset, {})[control] = Standing(state, until, mark)
        return standing

    async def _save(self, wanted: Sequence[Wanted], done: Sequence[Assessment], said: Sequence[bool], rules: str) -> None:
        columns = [
            (
                each.asset.asset,
                each.asset.source,
                each.sequence if speak else each.sequence - 1,
                each.asset.sequence,
                each.asset.based_on,
                slim(each.asset).to_json(),
                each.asset.scan_id,
                results_of(outcome.settled.results),
                outcome.event.risk,
                outcome.digest,
                rules,
                each.view.digest,
            )
            for each, outcome, speak in zip(wanted, done, said, strict=True)
        ]
        await self._db.execute(statements.SAVE_ASSETS, *by_column(columns), self.bus.now)

    async def _save_violations(self, done: Iterable[Assessment]) -> None:
        rows, over = [], []
        for outcome in done:
            event = outcome.event
            rows += [violation_row(event, result, mark) for result, mark in outcome.settled.changed]
            over += [(violation_id(control, event.asset), reason) for control, reason in outcome.settled.resolved]
        if rows:
            await self._db.execute(statements.SAVE_VIOLATIONS, *by_column(rows), self.bus.now)
        if over:
            await self._db.execute(statements.RESOLVE_VIOLATIONS, *by_column(over), self.bus.now)

    def _say(self, done: Assessment, cause: AnyCause) -> None:
        event = done.event
        self.bus.emit(event, key=event.asset, cause=cause)
        for result in done.settled.opened:
            self.bus.emit(opened(event, result), key=event.asset, cause=cause)
        for control, reason in done.settled.resolved:
            self._resolved(event.asset, control, reason, event.scan_id, cause)

    def _resolved(self, asset: str, control: str, reason: Reason, scan_id: str, cause: AnyCause) -> None:
        fact = ViolationResolved(
            violation=violation_id(control, asset),
            asset=asset,
            source=source_of(asset),
            scan_id=scan_id,
            control=control,
            reason=reason,
        )
        self.bus.emit(fact, key=asset, cause=cause)

    async def remove(self, gone: Mapping[str, tuple[int, str, AnyCause]], *, forget: bool = False) -> int:
        """Assets that are gone, with discovery's number, scan and cause: what stands is resolved, the topic cleared, the counts kept.
        `forget` drops the history of violations too. Removals older than what we judged change nothing."""
        rows = await self.rows(list(gone))
        news = {
            asset: told
            for asset, told in gone.items()
            if (row := rows.get(asset)) is None
            or (not row.removed and told[0] >= row.discovered)
            or (row.removed and told[0] > row.discovered)
        }
        standing = await self._standing(list(news))
        ended = [(asset, [(c, s) for c, s in standing.get(asset, {}).items() if s.state != "resolved"]) for asset in news]
        for asset, violations in ended:
            _, scan_id, cause = news[asset]
            for control, _ in violations:
                self._resolved(asset, control, "asset_removed", scan_id, cause)
            if asset in rows and not rows[asset].removed:
                self.bus.tombstone(ComplianceEvaluated, key=asset, cause=cause)
        over = [(violation_id(control, asset), "asset_removed") for asset, violations in ended for control, _ in violations]
        if over:
            await self._db.execute(statements.RESOLVE_VIOLATIONS, *by_column(over), self.bus.now)
        await self._db.execute(
            statements.REMOVE_ASSETS, list(news), [source_of(asset) for asset in news], [told[0] for told in news.values()], self.bus.now
        )
        if forget:
            await self._db.execute("delete from violation where asset = any($1::text[])", list(gone))
        return len(news)

    async def connected(self, said: Mapping[str, tuple[int, SourceView]]) -> list[str]:
        """Keep what the connector said, newest only; returns the sources some of whose assets were judged with something else."""
        found = await self._db.fetch("select source, sequence from source where source = any($1::text[])", list(said))
        known = {row["source"]: row["sequence"] for row in found}
        news = [(key, number, view) for key, (number, view) in said.items() if number > known.get(key, 0)]
        rows = [(key, number, view.spec.to_json().decode(), view.posture.to_json().decode(), view.digest) for key, number, view in news]
        if rows:
            await self._db.execute(statements.SAVE_SOURCES, *by_column(rows))
        stale = await self._db.fetch(
            statements.STALE_SOURCES,
            [key for key, _, _ in news],
        )
        return [row["source"] for row in stale]

    async def forget_source(self, source: str) -> None:
        await self._db.execute("delete from source where source = $1", source)

    async def waive(self, violation: UUID, actor: str, reason: str, until: Any, cause: AnyCause) -> ViolationWaived | None:
        """Accept a violation until then; None where it does not stand. The asset must be judged again in the same unit."""
        row = await self._db.fetchrow(statements.WAIVE, violation, actor, reason, until)
        if row is None:
            return None
        fact = ViolationWaived(
            violation=str(violation), asset=row["asset"], control=row["control"], actor=actor, reason=reason, expires=until
        )
        self.bus.emit(fact, key=fact.asset, cause=cause)
        tenant = SourceName.parse(source_of(fact.asset)).tenant
        detail = f"{fact.control} until {until.isoformat()}: {reason}"
        self.bus.audit(tenant, actor, "violation.waive", fact.asset, cause, detail=detail)
        return fact

    async def unwaive(self, violation: UUID, actor: str, reason: str, cause: AnyCause) -> bool:
        """End its waiver now; was there one? The asset must be judged again in the same unit, which opens what fails."""
        row = await self._db.fetchrow(statements.UNWAIVE, violation, self.bus.now)
        if row is not None:
            tenant = SourceName.parse(source_of(row["asset"])).tenant
            self.bus.audit(tenant, actor, "violation.unwaive", row["asset"], cause, detail=f"{row['control']} no longer: {reason}")
        return row is not None

    async def lapse(self) -> int:
        """Mark the assets whose waivers ran out as to be judged anew; returns how many."""
        rows = await self._db.fetch(statements.OVERDUE, self.bus.now)
        await self._db.execute("update asset set judged_by = '' where asset = any($1::text[]) and not removed", [row[0] for row in rows])
        return len(rows)

    async def publish(self, policies: Sequence[Policy], cause: AnyCause) -> list[str]:
        """Say each pack that is not as it was said last; returns their names."""
        said = {row["name"]: row["digest"] for row in await self._db.fetch("select name, digest from pack")}
        changed = [policy for policy in policies if said.get(policy.text.name) != policy.digest]
        for policy in changed:
            await self._db.execute(
                statements.SAVE_PACK,
                *(policy.text.name, policy.text.version, policy.digest),
            )
            self.bus.emit(published(policy), key=policy.text.name, cause=cause)
        return [policy.text.name for policy in changed]


class Store:
    """Compliance's state."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def unit(self, batch: Sequence[Received[Any]] = (), keys: Iterable[str] = ()) -> AsyncIterator[ComplianceUnit]:
        async with unit(self._pool, service=SERVICE, batch=batch, keys=keys) as opened:
            yield ComplianceUnit(opened)

    async def stale(self, rules: str, source: str, after: str, limit: int) -> list[str]:
        """Assets judged by other rules, or with another source's facts, than now; of one source, or of all where `source` is empty."""
        return [row["asset"] for row in await self._pool.fetch(statements.STALE, rules, source, after, limit)]

    async def assets_of(self, source: str, after: str, limit: int) -> list[str]:
        """The source's assets that are not removed, by name."""
        query = "select asset from asset where source = $1 and not removed and asset > $2 order by asset limit $3"
        return [row["asset"] for row in await self._pool.fetch(query, source, after, limit)]
