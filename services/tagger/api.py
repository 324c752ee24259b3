"""The tagger's door for HTTP: plans, resources, apply and its dry run."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.tagger.domain.privacy import Scrub
from services.tagger.domain.resource import derive_resource
from services.tagger.gateway.clouds import Clouds
from services.tagger.store import Store, views
from shared.bus.jobs import Jobs
from shared.bus.received import Cause
from shared.contracts.audit import AuditRecorded
from shared.errors import UsageError
from shared.web.auth import actor_of
from shared.web.guard import narrowed
from shared.web.problems import problem

DEFAULT_PAGE = 100


def routes(store: Store, jobs: Jobs, clouds: Clouds, personal: Scrub) -> list[Route]:
    """Everything under /plans and /resources. A target is written into the path as it is, its slashes too."""
    plans, resources = Plans(store), Resources(store, jobs, clouds, personal)
    return [
        Route("/plans", plans.list, methods=["GET"]),
        Route("/plans/{target:path}", plans.show, methods=["GET"]),
        Route("/resources", resources.list, methods=["GET"]),
        Route("/resources/{target:path}/apply", resources.apply, methods=["POST"]),
        Route("/resources/{target:path}", resources.show, methods=["GET"]),
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
    return problem(404, "unknown_target", "No tags are known for this target", "See GET /plans and GET /resources for those that are.")


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

    def __init__(self, store: Store, jobs: Jobs, clouds: Clouds, personal: Scrub) -> None:
        self._store, self._jobs, self._clouds, self._personal = store, jobs, clouds, personal

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
            await unit.reasons.ask(state.source, target, scan_id="", cause=cause)
            await unit.enqueue(self._jobs, [target])
            entry = AuditRecorded(
                tenant=cause.tenant, actor=actor_of(request), action="tags.ask", object=target, result="allowed", service="tagger"
            )
            unit.bus.emit(entry, key=cause.tenant, cause=cause)
        return JSONResponse({"target": target, "trace_id": cause.trace_id}, status_code=202)

    async def _compare(self, target: str) -> Response:
        async with self._store.unit() as unit:
            state, now = await unit.state(target), unit.bus.now
        if state is None:
            return _not_found()
        derived = derive_resource(state, now=now, trace_id="", cause="dry run", personal=self._personal)
        change = await self._clouds.compare(derived.wish)
        body: dict[str, Any] = {"write": change.write, "remove": list(change.remove), "kept": change.kept}
        return JSONResponse({"target": target, **body, "held_by_others": list(change.conflicts), "left_out": list(change.left_out)})
