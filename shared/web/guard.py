"""May who came in do this? Asked for every route before its function runs; what the table of routes does not know is refused.

Where the tenant is known only inside (a body, an object found by its id), the function itself asks, by `check`, `hidden`,
`visible` or `narrowed`. An answer of a function that forgot to ask goes to nobody but actors of all tenants.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.access.actions import ALL, INSIDE, PATH, ROUTES, SHARED, Guarded
from shared.access.actor import EVERYWHERE, Actor
from shared.access.gate import Gate, denied
from shared.contracts.names import DEFAULT_TENANT, SourceName, encode
from shared.errors import Denied
from shared.web.auth import OPEN_PATHS
from shared.web.health import STARTING
from shared.web.problems import problem

T = TypeVar("T")
log = logging.getLogger(__name__)
Record = Callable[[Denied], Awaitable[None]]
MAX_OBJECT = 1000


@dataclass(slots=True)
class Access:
    """What a request may do. `settled`: its function asked for the object that it is about."""

    actor: Actor
    gate: Gate
    record: Record
    settled: bool = False


def check(request: Request, action: str, tenant: str, name: str = "") -> None:
    """Raises Denied, which is answered with 403 and goes to the ledger."""
    access = _access(request)
    access.settled = True
    access.gate.check(access.actor, action, tenant or DEFAULT_TENANT, name)


def seen(request: Request, action: str, tenant: str, name: str = "") -> bool:
    """Whether this one of many may be shown."""
    access = _access(request)
    access.settled = True
    return access.gate.allows(access.actor, action, tenant, name)


def visible(request: Request, action: str, rows: Iterable[T], about: Callable[[T], tuple[str, str]]) -> list[T]:
    """Those of many that may be shown; `about` tells tenant and name of one."""
    _access(request).settled = True
    return [row for row in rows if seen(request, action, *about(row))]


def narrowed(request: Request, action: str) -> str | None:
    """What a list is to be narrowed to: the `source` of the query, else the actor's own tenant (`tenant/`); None: to nothing.

    Raises Denied where the source is another tenant's.
    """
    actor, given = _access(request).actor, request.query_params.get("source", "")
    if given or not actor.everywhere:
        check(request, action, unquote(given.partition("/")[0]) if given else actor.tenant, given)
    return given or (None if actor.everywhere else f"{encode(actor.tenant)}/")


async def hidden(request: Request, action: str, tenant: str, name: str = "") -> bool:
    """Whether what was found by its id must look as if it were not there. Such an attempt goes to the ledger."""
    if seen(request, action, tenant, name):
        return False
    await _access(request).record(denied(_access(request).actor, (action,), tenant, name))
    return True


def _access(request: Request) -> Access:
    access = request.scope["access"]
    assert isinstance(access, Access)
    return access


async def on_denied(request: Request, error: Exception) -> Response:
    """Keep it, then say which permission lacks."""
    assert isinstance(error, Denied)
    await _access(request).record(error)
    return problem(403, error.code, f"{error.what}: {error.why}", error.remedy)


class Guard:
    """ASGI middleware behind `SignedIn`. `routes` may grow after it was made."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], gate: Gate, record: Record) -> None:
        self._app, self._routes, self._gate, self._record = app, routes, gate, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            return await self._app(scope, receive, send)
        access = Access(scope["actor"], self._gate, self._record)
        scope["access"] = access
        path, parameters = self._match(scope)
        if path in ("", STARTING):
            return await self._app(scope, receive, send)
        guarded = ROUTES.get(("GET" if scope["method"] == "HEAD" else scope["method"], path))
        if guarded is None:
            log.error("http.route_without_action", extra={"path": path})
            return await problem(403, "not_allowed", "Nobody may do this")(scope, receive, send)
        if refused := self._refused(access.actor, guarded, Request(scope), parameters):
            answer = await on_denied(Request(scope), refused)
            return await answer(scope, receive, send)
        held = guarded.place == INSIDE and not access.actor.everywhere
        return await self._app(scope, receive, _Held(access, scope, receive, send) if held else send)

    def _match(self, scope: Scope) -> tuple[str, dict[str, str]]:
        """The path of the route that answers, and its variables; empty where none does."""
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL and isinstance(route, Route | Mount):
                return route.path, found.get("path_params", {})
        return "", {}

    def _refused(self, actor: Actor, guarded: Guarded, request: Request, parameters: dict[str, str]) -> Denied | None:
        tenant, name = _about(guarded.place, actor, request, parameters)
        shared = guarded.place == SHARED
        if any(self._gate.allows(actor, action, tenant, name, shared=shared) for action in guarded.actions):
            return None
        return denied(actor, guarded.actions, tenant, name)


def _about(place: str, actor: Actor, request: Request, parameters: dict[str, str]) -> tuple[str, str]:
    """Tenant and name of what a request is about, as far as it can be told before its function runs."""
    if place == INSIDE:
        return actor.tenant, ""
    if place in (SHARED, ALL):
        return EVERYWHERE, ""
    if place == PATH and "tenant" in parameters:
        tenant = parameters["tenant"]
        return tenant, SourceName(tenant, parameters["name"]).key if parameters.get("name") else tenant
    if place == PATH:
        key = next(iter(parameters.values()))
    else:
        key = request.scope["raw_path"].decode("ascii").partition("?")[0].split("/", 2)[-1]
    return (unquote(key.partition("/")[0]), key[:MAX_OBJECT]) if key else (EVERYWHERE, "")


class _Held:
    """Holds an answer back until it is known that its function asked."""

    def __init__(self, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        self._access, self._scope, self._receive, self._send = access, scope, receive, send
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] < 400 and not self._access.settled:
            self._replaced = True
            log.error("http.access_not_asked", extra={"path": self._scope["path"]})
            await problem(500, "internal", "Something went wrong on our side", "The log of this service says what.")(
                self._scope, self._receive, self._send
            )
        elif not self._replaced:
            await self._send(message)
