"""The registry's door for HTTP: sources, scans, secrets, audit."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.registry.domain.ledger import Entry, Verdict, csv_rows
from services.registry.gateway import Anchors, OwnSecrets
from services.registry.store import Row, Store, Wanted
from shared.access.gate import denied
from shared.access.proof import Proofs
from shared.bus.unit import Cause
from shared.contracts.choices import explain
from shared.contracts.document import published_schema
from shared.contracts.judging.allowed import ANY, Allowed
from shared.contracts.judging.source import Judged, codes_of, judge, named
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.contracts.scan import ScanRequested
from shared.contracts.source import Scope
from shared.errors import UsageError
from shared.secrets.vault import LocalVault
from shared.web.auth import actor_of
from shared.web.body import body_of
from shared.web.guard import check, seen, visible
from shared.web.problems import problem

MAX_ENTRIES = 1000
CONFLICT = "version_conflict"


def routes(store: Store, vault: LocalVault, own: OwnSecrets, proofs: Proofs, anchors: Anchors, allowed: Allowed = ANY) -> list[Route]:
    """Everything under /sources, /scans, /secrets and /audit."""
    sources, secrets = Sources(store, own, proofs, allowed), Secrets(store, vault)
    audit = Audit(store, anchors)
    return [
        Route("/sources", sources.list, methods=["GET"]),
        Route("/sources", sources.register, methods=["POST"]),
        Route("/sources/check", sources.check, methods=["POST"]),
        Route("/sources/explain", sources.explain, methods=["POST"]),
        Route("/sources/schema", sources.schema, methods=["GET"]),
        Route("/sources/{tenant}/{name:path}", sources.show, methods=["GET"]),
        Route("/sources/{tenant}/{name:path}", sources.remove, methods=["DELETE"]),
        Route("/scans", sources.scan, methods=["POST"]),
        Route("/audit/{tenant}", audit.show, methods=["GET"]),
        Route("/audit/{tenant}/verify", audit.verify, methods=["GET"]),
        Route("/audit/{tenant}/export", audit.export, methods=["GET"]),
        Route("/secrets", secrets.list, methods=["GET"]),
        Route("/secrets/{name:path}", secrets.put, methods=["PUT"]),
        Route("/secrets/{name:path}", secrets.remove, methods=["DELETE"]),
    ]


def shown(row: Row) -> dict[str, Any]:
    """A source as the outside sees it; it holds references to secrets only."""
    return {
        "source": row.key,
        "version": row.version,
        "spec": row.spec.model_dump(mode="json", exclude_defaults=True),
        "notes": list(row.notes),
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


def refused(judged: Judged) -> Response:
    """Every problem by field."""
    found = [item.model_dump() for item in judged.problems]
    return problem(422, "source_rejected", f"{len(found)} problem(s) with this source", problems=found, notes=list(judged.notes))


class Sources:
    """Register, look, remove, scan."""

    def __init__(self, store: Store, own: OwnSecrets, proofs: Proofs, allowed: Allowed) -> None:
        self._store, self._own, self._proofs, self._allowed = store, own, proofs, allowed

    async def list(self, request: Request) -> Response:
        rows = await self._store.sources(request.query_params.get("tenant"))
        return JSONResponse({"sources": [shown(row) for row in visible(request, "source.read", rows, lambda row: _about(row.key))]})

    async def check(self, request: Request) -> Response:
        """Validate only; nothing is kept."""
        judged = await self._judged(request, "check")
        if not judged.spec:
            return refused(judged)
        return JSONResponse({"spec": judged.spec.model_dump(mode="json", exclude_defaults=True), "notes": list(judged.notes)})

    async def explain(self, request: Request) -> Response:
        """What the choices in a source lead to, each with its reason; nothing is kept."""
        judged = await self._judged(request, "explain")
        if not judged.spec:
            return refused(judged)
        return JSONResponse({"answers": [answer._asdict() for answer in explain(judged.spec)], "notes": list(judged.notes)})

    async def _judged(self, request: Request, way: str) -> Judged:
        """The source in the body, judged, where who asks may have it judged; the ledger has it. Raises Denied."""
        judged = judge(document := await body_of(request), self._allowed)
        key = judged.spec.key if judged.spec else named(document)
        check(request, "source.validate", *_about(key))
        cause, result = Cause.new(tenant=_about(key)[0]), "allowed" if judged.spec else "failed"
        async with self._store.unit() as unit:
            detail = f"{way}: {codes_of(judged.problems)}".removesuffix(": ")
            unit.bus.audit(cause.tenant, actor_of(request), "source.validate", key, cause, result, detail)
        return judged

    async def schema(self, _: Request) -> Response:
        """The JSON Schema of a source document."""
        return JSONResponse(published_schema(), media_type="application/schema+json")

    async def register(self, request: Request) -> Response:
        """Idempotent by name. With `If-Match: VERSION` or `If-None-Match: *`, refused (412) where somebody was faster."""
        judged = judge(document := await body_of(request), self._allowed)
        key = judged.spec.key if judged.spec else named(document)
        cause = Cause.new(tenant=_about(key)[0])
        async with self._store.unit(keys=[key]) as unit:
            before = await unit.get(key)
            current = before.version if before and not before.removed else 0
            action = "source.update" if current else "source.create"
            _check_change(request, action, key)
            if not judged.spec:
                unit.bus.audit(cause.tenant, actor_of(request), action, key, cause, "failed", codes_of(judged.problems))
                return refused(judged)
            if conflict := _conflict(request, current):
                unit.bus.audit(cause.tenant, actor_of(request), action, key, cause, "failed", CONFLICT)
                return conflict
            row = await unit.register(judged.spec, judged.notes, actor=actor_of(request), cause=cause)
        answer = {**shown(row), "notes": list(judged.notes), "changed": row.version != current, "trace_id": cause.trace_id}
        return JSONResponse(answer, status_code=201 if current == 0 else 200, headers=_etag(row))

    async def show(self, request: Request) -> Response:
        key = _key(request)
        row = await self._store.get(key)
        if row is None:
            return _no_such_source()
        return JSONResponse({**shown(row), "versions": await self._store.versions(key)}, headers=_etag(row))

    async def remove(self, request: Request) -> Response:
        """Say that it is gone; every service then drains and forgets. With `If-Match: VERSION`, refused where it changed since."""
        key, cause = _key(request), Cause.new(tenant=request.path_params["tenant"])
        async with self._store.unit(keys=[key]) as unit:
            before = await unit.get(key)
            if before and not before.removed and (conflict := _conflict(request, before.version)):
                unit.bus.audit(cause.tenant, actor_of(request), "source.delete", key, cause, "failed", CONFLICT)
                return conflict
            if row := await unit.remove(key, actor=actor_of(request), cause=cause):
                await self._own.let_go(unit.bus.connection, row.spec)
        return JSONResponse({"removed": key, "trace_id": cause.trace_id}, status_code=202) if row else _no_such_source()

    async def scan(self, request: Request) -> Response:
        """Ask for a scan of a registered source."""
        document = await body_of(request)
        key = str(document.get("source", ""))
        check(request, "source.discover", *_about(key))
        row = await self._store.get(key)
        if row is None:
            return _no_such_source()
        wanted = ScanRequested(
            source=key,
            scope=_scope(document.get("scope") or {}),
            mode="full" if document.get("mode") == "full" else "incremental",
            priority="person",
            reason="asked by a person",
        )
        cause = Cause.new(tenant=row.spec.tenant)
        async with self._store.unit(keys=[key]) as unit:
            event = unit.ask_scan(wanted, actor=request.scope["actor"], proofs=self._proofs, cause=cause)
        return JSONResponse({"request_id": event, "trace_id": cause.trace_id}, status_code=202)


class Audit:
    """The ledger, and whether it is whole."""

    def __init__(self, store: Store, anchors: Anchors) -> None:
        self._store, self._anchors = store, anchors

    async def show(self, request: Request) -> Response:
        """The newest entries, the newest first."""
        entries = await self._store.newest(request.path_params["tenant"], _limit(request))
        return JSONResponse({"entries": [entry.document() for entry in entries]})

    async def verify(self, request: Request) -> Response:
        """Whether every entry is as it was written, in its place, and none is missing; by the chain, and by the anchor on the broker."""
        tenant, verdict = request.path_params["tenant"], Verdict()
        anchor = await self._anchors.newest(tenant)
        async for entries in self._store.ledger(tenant):
            verdict.look(entries, anchor)
        verdict.end(anchor)
        told = {"tenant": tenant, "entries": verdict.entries, "head": verdict.head, "anchored": anchor.number if anchor else 0}
        return JSONResponse({**told, "whole": verdict.fault is None, "first_fault": verdict.fault, "why": verdict.why})

    async def export(self, request: Request) -> Response:
        """Entries as JSON lines, or with `format=csv` as a table; `since` and `until` (ISO 8601), `actor`, `object` narrow them."""
        given, tenant = request.query_params, request.path_params["tenant"]
        wanted = Wanted(_moment(request, "since"), _moment(request, "until"), given.get("actor", ""), given.get("object", ""))
        parts = self._store.ledger(tenant, wanted)
        if given.get("format") == "csv":
            return StreamingResponse(_table(parts), media_type="text/csv")
        return StreamingResponse(_lines(parts), media_type="application/jsonl")


async def _lines(parts: AsyncIterator[list[Entry]]) -> AsyncIterator[str]:
    async for entries in parts:
        yield "".join(json.dumps(entry.document(), ensure_ascii=False) + "\n" for entry in entries)


async def _table(parts: AsyncIterator[list[Entry]]) -> AsyncIterator[str]:
    yield csv_rows((), head=True)
    async for entries in parts:
        yield csv_rows(entries, head=False)


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name, "").replace(" ", "+")
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"{name} is not a time", remedy="Write it as 2026-01-31 or 2026-01-31T12:00:00+01:00.", code="bad_time") from None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


class Secrets:
    """The local secret store: values go in, only names come out."""

    def __init__(self, store: Store, vault: LocalVault) -> None:
        self._store, self._vault = store, vault

    async def list(self, request: Request) -> Response:
        return JSONResponse({"secrets": self._vault.names()})

    async def put(self, request: Request) -> Response:
        value = (await body_of(request)).get("value")
        if not isinstance(value, str) or not value:
            raise UsageError("a secret needs a value", remedy='Send {"value": "…"}.', code="secret_empty")
        self._vault.put(request.path_params["name"], value)
        await self._audit(request, "secret.write")
        return JSONResponse({"reference": f"local:{request.path_params['name']}"}, status_code=201)

    async def remove(self, request: Request) -> Response:
        found = self._vault.remove(request.path_params["name"])
        await self._audit(request, "secret.delete", "allowed" if found else "failed")
        return JSONResponse({"removed": found}, status_code=200 if found else 404)

    async def _audit(self, request: Request, action: str, result: str = "allowed") -> None:
        cause = Cause.new()
        async with self._store.unit() as unit:
            unit.bus.audit(cause.tenant, actor_of(request), action, f"local:{request.path_params['name']}", cause, result)


def _check_change(request: Request, action: str, key: str) -> None:
    """Raises Denied. Who may not look is told of both permissions, so that the refusal does not tell whether the source exists."""
    if not seen(request, action, *_about(key)) and not seen(request, "source.read", *_about(key)):
        raise denied(request.scope["actor"], ("source.create", "source.update"), *_about(key))
    check(request, action, *_about(key))


def _about(key: str) -> tuple[str, str]:
    """Tenant and name of what a key names."""
    return unquote(key.partition("/")[0]), key


def _key(request: Request) -> str:
    """Of the source that the path names. Raises UsageError where it names none."""
    if not request.path_params["name"]:
        raise UsageError("the name of the source is missing", remedy="See `pursight source list`.", code="no_name")
    return SourceName(request.path_params["tenant"] or DEFAULT_TENANT, request.path_params["name"]).key


def _etag(row: Row) -> dict[str, str]:
    return {"ETag": f'"{row.version}"'}


def _conflict(request: Request, current: int) -> Response | None:
    """The answer where the request was made for another version than the current one; 0 is none at all."""
    wanted = request.headers.get("if-match", "").removeprefix("W/").strip('"')
    fresh = request.headers.get("if-none-match", "").strip() == "*"
    if not (fresh and current) and wanted in ("", str(current), "*" if current else "0"):
        return None
    now = f"is at version {current}" if current else "is not registered"
    meant = f"version {wanted[:20]}" if wanted else "a new one"
    return problem(412, CONFLICT, f"The source {now}, not {meant}", "Read it again, then repeat your change.")


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "100")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError("limit is not a number", remedy="Give a number of entries, such as 100.", code="bad_limit")
    return min(int(text), MAX_ENTRIES)


def _scope(given: object) -> Scope:
    try:
        scope = Scope.model_validate(given)
    except ValidationError:
        scope = None
    if scope is None or not isinstance(given, dict) or not given.keys() <= Scope.model_fields.keys():
        raise UsageError("the scope cannot be used", remedy=f"Its fields are {', '.join(Scope.model_fields)}.", code="bad_scope")
    return scope


def _no_such_source() -> Response:
    return problem(404, "unknown_source", "No source of this name is registered", "See `pursight source list`.")
