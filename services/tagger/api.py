"""The tagger's door for HTTP: plans, resources, apply and its dry run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.tagger.declarations import keep_job, plan_job, withdraw_job
from services.tagger.domain.compare import compare, detected_contract
from services.tagger.domain.declared import Where
from services.tagger.domain.house import House
from services.tagger.domain.job import DerivedJob
from services.tagger.domain.odcs import JudgedContract, Shape, judge_contract
from services.tagger.domain.placed import placed
from services.tagger.domain.resource import derive_resource
from services.tagger.gateway.clouds import Clouds
from services.tagger.store import Store, views
from shared.bus.jobs import Jobs
from shared.bus.received import Cause
from shared.contracts.job import job_schema
from shared.contracts.judging.job import JudgedJob, judge_job
from shared.contracts.names import SourceName
from shared.contracts.rules import ContractPublished
from shared.contracts.source import Problem
from shared.contracts.tags import Tag
from shared.errors import UsageError
from shared.web.auth import actor_of
from shared.web.body import body_of
from shared.web.guard import check, narrowed
from shared.web.problems import problem

DEFAULT_PAGE = 100


def routes(store: Store, jobs: Jobs, clouds: Clouds, house: House, shape: Shape) -> list[Route]:
    """Everything under /plans, /resources, /jobs and /contracts. A target is written into the path as it is, its slashes too."""
    plans, resources = Plans(store), Resources(store, jobs, clouds, house)
    configs, contracts = JobConfigs(store, jobs, house), Contracts(store, shape)
    return [
        Route("/plans", plans.list, methods=["GET"]),
        Route("/plans/{target:path}", plans.show, methods=["GET"]),
        Route("/resources", resources.list, methods=["GET"]),
        Route("/resources/{target:path}/apply", resources.apply, methods=["POST"]),
        Route("/resources/{target:path}", resources.show, methods=["GET"]),
        Route("/jobs", configs.submit, methods=["POST"]),
        Route("/jobs/check", configs.check, methods=["POST"]),
        Route("/jobs/schema", configs.schema, methods=["GET"]),
        Route("/jobs/{tenant}/{asset:path}", configs.show, methods=["GET"]),
        Route("/jobs/{tenant}/{asset:path}", configs.withdraw, methods=["DELETE"]),
        Route("/contracts", contracts.publish, methods=["POST"]),
        Route("/contracts/check", contracts.check, methods=["POST"]),
        Route("/contracts/compare", contracts.compare, methods=["POST"]),
        Route("/contracts/{tenant}/{name:path}/detected", contracts.detected, methods=["GET"]),
        Route("/contracts/{tenant}/{name:path}", contracts.show, methods=["GET"]),
    ]


def _target(request: Request, *, suffix: str = "") -> str:
    """The target as it is spelled in the address: Starlette has decoded it, but its escapes belong to the name."""
    raw = request.scope["raw_path"].decode("ascii").partition("?")[0]
    return str(raw.split("/", 2)[2]).removesuffix(suffix)


def _page(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_PAGE))
    if not text.isdecimal() or not 1 <= int(text) <= views.MAX_PAGE:
        raise UsageError("limit is not a number in range", why=f"1 to {views.MAX_PAGE} are possible", code="limit_invalid")
    return int(text)


def _not_found() -> Response:
    return problem(404, "unknown_target", "No tags are known for this target", "See `pursight tags list`.")


class Plans:
    """Which tags each target must carry, and why."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, request: Request) -> Response:
        """By `source` and `asset`; `after` goes on behind a target, `limit` is at most 1,000."""
        wanted = {name: request.query_params.get(name, "") for name in ("asset", "after")} | {
            "source": narrowed(request, "tags.read") or ""
        }
        limit = _page(request)
        found = await views.plans(self._store.pool, **wanted, limit=limit)
        return JSONResponse({"plans": found, "after": found[-1]["target"] if len(found) == limit else None})

    async def show(self, request: Request) -> Response:
        found = await views.plans(self._store.pool, target=_target(request))
        return JSONResponse(found[0]) if found else _not_found()


