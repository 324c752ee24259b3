"""Cloud resources: what each must carry, what is being written, what was seen there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import orjson
from pydantic import TypeAdapter

from services.tagger.domain.declared import Where
from services.tagger.domain.drift import Other
from services.tagger.domain.facts import Fact
from services.tagger.domain.odcs import Normal
from services.tagger.domain.resource import DerivedResource, JobHere, ResourceState
from services.tagger.domain.targets import Resource, resource_of
from services.tagger.domain.wish import Applied
from services.tagger.store.assets import conflicts_text, tags_from, tags_text
from shared.contracts.source import CloudConfig, DataSource
from shared.errors import PurSightError

_CLOUD: TypeAdapter[CloudConfig | None] = TypeAdapter(CloudConfig | None)
_BEGIN = """
    insert into resource (target, resource, provider, tenant, source, cloud, sequence, digest, tags, conflicts, mapping, intent,
        scan_id, attempts, changed_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now())
    on conflict (target) do update set source = excluded.source, cloud = excluded.cloud, sequence = excluded.sequence,
        digest = excluded.digest, tags = excluded.tags, conflicts = excluded.conflicts, mapping = excluded.mapping,
        intent = excluded.intent, scan_id = excluded.scan_id, gone = false, changed_at = now(),
        attempts = excluded.attempts"""
_DONE = """
    update resource set sequence = $2, outcome = $3, written = $4, intent = '{}', kept = $5, held = $6, left_out = $7,
        code = $8, cause = $9, remedy = $10, gone = $11, seen = $12, drifted = $13, changed_at = now(), applied_at = now()
    where target = $1"""
_FAILED = """
    update resource set sequence = $2, outcome = 'failed', code = $3, cause = $4, remedy = $5, changed_at = now() where target = $1"""


class Resources:
    """The resources' part of a unit of work."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._db = connection

    async def state(
        self,
        target: str,
        specs: Sequence[DataSource],
        facts: Sequence[Fact],
        contracts: Sequence[tuple[Normal, Where]],
        jobs: Sequence[JobHere],
    ) -> ResourceState | None:
        """The resource with what is stored of it; None where no source and no job is on it and nothing was ever written there."""
        row = await self._db.fetchrow("select * from resource where target = $1", target)
        resource = resource_of(specs[0]) if specs else _resource(row) if row else await self._named(target)
        if resource is None:
            return None
        cloud = specs[0].cloud_config if specs else _CLOUD.validate_json(row["cloud"]) if row and not jobs else None
        source = specs[0].key if specs else row["source"] if row and not jobs else ""
        return ResourceState(resource, source, cloud, specs, facts, **_before(row), contracts=contracts, jobs=jobs)

    async def _named(self, target: str) -> Resource | None:
        """The resource as a job names it."""
        row = await self._db.fetchrow("select tenant, provider, resource from job_resource where target = $1 limit 1", target)
        return _resource(row) if row else None

    async def begin(self, state: ResourceState, derived: DerivedResource, *, sequence: int, scan_id: str, attempt: int) -> None:
        """Store what is about to be written, before it is."""
        resource = state.resource
        await self._db.execute(
            _BEGIN,
            *(
                resource.target,
                resource.id,
                resource.provider,
                resource.tenant,
                state.source,
                state.cloud.model_dump_json() if state.cloud else "null",
                sequence,
            ),
            *(derived.digest, tags_text(derived.tags), conflicts_text(derived.conflicts), _text(derived.mapping)),
            *(_text(_intent(state.ours or {}, derived.wish.desired)), scan_id, attempt),
        )

    async def done(self, target: str, applied: Applied, *, sequence: int, told: PurSightError | None, gone: bool) -> None:
        """Store what was seen on the resource after the write; `told` is what was said of tags that are not as they should be."""
        change = applied.change
        await self._db.execute(
            _DONE,
            *(target, sequence, "failed" if told else applied.outcome, _text(applied.own)),
            *(change.kept, list(change.conflicts), list(change.left_out)),
            *((told.code, _cause(told), told.remedy) if told else ("", "", "")),
            *(gone, _text({key: list(other) for key, other in applied.seen.items()}), list(change.let_be)),
        )

    async def to_look_at(self, older_than_seconds: float, *, most: int) -> list[Resource]:
        """Resources with tags of ours that nobody looked at for so long, longest first."""
        rows = await self._db.fetch(
            """select target, tenant, provider, resource from resource
            where not gone and applied_at < now() - make_interval(secs => $1)
                and not exists (select from job where kind = 'apply' and key = target and state in ('waiting', 'running'))
            order by applied_at limit $2""",
            older_than_seconds,
            most,
        )
        return [_resource(row) for row in rows]

    async def failed(self, target: str, *, sequence: int, error: PurSightError) -> None:
        """Store why it was not done. The intent stays: some of it may have been written."""
        await self._db.execute(_FAILED, target, sequence, error.code, _cause(error), error.remedy)


def _cause(error: PurSightError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what


def _intent(ours: Mapping[str, set[str]], desired: Mapping[str, str]) -> dict[str, list[str]]:
    """All values that may stand on the resource by our doing, once the write has begun."""
    return {key: sorted(ours.get(key, set()) | {desired[key]} if key in desired else ours[key]) for key in ours.keys() | desired.keys()}


def _resource(row: asyncpg.Record) -> Resource:
    return Resource(row["tenant"], row["provider"], row["resource"])


def _before(row: asyncpg.Record | None) -> dict[str, Any]:
    if row is None:
        return {}
    ours = {key: {value} for key, value in orjson.loads(row["written"]).items()}
    for key, values in orjson.loads(row["intent"]).items():
        ours.setdefault(key, set()).update(values)
    return {
        "tags": tags_from(row["tags"]),
        "digest": row["digest"],
        "sequence": row["sequence"],
        "scan_id": row["scan_id"],
        "ours": ours,
        "seen": {key: Other(*other) for key, other in orjson.loads(row["seen"]).items()},
        "drifted": tuple(row["drifted"]),
    }


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
