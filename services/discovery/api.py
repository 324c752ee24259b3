"""Discovery's door for HTTP: what is being scanned, how far it is, and stop."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.discovery.store import Store
from shared.bus.received import Cause
from shared.contracts.connection import Diagnosis
from shared.contracts.names import SourceName
from shared.contracts.scan import ScanFailed
from shared.web.auth import actor_of
from shared.web.guard import check, hidden, narrowed
from shared.web.problems import problem


def routes(store: Store) -> list[Route]:
    """Everything under /scan-jobs."""
    door = ScanJobs(store)
    return [
        Route("/scan-jobs", door.list, methods=["GET"]),
        Route("/scan-jobs/{id}", door.show, methods=["GET"]),
        Route("/scan-jobs/{id}/cancel", door.cancel, methods=["POST"]),
    ]


class ScanJobs:
    """Scans as the outside sees them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, request: Request) -> Response:
        """`?source=tenant/name&limit=50`, newest first."""
        limit = request.query_params.get("limit", "50")
        scans = await self._store.scans(narrowed(request, "scan.read") or "", int(limit) if limit.isdigit() else 50)
        return JSONResponse({"scans": scans})

    async def show(self, request: Request) -> Response:
        scan = await self._store.scan(request.path_params["id"])
        return _no_such_scan() if scan is None or await _hidden(request, "scan.read", scan) else JSONResponse(scan)

    async def cancel(self, request: Request) -> Response:
        """Ends a scan that waits or runs; what it said so far stands, and nothing is removed."""
        scan = await self._store.scan(request.path_params["id"])
        if scan is None or await _hidden(request, "scan.read", scan):
            return _no_such_scan()
        check(request, "scan.cancel", SourceName.parse(scan["source"]).tenant, scan["source"])
        id, source = scan["scan_id"], scan["source"]
        tenant = SourceName.parse(source).tenant
        diagnosis = Diagnosis(code="cancelled", cause="a person stopped the scan", remedy="Ask for a new one when it suits.")
        async with self._store.unit(keys=[source]) as unit:
            cause = Cause.new(f"cancel/{id}", tenant=tenant)
            if not await unit.end(id, "cancelled", code="cancelled"):
                return problem(409, "scan_over", "This scan is over")
            failed = ScanFailed(source=source, scan_id=id, diagnosis=diagnosis, trace_id=scan["trace_id"], progress=await unit.share(id))
            unit.bus.emit(failed, key=source, cause=cause)
            unit.bus.audit(tenant, actor_of(request), "scan.cancel", source, cause)
        return JSONResponse({"scan_id": id, "state": "cancelled"})


async def _hidden(request: Request, action: str, scan: dict[str, Any]) -> bool:
    return await hidden(request, action, SourceName.parse(scan["source"]).tenant, scan["source"])


def _no_such_scan() -> Response:
    return problem(404, "unknown_scan", "No such scan")