class Resources:
    """What became of the tags on cloud resources."""

    def __init__(self, store: Store, jobs: Jobs, clouds: Clouds, house: House) -> None:
        self._store, self._jobs, self._clouds, self._house = store, jobs, clouds, house

    async def list(self, request: Request) -> Response:
        """By `source`; `after` goes on behind a target, `limit` is at most 1,000."""
        wanted = {"after": request.query_params.get("after", ""), "source": narrowed(request, "tags.read") or ""}
        limit = _page(request)
        found = await views.resources(self._store.pool, **wanted, limit=limit)
        return JSONResponse({"resources": found, "after": found[-1]["target"] if len(found) == limit else None})

    async def show(self, request: Request) -> Response:
        found = await views.resources(self._store.pool, target=_target(request))
        return JSONResponse(found[0]) if found else _not_found()

    async def apply(self, request: Request) -> Response:
        """Apply again, as a job; with `?dry_run=true` only tell what would change."""
        target = _target(request, suffix="/apply")
        if request.query_params.get("dry_run", "").lower() in ("true", "1", "yes"):
            return await self._compare(target)
        async with self._store.unit(keys=[target]) as unit:
            state = await unit.state(target)
            if state is None:
                return _not_found()
            cause = Cause.new(tenant=state.resource.tenant)
            await unit.reasons.ask(state.source or state.job, target, scan_id="", cause=cause, kind="asked")
            await unit.enqueue(self._jobs, [target])
            unit.bus.audit(cause.tenant, actor_of(request), "tags.apply", target, cause, detail="asked for")
        return JSONResponse({"target": target, "trace_id": cause.trace_id}, status_code=202)

    async def _compare(self, target: str) -> Response:
        async with self._store.unit() as unit:
            state, now = await unit.state(target), unit.bus.now
        if state is None:
            return _not_found()
        derived = derive_resource(state, now=now, trace_id="", cause="dry run", house=self._house)
        change = await self._clouds.compare(derived.wish)
        body: dict[str, Any] = {"write": change.write, "remove": list(change.remove), "kept": change.kept}
        body |= {"held_by_others": list(change.conflicts), "left_out": list(change.left_out)}
        return JSONResponse({"target": target, **body, "drifted": list(change.drifted), "let_be": list(change.let_be)})


CONTRACT_KIB = 2048


def _refused(kind: str, problems: Sequence[Problem]) -> Response:
    """Every problem by field."""
    return problem(
        422, f"{kind}_rejected", f"{len(problems)} problem(s) with this {kind}", problems=[each.model_dump() for each in problems]
    )


def _key(request: Request, name: str) -> str:
    return SourceName(request.path_params["tenant"], request.path_params[name]).key


class JobConfigs:
    """Jobs: judged, planned, kept. `${VAR}` is for who reads a file: a body has no variables."""

    def __init__(self, store: Store, jobs: Jobs, house: House) -> None:
        self._store, self._jobs, self._house = store, jobs, house

    async def schema(self, _: Request) -> Response:
        """The JSON Schema of a job."""
        return JSONResponse(job_schema(), media_type="application/schema+json")

    async def check(self, request: Request) -> Response:
        """Validate only; nothing is kept."""
        judged = await self._judged(request, "job.validate")
        if judged.job is None:
            return _refused("job", judged.problems)
        return JSONResponse({"job": judged.job.model_dump(mode="json", exclude_unset=True), "key": judged.key})

    async def submit(self, request: Request) -> Response:
        """Keep a job and answer its tags; with `?dry_run=true` only tell them, and what would change."""
        judged = await self._judged(request, "job.submit")
        if judged.job is None:
            return _refused("job", judged.problems)
        cause = Cause.new(tenant=judged.job.tenant_id)
        dry = request.query_params.get("dry_run", "").lower() in ("true", "1", "yes")
        async with self._store.unit(keys=[judged.key]) as unit:
            before = await unit.declarations.job(judged.key)
            where = Where("dry run" if dry else f"request:{cause.id}")
            if dry:
                derived = await plan_job(unit, judged.job, judged.key, where, cause, self._house)
            else:
                derived, targets = await keep_job(unit, judged, where, cause, self._house, said_at=unit.bus.now)
                await unit.enqueue(self._jobs, targets)
                unit.bus.audit(cause.tenant, actor_of(request), "job.submit", judged.key, cause, *_result(derived))
        if derived.problems:
            return _refused("job", derived.problems)
        resources, skipped = placed(judged.job)
        runs_on = {"resources": [each.target for each in resources], "skipped": [each.as_dict() for each in skipped]}
        body = {"job": judged.key, **_plan(derived), "change": _change(before.tags if before else (), derived.tags), **runs_on}
        return JSONResponse({**body, "trace_id": cause.trace_id}, status_code=200 if dry or before else 201)

    async def withdraw(self, request: Request) -> Response:
        """Forget a job. What it runs on loses the tags that only it called for."""
        key = _key(request, "asset")
        cause = Cause.new(tenant=SourceName.parse(key).tenant)
        async with self._store.unit(keys=[key]) as unit:
            targets = await withdraw_job(unit, key, cause)
            if targets is None:
                return problem(
                    404, "unknown_job", "No job of this name was submitted", "Submit it: `pursight tags submit FILE`, or POST /jobs."
                )
            await unit.enqueue(self._jobs, targets)
            unit.bus.audit(cause.tenant, actor_of(request), "job.submit", key, cause, detail="withdrawn")
        return JSONResponse({"job": key, "resources": targets, "trace_id": cause.trace_id}, status_code=202)

    async def show(self, request: Request) -> Response:
        """A job with its tags, and what became of them on each resource that it names."""
        key = _key(request, "asset")
        async with self._store.unit() as unit:
            found = await unit.declarations.job(key)
        if found is None:
            return problem(
                404, "unknown_job", "No job of this name was submitted", "Submit it: `pursight tags submit FILE`, or POST /jobs."
            )
        tags = [tag.model_dump() for tag in found.tags]
        body = {"job": key, "config": found.document, "from": found.origin, "tags": tags, "digest": found.digest}
        runs_on = {"resources": await views.resources(self._store.pool, job=key, limit=views.MAX_PAGE), "skipped": found.skipped}
        return JSONResponse({**body, "conflicts": found.conflicts, **runs_on})

    async def _judged(self, request: Request, action: str) -> JudgedJob:
        judged = judge_job(await body_of(request))
        name = SourceName.parse(judged.key)
        check(request, action, name.tenant, name.name)
        return judged


