"""The connector's door for HTTP: try a source before it is saved, and how the saved ones do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.connector.domain.circuit import pressed
from services.connector.domain.health import Checks, Seen, health
from services.connector.domain.plan import DIAL, PERSON, plan
from services.connector.gateway import Dialler
from services.connector.store import Row, Store
from shared.bus.jobs import Jobs
from shared.bus.received import Cause
from shared.contracts.audit import AuditRecorded
from shared.contracts.names import SourceName
from shared.contracts.source import DataSource
from shared.errors import PurSightError
from shared.sources.failures import BY_CODE, failure_of
from shared.web.auth import actor_of
from shared.web.body import body_of
from shared.web.problems import problem

MAX_BODY_KIB = 64


def routes(store: Store, dialler: Dialler, jobs: Jobs) -> list[Route]:
    """Everything under /preflight and /health."""
    health = Health(store, jobs)
    return [
        Route("/preflight", Preflight(store, dialler).dial, methods=["POST"]),
        Route("/health/sources", health.list, methods=["GET"]),
        Route("/health/sources/{tenant}/{name:path}", health.show, methods=["GET"]),
        Route("/health/sources/{tenant}/{name:path}/check", health.check, methods=["POST"]),
    ]


class Preflight:
    """`{"source": {…}, "password": "…"}` -> what a dial finds. Nothing is saved; the password lives as long as the call."""

    def __init__(self, store: Store, dialler: Dialler) -> None:
        self._store, self._dialler = store, dialler

    async def dial(self, request: Request) -> Response:
        document = await body_of(request, most_kib=MAX_BODY_KIB)
        password = document.get("password")
        try:
            spec = DataSource.model_validate(document.get("source"))
        except ValidationError as error:
            return problem(422, "source_rejected", "This source has problems", problems=_problems(error))
        answer = await self.outcome(spec, password if isinstance(password, str) else None)
        await self._audit(spec, actor_of(request), bool(answer["reachable"]))
        return JSONResponse(answer)

    async def outcome(self, spec: DataSource, password: str | None) -> dict[str, Any]:
        """What a dial finds, or why there was none; never raises for what a source does."""
        try:
            wanted, probe = await self._dialler.probe(spec, password=password)
        except PurSightError as error:
            return {"reachable": False, "plan": plan(spec).model_dump(), "diagnosis": failure_of(error).diagnosis().model_dump()}
        return {
            "reachable": True,
            "plan": wanted.model_dump(),
            "server": probe.server.model_dump(),
            "privileges": probe.privileges.model_dump(),
            "posture": probe.posture.model_dump(),
            "warnings": [warning.model_dump() for warning in probe.warnings],
        }

    async def _audit(self, spec: DataSource, actor: str, reachable: bool) -> None:
        async with self._store.unit() as unit:
            entry = AuditRecorded(
                tenant=spec.tenant,
                actor=actor,
                action="source.preflight",
                object=spec.key,
                result="allowed" if reachable else "failed",
                service="connector",
            )
            unit.bus.emit(entry, key=spec.tenant, cause=Cause.new(tenant=spec.tenant))


def _problems(error: ValidationError) -> list[dict[str, str]]:
    """Field and kind of each problem; never the value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"field": ".".join(map(str, each["loc"])), "code": each["type"], "message": each["msg"]} for each in found]


class Health:
    """How every registered source does."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self._store, self._jobs = store, jobs

    async def list(self, request: Request) -> Response:
        return JSONResponse({"sources": [_shown(row) for row in await self._store.all()]})

    async def show(self, request: Request) -> Response:
        row = await self._store.source(_key(request))
        return JSONResponse(_shown(row)) if row else _no_such_source()

    async def check(self, request: Request) -> Response:
        """Dial now, whatever failed before. Answers with the health so far: the dial is over when `checked_at` moves."""
        key = _key(request)
        async with self._store.unit(keys=[key]) as unit:
            row = await unit.held(key)
            if row is None:
                return _no_such_source()
            await unit.look_again(row, pressed(row.circuit, unit.bus.now.timestamp()))
            await self._jobs.enqueue(unit.bus.connection, DIAL, key, "", unit.bus.now, PERSON, traceparent=row.traceparent)
            entry = AuditRecorded(
                tenant=row.tenant, actor=actor_of(request), action="source.check", object=key, result="allowed", service="connector"
            )
            unit.bus.emit(entry, key=row.tenant, cause=Cause.new(tenant=row.tenant))
        return JSONResponse(_shown(row), status_code=202)


def _key(request: Request) -> str:
    return SourceName(request.path_params["tenant"], request.path_params["name"]).key


def _no_such_source() -> Response:
    return problem(404, "unknown_source", "No source of this name is connected to yet", "See `pursight source list`.")


def _shown(row: Row) -> dict[str, Any]:
    checks = Checks(row.latencies, row.checks, row.failures, row.state == "connected")
    found = health(row.key, max(1, row.sequence), Seen(checks, row.past, row.known, row.circuit.state, datetime.now(UTC).timestamp()))
    waits = row.circuit.state == "open"
    return {
        **found.model_dump(exclude={"sequence", "status"}),
        "version": row.version,
        "state": row.state,
        "health": row.health,
        "code": row.code,
        "diagnosis": BY_CODE[row.code].diagnosis().model_dump() if row.code in BY_CODE else None,
        "attempts": row.circuit.failures,
        "retries_left": round(max(0.0, row.circuit.retries), 1),
        "dialled_again_at": datetime.fromtimestamp(row.circuit.until, UTC).isoformat() if waits else None,
        "checked_at": row.checked_at.isoformat() if row.checked_at else None,
        "looked_at_in_full": row.probed_at.isoformat() if row.probed_at else None,
    }
