"""The connector's door for the endpoints of a source: which one is read, how each does, and a person's order to change."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.connector.api import key_of, no_such_source
from services.connector.domain.plan import most, plan, where
from services.connector.endpoints import Endpoints, want
from services.connector.store import Store
from shared.bus.received import Cause
from shared.contracts.source import DataSource
from shared.db.seats import Seats
from shared.web.auth import actor_of
from shared.web.body import body_of
from shared.web.problems import problem

_PATH = "/health/sources/{tenant}/{name:path}"


def routes(store: Store, table: Endpoints, seats: Seats) -> list[Route]:
    """To stand before the routes that would take the end of these paths for a name."""
    door = Door(store, table, seats)
    return [
        Route(f"{_PATH}/endpoints", door.show, methods=["GET"]),
        Route(f"{_PATH}/failover", door.order, methods=["POST"]),
    ]


class Door:
    """Endpoints as people see them."""

    def __init__(self, store: Store, table: Endpoints, seats: Seats) -> None:
        self._store, self._table, self._seats = store, table, seats

    async def show(self, request: Request) -> Response:
        """Which endpoint is active, since when and why; of each its role, lag, and what was wrong at the last look; the pool's use."""
        key = key_of(request)
        row = await self._store.source(key)
        if row is None:
            return no_such_source()
        active = where(plan(row.spec, await self._store.active(key)))
        pool = {"most": most(row.spec), "taken": await self._seats.taken(key, active, most(row.spec))}
        return JSONResponse({"source": key, "pool": pool} | (await self._table.shown(key) or _single(row.spec)))

    async def order(self, request: Request) -> Response:
        """`{"to": "primary"}` or `"secondary"`: carried out at the next look, where that endpoint answers; otherwise nothing changes."""
        to = (await body_of(request, most_kib=1)).get("to")
        if to not in ("primary", "secondary"):
            return problem(422, "invalid", "`to` is primary or secondary")
        key = key_of(request)
        async with self._store.unit(keys=[key]) as unit:
            row = await unit.held(key)
            if row is None:
                return no_such_source()
            if not await want(unit.bus.connection, key, to):
                return problem(409, "one_endpoint", "This source has one endpoint", "Only a hybrid source has a second one.")
            unit.bus.audit(row.tenant, actor_of(request), "source.failover", key, Cause.new(tenant=row.tenant), detail=to)
        return JSONResponse({"source": key, "wanted": to}, status_code=202)


def _single(spec: DataSource) -> dict[str, Any]:
    found = plan(spec)
    ends = [{"role": found.role, "endpoint": where(found)}, *({"role": each.role, "endpoint": where(each)} for each in found.others)]
    return {"active": found.role, "state": found.role, "says": "has one endpoint to dial", "endpoints": ends}