def _result(derived: DerivedJob) -> tuple[str, str]:
    """For the ledger: whether the job was kept, and why not."""
    return ("failed", ", ".join(sorted({each.code for each in derived.problems}))) if derived.problems else ("allowed", "")


def _plan(derived: DerivedJob) -> dict[str, Any]:
    conflicts = [{"key": each.key, "reason": each.reason, "origin": each.origin} for each in derived.conflicts]
    return {"tags": [tag.model_dump() for tag in derived.tags], "conflicts": conflicts, "digest": derived.digest}


def _change(before: Sequence[Tag], now: Sequence[Tag]) -> dict[str, Any]:
    """What differs: keys with their new values, and keys that are gone."""
    old, new = ({tag.key: tag.value for tag in tags} for tags in (before, now))
    return {"write": {key: value for key, value in new.items() if old.get(key) != value}, "remove": sorted(old.keys() - new.keys())}


class Contracts:
    """Data contracts: judged, published, shown, compared with what scans found."""

    def __init__(self, store: Store, shape: Shape) -> None:
        self._store, self._shape = store, shape

    async def check(self, request: Request) -> Response:
        """Validate only; answers the contract in valid ODCS."""
        judged = await self._judged(request, await body_of(request, most_kib=CONTRACT_KIB), "contract.validate")
        if judged.contract is None:
            return _refused("contract", judged.problems)
        return JSONResponse({"key": judged.key, "contract": judged.contract.contract, "filled_in": list(judged.contract.added)})

    async def publish(self, request: Request) -> Response:
        """Say contract.published, as an upstream would."""
        document = await body_of(request, most_kib=CONTRACT_KIB)
        judged = await self._judged(request, document, "contract.publish")
        if judged.contract is None:
            return _refused("contract", judged.problems)
        cause = Cause.new(tenant=SourceName.parse(judged.key).tenant)
        async with self._store.unit(keys=[judged.key]) as unit:
            unit.bus.emit(ContractPublished.model_validate(document), key=judged.key, cause=cause)
            unit.bus.audit(cause.tenant, actor_of(request), "contract.publish", judged.key, cause)
        return JSONResponse({"contract": judged.key, "trace_id": cause.trace_id}, status_code=202)

    async def compare(self, request: Request) -> Response:
        """Findings of a contract that need not be published, on the sources that it names, or on `source`: {"contract": …, "source": …}."""
        body = await body_of(request, most_kib=CONTRACT_KIB)
        document, source = body.get("contract"), str(body.get("source") or "")
        judged = await self._judged(request, document if isinstance(document, dict) else {}, "tags.read", source)
        if judged.contract is None:
            return _refused("contract", judged.problems)
        async with self._store.unit() as unit:
            found = await unit.declarations.described(judged.contract, SourceName.parse(judged.key).tenant, source=source)
        findings = compare(judged.contract, [each.detected for each in found])
        return JSONResponse({"assets": [each.asset for each in found], "findings": [each.as_dict() for each in findings]})

    async def show(self, request: Request) -> Response:
        """A published contract in valid ODCS, and as it was written."""
        key = _key(request, "name")
        async with self._store.unit() as unit:
            found = await unit.declarations.contract(key)
        if found is None:
            return problem(404, "unknown_contract", "No contract of this id was published", "Give its file instead.")
        return JSONResponse({"key": key, "contract": found.normal.contract, "document": found.document, "from": found.where.name})

    async def detected(self, request: Request) -> Response:
        """What scans found in a source, as a contract in ODCS 3.1."""
        async with self._store.unit() as unit:
            found = await unit.declarations.living(_key(request, "name"))
        if not found:
            return problem(404, "nothing_detected", "Nothing is known of this source", "Scan it first.")
        return JSONResponse({"contract": detected_contract(found[0].spec, [each.detected for each in found])})

    async def _judged(self, request: Request, document: dict[str, Any], action: str, source: str = "") -> JudgedContract:
        """Judged off the event loop: the standard's schema takes its time. Raises Denied."""
        judged = await asyncio.to_thread(judge_contract, document, shape=self._shape)
        name = SourceName.parse(judged.key)
        check(request, action, name.tenant, name.name)
        if source:
            check(request, action, unquote(source.partition("/")[0]), source)
        return judged
