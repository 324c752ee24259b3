"""Every route has an action, and what has none, or forgets to ask, tells nobody anything."""

from __future__ import annotations

import hashlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

import services
from shared.access.actions import ACTIONS, INSIDE, ROUTES
from shared.access.actor import Actor
from shared.errors import Denied
from shared.settings import Machine
from shared.web.auth import SignIns, session_of
from shared.web.guard import check, hidden, narrowed, visible
from shared.web.server import edge_app


def routes() -> Iterator[tuple[str, str]]:
    """Method and path of every route of every service."""
    for found in pkgutil.walk_packages(services.__path__, "services."):
        if found.name.split(".")[-1] in ("api", "app", "pages") or "api" in found.name.split(".")[-1]:
            make = getattr(import_module(found.name), "routes", None)
            if make:
                made: list[BaseRoute] = make(**{name: MagicMock() for name in inspect.signature(make).parameters})
                for route in made:
                    assert isinstance(route, Route | Mount)
                    for method in sorted((getattr(route, "methods", None) or {"GET"}) - {"HEAD"}):
                        yield method, route.path


def test_every_route_of_every_service_has_an_action() -> None:
    """And the table has no route that no service has."""
    assert sorted(set(routes())) == sorted(ROUTES)
    assert len({path.split("/")[1] for _, path in routes()}) > 15
    assert {action for guarded in ROUTES.values() for action in guarded.actions} == set(ACTIONS)


def machine(name: str, tenant: str, *roles: Any) -> tuple[str, Machine]:
    return name, Machine(sha256=hashlib.sha256(name.encode()).hexdigest(), roles=roles, tenant=tenant)


MACHINES = dict([machine("viewer", "acme", "viewer"), machine("steward", "acme", "steward"), machine("everywhere", "*", "viewer")])


class Edge:
    """An edge with routes of these paths, and what it kept of refusals."""

    def __init__(self, *made: BaseRoute) -> None:
        self.denied: list[Denied] = []
        app = edge_app(list(made), token="t", signs=SignIns("t", machines=MACHINES), record=self._keep)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://edge")

    async def _keep(self, error: Denied) -> None:
        self.denied.append(error)

    async def ask(self, path: str, token: str, method: str = "GET", **headers: str) -> int:
        answer = await self.http.request(method, path, headers={"Authorization": f"Bearer {token}", **headers})
        return answer.status_code


async def fine(_: Request) -> Response:
    return JSONResponse({"secret": "told"})


async def test_a_route_without_an_action_is_closed_to_everybody() -> None:
    """Also to who may do everything."""
    assert await Edge(Route("/new", fine)).ask("/new", "t") == 403


async def test_a_function_that_forgets_to_ask_tells_nothing() -> None:
    """Its answer is held back from everybody who belongs to one tenant."""
    assert ROUTES["GET", "/scan-jobs/{id}"].place == INSIDE
    edge = Edge(Route("/scan-jobs/{id}", fine))
    answer = await edge.http.get("/scan-jobs/1", headers={"Authorization": "Bearer viewer"})
    assert answer.status_code == 500
    assert "told" not in answer.text
    assert await edge.ask("/scan-jobs/1", "everywhere") == 200


async def test_what_is_hidden_looks_as_if_it_were_not_there() -> None:
    """And the attempt is kept."""

    async def show(request: Request) -> Response:
        if await hidden(request, "scan.read", request.path_params["id"], "x/crm"):
            return JSONResponse({}, 404)
        return JSONResponse({})

    edge = Edge(Route("/scan-jobs/{id}", show))
    assert [await edge.ask(f"/scan-jobs/{tenant}", "viewer") for tenant in ("acme", "other")] == [200, 404]
    assert [(each.actor, each.tenant, each.object) for each in edge.denied] == [("machine:viewer", "acme", "x/crm")]


