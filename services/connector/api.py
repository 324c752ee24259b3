"""The connector's door for HTTP: try a source before it is saved, and how the saved ones do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.connector.domain.health import health
from services.connector.domain.plan import DIAL, PERSON, tried, where
from services.connector.gateway import Dialler, Limits
from services.connector.store import Row, Store
from shared.bus.jobs import Jobs
from shared.bus.received import Cause
from shared.contracts.choices import explain
from shared.contracts.connection import Diagnosis
from shared.contracts.judging.hostile import shown
from shared.contracts.judging.source import codes_of, judge, named
from shared.contracts.names import SourceName
from shared.contracts.source import DataSource, Problem
from shared.sources.failures import why_of
from shared.sources.gates import GATES, Report
from shared.web.auth import actor_of
from shared.web.body import body_of
from shared.web.guard import check, visible
from shared.web.problems import problem

MAX_BODY_KIB = 64
MAX_PASSWORD = 4096  # characters
MOST_SECONDS = {"connect_seconds": 50.0, "statement_seconds": 50.0, "preflight_seconds": 50.0}  # a person waits for the answer
MOST_OTHERS = 5  # replicas that are tried besides
_FIELDS = ("source", "password", *MOST_SECONDS)


def routes(store: Store, jobs: Jobs, preflight: Preflight) -> list[Route]:
    """Everything under /preflight and /health."""
    health = Health(store, jobs)
    return [
        Route("/preflight", preflight.dial, methods=["POST"]),
        Route("/health/sources", health.list, methods=["GET"]),
        Route("/health/sources/{tenant}/{name:path}", health.show, methods=["GET"]),
        Route("/health/sources/{tenant}/{name:path}/check", health.check, methods=["POST"]),
    ]


class Preflight:
    """`{"source": {…}, "password": "…", "connect_seconds": …}` -> what each gate says. Nothing is saved; the password lives as long as
    the call."""

    def __init__(self, store: Store, dialler: Dialler, limits: Limits, at_once: int) -> None:
        self._store, self._dialler, self._limits, self._turn = store, dialler, limits, asyncio.Semaphore(at_once)

    async def dial(self, request: Request) -> Response:
        document = await body_of(request, most_kib=MAX_BODY_KIB)
        limits, problems = asked_for(document, self._limits)
        source = document.get("source")
        judged = judge(source if isinstance(source, dict) else {})
        about = SourceName.parse(judged.spec.key if judged.spec else named(source if isinstance(source, dict) else {}))
        check(request, "source.validate", about.tenant, about.key)
        if problems or judged.spec is None:
            await self._audit(about, actor_of(request), "failed", codes_of((*problems, *judged.problems)))
            if not isinstance(source, dict):
                return problem(422, "source_rejected", "There is no source in this request", 'Send {"source": {…}}.')
            found = [each.model_dump() for each in (*problems, *judged.problems)]
            return problem(422, "source_rejected", f"{len(found)} problem(s) with this request", problems=found, notes=list(judged.notes))
        answer = await self.outcome(judged.spec, document.get("password"), limits)
        await self._audit(
            about, actor_of(request), "allowed" if answer["reachable"] else "failed", (answer["diagnosis"] or {}).get("code", "")
        )
        return JSONResponse(answer | {"notes": list(judged.notes)})

    async def outcome(self, spec: DataSource, password: str | None, limits: Limits) -> dict[str, Any]:
        """What the gates of each endpoint say; never raises for what a source does."""
        began, every = monotonic(), tried(spec)
        ends, left = every[: 1 + MOST_OTHERS], every[1 + MOST_OTHERS :]
        async with self._turn:
            walks = (self._dialler.preflight(source, end, limits, password=password) for source, end in ends)
            first, *others = await asyncio.gather(*walks)
        told = [
            {"role": end.role, "host": end.host, "port": end.port} | _gates(report)
            for report, (_, end) in zip(others, ends[1:], strict=True)
        ]
        unseen = [where(end) for _, end in left] + ([f"the members that the seed list of {spec.host} names"] if spec.srv else [])
        plan = {"plan": ends[0][1].model_dump(), "why": [answer._asdict() for answer in explain(spec)]}
        seconds = round(monotonic() - began, 3)
        return _facts(first) | _gates(first) | plan | {"others": told, "not_looked_at": unseen, "seconds": seconds}

    async def _audit(self, about: SourceName, actor: str, result: str, codes: str) -> None:
        async with self._store.unit() as unit:
            cause, told = Cause.new(tenant=about.tenant), f"preflight: {codes}".removesuffix(": ")
            unit.bus.audit(about.tenant, actor, "source.validate", about.key, cause, result, told)


def asked_for(document: dict[str, Any], usual: Limits) -> tuple[Limits, list[Problem]]:
    """The time limits of this request, and what is wrong with it besides its source; no value is repeated."""
    wrong = [
        Problem(field=shown(name), code="unknown_field", message="is not a field of a preflight", remedy=f"It has {', '.join(_FIELDS)}.")
        for name in document
        if name not in _FIELDS
    ]
    password = document.get("password")
    if password is not None and (not isinstance(password, str) or len(password) > MAX_PASSWORD):
        wrong.append(Problem(field="password", code="invalid", message=f"is not a text of at most {MAX_PASSWORD} characters"))
    given = {}
    for name, most in MOST_SECONDS.items():
        value = document.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            wrong.append(Problem(field=name, code="invalid", message=f"is not a number of seconds above 0, up to {most:g}"))
        else:
            given[name] = float(value)
    return replace(usual, **given), wrong


def _gates(report: Report) -> dict[str, Any]:
    shut = report.failure
    return {
        "reachable": report.reachable,
        "gates": [{**gate._asdict(), "asks": GATES[gate.name]} for gate in report.gates],
        "addresses": [address._asdict() for address in report.addresses],
        "diagnosis": Diagnosis(code=shut.code, cause=shut.cause, remedy=shut.remedy).model_dump() if shut else None,
    }


def _facts(report: Report) -> dict[str, Any]:
    if report.probe is None:
        return {}
    server, privileges, posture, warnings = report.probe
    facts = {"server": server.model_dump(), "privileges": privileges.model_dump(), "posture": posture.model_dump()}
    return {**facts, "warnings": [warning.model_dump() for warning in warnings]}


class Health:
    """How every registered source does."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self._store, self._jobs = store, jobs

    async def list(self, request: Request) -> Response:
        rows = visible(request, "health.read", await self._store.all(), lambda row: (row.tenant, row.key))
        return JSONResponse({"sources": [_shown(row) for row in rows]})

    async def show(self, request: Request) -> Response:
        row = await self._store.source(key_of(request))
        return JSONResponse(_shown(row)) if row else no_such_source()

    async def check(self, request: Request) -> Response:
        """Dial now, whatever failed before. Answers with the health so far: the dial is over when `checked_at` moves."""
        key = key_of(request)
        async with self._store.unit(keys=[key]) as unit:
            row = await unit.held(key)
            if row is None:
                return no_such_source()
            await unit.look_again(key)
            await self._jobs.enqueue(unit.bus.connection, DIAL, key, "", unit.bus.now, PERSON, traceparent=row.traceparent)
            cause = Cause.new(tenant=row.tenant)
            unit.bus.audit(row.tenant, actor_of(request), "source.validate", key, cause, detail="dialled at once")
        return JSONResponse(_shown(row), status_code=202)


def key_of(request: Request) -> str:
    """The source that the path names."""
    return SourceName(request.path_params["tenant"], request.path_params["name"]).key


def no_such_source() -> Response:
    """404, because nothing is known of it here."""
    return problem(404, "unknown_source", "No source of this name is connected to yet", "See `pursight source list`.")


def _shown(row: Row) -> dict[str, Any]:
    why = why_of(row.code)
    found = health(row.key, max(1, row.sequence), row.seen(datetime.now(UTC), why))
    waits = row.circuit.state == "open"
    return {
        **found.model_dump(exclude={"sequence"}),
        "version": row.version,
        "state": row.state,
        "health": row.health,
        "code": row.code,
        "diagnosis": why.model_dump() if why else None,
        "attempts": row.circuit.failures,
        "retries_left": round(max(0.0, row.circuit.retries), 1),
        "dialled_again_at": datetime.fromtimestamp(row.circuit.until, UTC).isoformat() if waits else None,
        "tls": {"version": row.known.tls_version, "issuer": row.known.tls_issuer},
        "pooler": row.known.pooler,
        "checked_at": row.checked_at.isoformat() if row.checked_at else None,
        "looked_at_in_full": row.probed_at.isoformat() if row.probed_at else None,
    }
