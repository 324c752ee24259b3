"""Discovery's door for HTTP: what is being scanned, how far it is; pause, resume and stop; and what values look like, masked."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.discovery.gateway import Sources
from services.discovery.store import Store
from shared.bus.jobs import Jobs
from shared.bus.received import Cause
from shared.contracts.connection import Diagnosis
from shared.contracts.names import AssetName, SourceName
from shared.contracts.scan import ScanFailed
from shared.errors import PurSightError
from shared.web.auth import actor_of
from shared.web.guard import check, hidden, narrowed
from shared.web.problems import problem

ROWS, MOST_ROWS = 10, 50
PREVIEW_SECONDS, PREVIEWS_AT_ONCE = 30.0, 2


def routes(store: Store, jobs: Jobs, sources: Sources) -> list[Route]:
    """Everything under /scan-jobs and /previews."""
    door = ScanJobs(store, jobs)
    return [
        Route("/scan-jobs", door.list, methods=["GET"]),
        Route("/scan-jobs/{id}", door.show, methods=["GET"]),
        Route("/scan-jobs/{id}/cancel", door.cancel, methods=["POST"]),
        Route("/scan-jobs/{id}/pause", door.pause, methods=["POST"]),
        Route("/scan-jobs/{id}/resume", door.resume, methods=["POST"]),
        Route("/previews/{key:path}", Previews(store, sources).show, methods=["POST"]),
    ]


class ScanJobs:
    """Scans as the outside sees them."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self._store, self._jobs = store, jobs

    async def list(self, request: Request) -> Response:
        """`?source=tenant/name&limit=50`, newest first."""
        limit = request.query_params.get("limit", "50")
        scans = await self._store.scans(narrowed(request, "scan.read") or "", int(limit) if limit.isdigit() else 50)
        return JSONResponse({"scans": scans})

    async def show(self, request: Request) -> Response:
        scan = await self._store.scan(request.path_params["id"])
        return _no_such_scan() if scan is None or await _hidden(request, "scan.read", scan) else JSONResponse(scan)

    async def cancel(self, request: Request) -> Response:
        """Ends a scan that waits, runs or is paused; what it said so far stands, and nothing is removed."""
        scan = await self._decided(request, "scan.cancel")
        if scan is None:
            return _no_such_scan()
        id, source, cause = scan["scan_id"], scan["source"], _cause(scan)
        diagnosis = Diagnosis(code="cancelled", cause="a person stopped the scan", remedy="Ask for a new one when it suits.")
        async with self._store.unit(keys=[source]) as unit:
            if not await unit.end(id, "cancelled", code="cancelled"):
                return problem(409, "scan_over", "This scan is over")
            failed = ScanFailed(source=source, scan_id=id, diagnosis=diagnosis, trace_id=scan["trace_id"], progress=await unit.share(id))
            unit.bus.emit(failed, key=source, cause=cause)
            unit.bus.audit(cause.tenant, actor_of(request), "scan.cancel", source, cause)
        return JSONResponse({"scan_id": id, "state": "cancelled"})

    async def pause(self, request: Request) -> Response:
        """A scan that waits or runs stops where it is, after the tables that are being told, until somebody resumes it."""
        scan = await self._decided(request, "scan.pause")
        if scan is None:
            return _no_such_scan()
        async with self._store.unit(keys=[scan["source"]]) as unit:
            if not await unit.pause(scan["scan_id"]):
                return problem(409, "scan_not_open", "This scan is over, or paused already")
            cause = _cause(scan)
            unit.bus.audit(cause.tenant, actor_of(request), "scan.pause", scan["source"], cause)
        return JSONResponse({"scan_id": scan["scan_id"], "state": "paused"})

    async def resume(self, request: Request) -> Response:
        """A paused scan goes on where it was."""
        scan = await self._decided(request, "scan.resume")
        if scan is None:
            return _no_such_scan()
        async with self._store.unit(keys=[scan["source"]]) as unit:
            if not await unit.resume(scan["scan_id"]):
                return problem(409, "scan_not_paused", "This scan is not paused")
            cause = _cause(scan)
            await unit.enqueue(self._jobs, scan["source"], scan["priority"], cause.traceparent)
            unit.bus.audit(cause.tenant, actor_of(request), "scan.resume", scan["source"], cause)
        return JSONResponse({"scan_id": scan["scan_id"], "state": "waiting"})

    async def _decided(self, request: Request, action: str) -> dict[str, Any] | None:
        """The scan that the path names; None where who asks may not even see it. Raises Denied where they may not do this to it."""
        scan = await self._store.scan(request.path_params["id"])
        if scan is None or await _hidden(request, "scan.read", scan):
            return None
        check(request, action, SourceName.parse(scan["source"]).tenant, scan["source"])
        return scan


class Previews:
    """Masked values of one asset, read when they are asked for and kept nowhere: they are in this answer, and in no event, log or table."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store, self._sources, self._turn = store, sources, asyncio.Semaphore(PREVIEWS_AT_ONCE)

    async def show(self, request: Request) -> Response:
        """`?rows=10`, at most 50. Only where the source's owner has agreed to samples. Who asked, and what came of it, is in the ledger."""
        try:
            name = AssetName.parse(request.path_params["key"])
        except ValueError:
            return _no_such_asset()
        connected = await self._store.connected(name.source_key)
        if connected is None or not await self._store.is_there(name.key):
            return _no_such_asset()
        if connected.spec.sampling != "sample":
            await self._audit(request, name, "failed", "no_consent")
            return problem(409, "no_consent", "This source's owner has not agreed to samples", "sampling says what may be looked at.")
        asked = request.query_params.get("rows", "")
        try:
            async with self._turn, asyncio.timeout(PREVIEW_SECONDS):
                columns = await self._sources.preview(
                    connected, name.schema, name.table, min(int(asked), MOST_ROWS) if asked.isdecimal() else ROWS
                )
        except TimeoutError:
            await self._audit(request, name, "failed", "timeout")
            return problem(504, "timeout", "The source did not answer in time", "Try at a quieter time.")
        except PurSightError as error:
            await self._audit(request, name, "failed", error.code)
            raise
        await self._audit(request, name, "allowed")
        return JSONResponse({"asset": name.key, "masked": True, "columns": columns}, headers={"Cache-Control": "no-store"})

    async def _audit(self, request: Request, name: AssetName, result: str, detail: str = "") -> None:
        async with self._store.unit() as unit:
            unit.bus.audit(name.tenant, actor_of(request), "data.preview", name.key, Cause.new(tenant=name.tenant), result, detail)


def _no_such_asset() -> Response:
    return problem(404, "unknown_asset", "No such asset", "A scan finds assets: see `pursight scans list`.")


def _cause(scan: dict[str, Any]) -> Cause:
    return Cause.new(tenant=SourceName.parse(scan["source"]).tenant)


async def _hidden(request: Request, action: str, scan: dict[str, Any]) -> bool:
    return await hidden(request, action, SourceName.parse(scan["source"]).tenant, scan["source"])


def _no_such_scan() -> Response:
    return problem(404, "unknown_scan", "No such scan")
