"""Data contracts and jobs as they were declared, and the assets that a contract is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from services.tagger.domain.compare import Detected, Finding, describes
from services.tagger.domain.declared import Where
from services.tagger.domain.derive import Known
from services.tagger.domain.facts import Fact
from services.tagger.domain.job import DerivedJob
from services.tagger.domain.odcs import JudgedContract, Normal
from services.tagger.domain.placed import Skipped
from services.tagger.domain.resource import JobHere
from services.tagger.domain.targets import Resource
from services.tagger.store.assets import conflicts_text, known_of, tags_from, tags_text
from shared.bus.unit import lock_number
from shared.contracts.compliance import ClassCount
from shared.contracts.judging.contract import is_of
from shared.contracts.judging.job import judge_job
from shared.contracts.names import AssetName, encode
from shared.contracts.source import DataSource
from shared.contracts.tags import Tag

_SAVE = """
    insert into data_contract (key, tenant, document, contract, origins, added, names, origin, said_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    on conflict (key) do update set document = excluded.document, contract = excluded.contract, origins = excluded.origins,
        added = excluded.added, names = excluded.names, origin = excluded.origin, said_at = excluded.said_at
        where data_contract.said_at <= excluded.said_at
    returning key"""
_ASSETS = "select * from asset where source = any($1) and not removed order by target"
_SAVE_JOB = """
    insert into job_config (key, tenant, document, origin, digest, tags, conflicts, said_at, skipped, facts)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (key) do update set document = excluded.document, origin = excluded.origin, digest = excluded.digest,
        tags = excluded.tags, conflicts = excluded.conflicts, said_at = excluded.said_at, skipped = excluded.skipped,
        facts = excluded.facts
        where job_config.said_at <= excluded.said_at
    returning key"""
_PLACE = """
    with gone as (delete from job_resource where job = $1 and target <> all($2::text[]) returning target),
    here as (
        insert into job_resource (job, target, resource, provider, tenant)
        select $1, target, resource, provider, tenant from unnest($2::text[], $3::text[], $4::text[], $5::text[])
            as new(target, resource, provider, tenant)
        on conflict do nothing)
    select target from gone union select unnest($2::text[])"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A published contract; `where` names the event or request that brought it."""

    key: str
    tenant: str
    document: dict[str, Any]
    normal: Normal
    where: Where


@dataclass(frozen=True, slots=True)
class Described:
    """A living asset with what is stored of it."""

    asset: str
    source: str
    spec: DataSource
    known: Known
    facts: tuple[Fact, ...]
    detected: Detected
    contract: str
    findings: tuple[Finding, ...]
    compared: int


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A submitted job and its tags."""

    document: dict[str, Any]
    origin: str
    digest: str
    tags: tuple[Tag, ...]
    conflicts: list[dict[str, str]]
    sequence: int
    skipped: list[dict[str, str]]
    said_at: datetime
    facts: tuple[Fact, ...] = ()


class Declarations:
    """The contracts' and jobs' part of a unit of work."""

    def __init__(self, connection: asyncpg.Connection, service: str) -> None:
        self._db, self._service = connection, service

    async def hold(self, tenants: Iterable[str], *, alone: bool) -> None:
        """Nobody changes these tenants' contracts until the commit; with `alone`, nobody reads them to derive tags either.

        To be called after the locks of keys, so that nobody waits in a circle.
        """
        numbers = sorted(lock_number(self._service, f"contracts of {tenant}") for tenant in set(tenants))
        lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        await self._db.execute(f"select {lock}(number) from unnest($1::bigint[]) as wanted(number)", numbers)

    async def contract(self, key: str) -> Stored | None:
        """The contract of this key."""
        row = await self._db.fetchrow("select * from data_contract where key = $1", key)
        return _stored(row) if row else None

    async def contracts(self, tenants: Iterable[str], assets: Iterable[str] | None = None) -> list[Stored]:
        """Contracts of these tenants by key: all, or those with an object that is called as one of the assets."""
        names = None if assets is None else sorted({each for asset in assets for each in spellings(asset)})
        rows = await self._db.fetch(
            "select * from data_contract where tenant = any($1) and ($2::text[] is null or names && $2) order by key",
            sorted(set(tenants)),
            names,
        )
        return [_stored(row) for row in rows]

    async def save(self, key: str, tenant: str, judged: JudgedContract, *, origin: str, said_at: datetime) -> bool:
        """Store a contract; False where a newer one is there."""
        normal = judged.contract
        assert normal
        contract = normal.contract
        names = {str(each[name]).casefold() for each in contract.get("schema") or () for name in ("name", "physicalName") if each.get(name)}
        row = (key, tenant, _text(judged.given), _text(contract), _text(normal.origins), list(normal.added), sorted(names), origin, said_at)
        return await self._db.fetchval(_SAVE, *row) is not None

    async def forget(self, key: str) -> None:
        """The contract is gone."""
        await self._db.execute("delete from data_contract where key = $1", key)

    async def described(self, contract: Normal, tenant: str, *, source: str = "") -> list[Described]:
        """Living assets that this contract describes, of the sources that it names, or of `source` (a key)."""
        found = await self._db.fetch(
            "select key, spec from source where key like $1 escape '\\'", _like(source) if source else f"{_like(encode(tenant))}/%"
        )
        specs = {row["key"]: DataSource.model_validate_json(row["spec"]) for row in found}
        wanted = [key for key, spec in specs.items() if source or is_of(contract.contract, spec)]
        rows = await self._db.fetch(_ASSETS, wanted) if wanted else ()
        return [_described(row, specs[row["source"]]) for row in rows if describes(contract.contract, row["asset"])]

    async def living(self, source: str) -> list[Described]:
        """All living assets of a source."""
        spec = await self._db.fetchval("select spec from source where key = $1", source)
        rows = await self._db.fetch(_ASSETS, [source]) if spec else ()
        return [_described(row, DataSource.model_validate_json(spec)) for row in rows]

    async def save_findings(self, compared: Sequence[tuple[str, str, tuple[Finding, ...], int]]) -> None:
        """Store (target, contract, findings, number of the comparison) of each asset."""
        if compared:
            rows = [
                (target, contract, _text([finding.as_dict() for finding in findings]), number)
                for target, contract, findings, number in compared
            ]
            await self._db.execute(
                """update asset set contract = new.contract, findings = new.findings::jsonb, compared = new.compared
                from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) as new(target, contract, findings, compared)
                where asset.target = new.target""",
                *zip(*rows, strict=True),
            )

    async def compared(self, targets: Sequence[str]) -> dict[str, tuple[str, tuple[Finding, ...], int]]:
        """Contract, findings and number of the last comparison of each of these assets."""
        rows = await self._db.fetch("select target, contract, findings, compared from asset where target = any($1)", targets)
        return {row["target"]: (row["contract"], _findings(row["findings"]), row["compared"]) for row in rows}

    async def job(self, key: str) -> StoredJob | None:
        """The job of this key, which nobody changes until the commit."""
        row = await self._db.fetchrow("select * from job_config where key = $1 for update", key)
        if row is None:
            return None
        told = tags_from(row["tags"]), orjson.loads(row["conflicts"]), row["sequence"], orjson.loads(row["skipped"]), row["said_at"]
        facts = tuple(Fact(*each) for each in orjson.loads(row["facts"]))
        return StoredJob(orjson.loads(row["document"]), row["origin"], row["digest"], *told, facts)

    async def save_job(
        self,
        key: str,
        tenant: str,
        document: dict[str, Any],
        derived: DerivedJob,
        *,
        origin: str,
        said_at: datetime,
        skipped: Sequence[Skipped] = (),
    ) -> bool:
        """Store a job with its tags and what of it carries none; False where a newer one is there."""
        row = (key, tenant, _text(document), origin, derived.digest, tags_text(derived.tags), conflicts_text(derived.conflicts), said_at)
        more = _text([each.as_dict() for each in skipped]), _text([list(fact) for fact in derived.facts])
        return await self._db.fetchval(_SAVE_JOB, *row, *more) is not None

    async def number_job(self, key: str, many: int) -> int:
        """The first of `many` new numbers for what is said of this job."""
        found: int = await self._db.fetchval("update job_config set sequence = sequence + $2 where key = $1 returning sequence", key, many)
        return found - many + 1

    async def place_job(self, key: str, resources: Sequence[Resource]) -> list[str]:
        """The job runs on these and on no others; returns the targets of those that it runs on now or ran on before."""
        rows = [(each.target, each.id, each.provider, each.tenant) for each in resources]
        columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
        return sorted(row["target"] for row in await self._db.fetch(_PLACE, key, *map(list, columns)))

    async def forget_job(self, key: str) -> None:
        """The job is gone; it runs on nothing already."""
        await self._db.execute("delete from job_config where key = $1", key)

    async def known_jobs(self, keys: Iterable[str]) -> list[str]:
        """Those of these keys that are jobs, by name."""
        rows = await self._db.fetch("select key from job_config where key = any($1) order by key", sorted(set(keys)))
        return [row["key"] for row in rows]

    async def jobs_on(self, target: str) -> list[JobHere]:
        """Each job that runs on this resource, with its asset's published contract. One that is none by today's rules is left out."""
        rows = await self._db.fetch(
            """select job_config.key, job_config.document, job_config.origin, facts, to_jsonb(data_contract)::text as contract
            from job_config join job_resource on job_resource.job = job_config.key
            left join data_contract on data_contract.key = job_config.key
            where job_resource.target = $1 order by 1""",
            target,
        )
        return [here for row in rows if (here := _here(row))]


def spellings(asset: str) -> set[str]:
    """How a contract may call this asset."""
    name = AssetName.parse(asset)
    return {each.casefold() for each in (name.table, f"{name.schema}.{name.table}", f"{name.database}.{name.schema}.{name.table}")}


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _stored(row: asyncpg.Record) -> Stored:
    normal = Normal(orjson.loads(row["contract"]), orjson.loads(row["origins"]), tuple(row["added"]))
    return Stored(row["key"], row["tenant"], orjson.loads(row["document"]), normal, Where(row["origin"]))


def _here(row: asyncpg.Record) -> JobHere | None:
    job = judge_job(orjson.loads(row["document"])).job
    contract = orjson.loads(row["contract"]) if row["contract"] else None
    if job is None:
        return None
    normal = (Normal(contract["contract"], contract["origins"], tuple(contract["added"])), Where(contract["origin"])) if contract else None
    return JobHere(row["key"], job, Where(row["origin"]), normal, [Fact(*each) for each in orjson.loads(row["facts"])])


def _described(row: asyncpg.Record, spec: DataSource) -> Described:
    facts = tuple(Fact(*each) for each in orjson.loads(row["facts"]))
    classes = tuple(ClassCount(**each) for each in orjson.loads(row["classes"]))
    regulations = tuple(fact.value for fact in facts if fact.kind == "regulation")
    encrypt = any(fact.kind == "obligation" and fact.value.startswith("encrypt") for fact in facts)
    detected = Detected(row["asset"], classes, regulations, encrypt)
    findings = _findings(row["findings"])
    return Described(row["asset"], row["source"], spec, known_of(row), facts, detected, row["contract"], findings, row["compared"])


def _findings(text: str) -> tuple[Finding, ...]:
    return tuple(Finding(**each) for each in orjson.loads(text))


def _text(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
