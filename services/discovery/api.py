"""Discovery's door for HTTP: scans, how far they are, to pause, resume and stop; what values look like, masked; recordings of a source."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.discovery.gateway import Sources
from services.discovery.recording import Names
from services.discovery.store import DiscoveryUnit, Store
from shared.bus.jobs import Jobs
from shared.bus.received import Cause
from shared.contracts.connection import Diagnosis
from shared.contracts.names import AssetName, SourceName
from shared.contracts.scan import ScanFailed
from shared.errors import PurSightError, Transient
from shared.web.auth import actor_of
from shared.web.guard import check, hidden, narrowed
from shared.web.problems import problem

ROWS, MOST_ROWS = 10, 50
PREVIEW_SECONDS, RECORD_SECONDS, LOOKS_AT_ONCE = 30.0, 120.0, 2
_KEPT_NOWHERE = {"Cache-Control": "no-store"}
T = TypeVar("T")
_CANCELLED = Diagnosis(code="cancelled", cause="a person stopped the scan", remedy="Ask for a new one when it suits.")
Act = Callable[[DiscoveryUnit, dict[str, Any], Cause], Awaitable[bool]]


def routes(store: Store, jobs: Jobs, sources: Sources) -> list[Route]:
    """Everything under /scan-jobs, /previews and /recordings."""
    door, looks = ScanJobs(store, jobs), Looks(store, sources)
    return [
        Route("/scan-jobs", door.list, methods=["GET"]),
        Route("/scan-jobs/{id}", door.show, methods=["GET"]),
        Route("/scan-jobs/{id}/cancel", door.cancel, methods=["POST"]),
        Route("/scan-jobs/{id}/pause", door.pause, methods=["POST"]),
        Route("/scan-jobs/{id}/resume", door.resume, methods=["POST"]),
        Route("/previews/{key:path}", looks.preview, methods=["POST"]),
        Route("/recordings/{tenant}/{name:path}", looks.record, methods=["POST"]),
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
        return _no_such_scan(request) if scan is None or await _hidden(request, "scan.read", scan) else JSONResponse(scan)

    async def cancel(self, request: Request) -> Response:
        """Ends a scan that waits, runs or is paused; what it said so far stands, and nothing is removed."""

        async def cancel(unit: DiscoveryUnit, scan: dict[str, Any], cause: Cause) -> bool:
            id, source = scan["scan_id"], scan["source"]
            if not await unit.end(id, "cancelled", code="cancelled"):
                return False
            failed = ScanFailed(source=source, scan_id=id, diagnosis=_CANCELLED, trace_id=scan["trace_id"], progress=await unit.share(id))
            unit.bus.emit(failed, key=source, cause=cause)
            return True

        return await self._decide(request, "cancel", cancel, "cancelled", ("scan_over", "This scan is over"))

    async def pause(self, request: Request) -> Response:
        """A scan that waits or runs stops where it is, after the tables that are being told, until somebody resumes it."""

        async def pause(unit: DiscoveryUnit, scan: dict[str, Any], _: Cause) -> bool:
            return await unit.pause(scan["scan_id"])

        return await self._decide(request, "pause", pause, "paused", ("scan_not_open", "This scan is over, or paused already"))

    async def resume(self, request: Request) -> Response:
        """A paused scan goes on where it was."""

        async def resume(unit: DiscoveryUnit, scan: dict[str, Any], cause: Cause) -> bool:
            if not await unit.resume(scan["scan_id"]):
                return False
            await unit.enqueue(self._jobs, scan["source"], scan["priority"], cause.traceparent)
            return True

        return await self._decide(request, "resume", resume, "waiting", ("scan_not_paused", "This scan is not paused"))

    async def _decide(self, request: Request, what: str, act: Act, state: str, refusal: tuple[str, str]) -> Response:
        """Does `act` to the scan that the path names, and writes down who did; `refusal`, code and words, where it says that it cannot.

        Who may not see the scan is told that there is none. Raises Denied where they may not do this to it.
        """
        scan = await self._store.scan(request.path_params["id"])
        if scan is None or await _hidden(request, "scan.read", scan):
            return _no_such_scan(request)
        source, action = scan["source"], f"scan.{what}"
        tenant = SourceName.parse(source).tenant
        check(request, action, tenant, source)
        cause = Cause.new(tenant=tenant)
        async with self._store.unit(keys=[source]) as unit:
            if not await act(unit, scan, cause):
                return problem(409, *refusal)
            unit.bus.audit(tenant, actor_of(request), action, source, cause)
        return JSONResponse({"scan_id": scan["scan_id"], "state": state})


class Looks:
    """What is read from a source because a person asks, while they wait, and kept nowhere: it is in this answer, and in no event, log or
    table. Who asked, and what came of it, is in the ledger."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store, self._sources, self._turn = store, sources, asyncio.Semaphore(LOOKS_AT_ONCE)

    async def preview(self, request: Request) -> Response:
        """Masked values of one asset. `?rows=10`, at most 50. Only where the source's owner has agreed to samples."""
        try:
            name = AssetName.parse(request.path_params["key"])
        except ValueError:
            return _no_such_asset()
        connected = await self._store.connected(name.source_key)
        if connected is None or not await self._store.is_there(name.key):
            return _no_such_asset()
        note = partial(self._note, request, "data.preview", name.tenant, name.key)
        if connected.spec.sampling != "sample":
            await note("failed", "no_consent")
            return problem(409, "no_consent", "This source's owner has not agreed to samples", "sampling says what may be looked at.")
        asked = request.query_params.get("rows", "")
        rows = min(int(asked), MOST_ROWS) if asked.isdecimal() else ROWS
        columns = await self._looked(partial(self._sources.preview, connected, name.schema, name.table, rows), PREVIEW_SECONDS, note)
        return JSONResponse({"asset": name.key, "masked": True, "columns": columns}, headers=_KEPT_NOWHERE)

    async def record(self, request: Request) -> Response:
        """The structure of a whole source as a file for whoever looks into a bug, under pseudonyms unless `?names=keep`. With the same
        `key` in the body, pseudonyms are the same."""
        source = SourceName(request.path_params["tenant"], request.path_params["name"])
        connected = await self._store.connected(source.key)
        if connected is None:
            return problem(404, "unknown_source", "No such source is connected", "See `pursight source list`.")
        names = None if request.query_params.get("names") == "keep" else Names((await request.body()).decode("utf-8", "replace"))
        note = partial(self._note, request, "source.record", source.tenant, source.key)
        packed = await self._looked(partial(self._sources.record, connected, names), RECORD_SECONDS, note)
        return Response(packed, media_type="application/gzip", headers=_KEPT_NOWHERE)

    async def _looked(self, look: Callable[[], Awaitable[T]], seconds: float, note: Callable[..., Awaitable[None]]) -> T:
        """Raises PurSightError, `timeout` where it takes too long."""
        try:
            async with self._turn, asyncio.timeout(seconds):
                found = await look()
        except TimeoutError:
            await note("failed", "timeout")
            raise Transient("the source did not answer in time", remedy="Try at a quieter time.", code="timeout") from None
        except PurSightError as error:
            await note("failed", error.code)
            raise
        await note("allowed")
        return found

    async def _note(self, request: Request, action: str, tenant: str, key: str, result: str, detail: str = "") -> None:
        async with self._store.unit() as unit:
            unit.bus.audit(tenant, actor_of(request), action, key, Cause.new(tenant=tenant), result, detail)


def _no_such_asset() -> Response:
    return problem(404, "unknown_asset", "No such asset", "A scan finds assets: see `pursight scans list`.")


async def _hidden(request: Request, action: str, scan: dict[str, Any]) -> bool:
    return await hidden(request, action, SourceName.parse(scan["source"]).tenant, scan["source"])


def _no_such_scan(request: Request) -> Response:
    return problem(404, "unknown_scan", f"There is no scan {request.path_params['id']}", "See `pursight scans list`.")