async def test_a_refusal_inside_is_answered_and_kept() -> None:
    """Before anything is done."""

    async def submit(request: Request) -> Response:
        check(request, "classification.review", "other", "other/crm")
        raise AssertionError

    edge = Edge(Route("/reviews", submit, methods=["POST"]))
    assert [await edge.ask("/reviews", token, "POST") for token in ("viewer", "steward")] == [403, 403]
    assert [each.object for each in edge.denied] == ["", "other/crm"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/assets/acme/crm/x", 200),
        ("/assets/acme%2Fcrm%2Fx", 200),
        ("/assets/other/crm/x", 403),
        ("/assets/acme%252Fx/crm", 403),
        ("/assets/../assets/other/x", 403),
        ("/plans/acme/asset:x", 200),
        ("/plans/acme%2Fother/asset:x", 403),
        ("/static/x.css", 200),
        ("/traces/x", 403),
    ],
)
async def test_the_tenant_is_read_as_the_service_reads_it(path: str, code: int) -> None:
    """From the path, or its raw form; who belongs to all tenants sees all."""
    made = [Route(path, fine) for path in ("/traces/{trace_id}", "/assets/{key:path}", "/plans/{target:path}")]
    edge = Edge(*made, Mount("/static", JSONResponse({})))
    assert await edge.ask(path, "viewer") == code
    assert await edge.ask(path, "everywhere") == 200


@pytest.mark.parametrize(
    ("query", "viewer", "everywhere"),
    [
        ("", "acme/", None),
        ("?source=acme/crm", "acme/crm", "acme/crm"),
        ("?source=acme/", "acme/", "acme/"),
        ("?source=other/crm", 403, "other/crm"),
        ("?source=acme/crm&source=other/crm", 403, "other/crm"),
        ("?source=*/x", 403, "*/x"),
        ("?source=/", 403, "/"),
        ("?source=acme%252Fx/crm", 403, "acme%2Fx/crm"),
    ],
)
async def test_lists_are_narrowed_to_what_one_may_see(query: str, viewer: str | int, everywhere: str | None) -> None:
    """To the source that is asked for, else to the actor's tenant; to nothing for who belongs to all."""

    async def show(request: Request) -> Response:
        return JSONResponse(narrowed(request, "violation.read"))

    edge = Edge(Route("/violations", show))
    for who, expected in (("viewer", viewer), ("everywhere", everywhere)):
        answer = await edge.http.get(f"/violations{query}", headers={"Authorization": f"Bearer {who}"})
        assert (answer.status_code if answer.status_code != 200 else answer.json()) == expected


async def test_many_are_shown_one_by_one() -> None:
    """Each by whether this actor may see it."""

    async def show(request: Request) -> Response:
        given = request.query_params.get("rows", "acme other").split()
        return JSONResponse(visible(request, "source.read", given, lambda tenant: (tenant, f"{tenant}/crm")))

    edge = Edge(Route("/sources", show))
    assert await edge.ask("/sources?rows=", "viewer") == 200
    shown = [(await edge.http.get("/sources", headers={"Authorization": f"Bearer {token}"})).json() for token in ("viewer", "everywhere")]
    assert shown == [["acme"], ["acme", "other"]]


async def test_a_persons_session_is_that_persons() -> None:
    """A cookie carries actor, tenant and roles; changed by one character, or from another stack, it is nothing."""
    edge = Edge(Route("/assets/{key:path}", fine))
    cookie = session_of(Actor("person:1", "acme", frozenset({"viewer"})), "t")
    changed, strange = f"x{cookie[1:]}", session_of(Actor("person:1", "*", frozenset({"admin"})), "other")
    for value, expected in ((cookie, [200, 403]), (changed, [401, 401]), (strange, [401, 401])):
        headers = {"Cookie": f"pursight_session={value}"}
        found = [(await edge.http.get(f"/assets/{tenant}/crm/x", headers=headers)).status_code for tenant in ("acme", "other")]
        assert found == expected
    posted = await edge.http.post("/assets/acme/crm/x", headers={"Cookie": f"pursight_session={cookie}", "Origin": "http://evil.example"})
    assert posted.status_code == 403
