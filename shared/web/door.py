"""The front door: one address that forwards by the first part of the path to the services' edges."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import httpx
from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shared.settings import ServiceSettings
from shared.web.auth import OPEN_PATHS, Login, SignedIn
from shared.web.health import health_routes
from shared.web.problem_pages import ProblemPages
from shared.web.problems import HANDLERS, problem
from shared.web.seals import Spent
from shared.web.server import bind, server
from shared.web.sign_in import BACK, Pages, oidc_of, signs_of

# First part of the path -> the service whose edge answers it; all else is the catalog's.
PATHS: dict[str, str] = {
    **dict.fromkeys(("sources", "scans", "audit", "secrets"), "registry"),
    **dict.fromkeys(("preflight", "health"), "connector"),
    **dict.fromkeys(("scan-jobs", "previews", "recordings"), "discovery"),
    **dict.fromkeys(("rulesets", "reviews"), "classifier"),
    **dict.fromkeys(("policies", "violations", "reports"), "compliance"),
    **dict.fromkeys(("plans", "resources", "jobs", "contracts"), "tagger"),
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
HOP_HEADERS = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "trailer", "proxy-authorization", "content-length"}
)


class DoorSettings(ServiceSettings):
    """What the front door needs besides."""

    edges: dict[str, str] = Field(default_factory=dict, description="service name to the address of its HTTP edge, as JSON")


class Forward:
    """Passes a request on to the edge that answers its path, body and answer streamed."""

    def __init__(self, edges: dict[str, str]) -> None:
        self._edges = edges
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(5.0, read=300.0), trust_env=False, limits=httpx.Limits(max_connections=200))

    async def forward(self, request: Request) -> Response:
        service = PATHS.get(request.scope["path"].split("/")[1], "catalog")
        if not (base := self._edges.get(service)):
            return problem(503, "service_missing", f"The {service} service is not part of this stack")
        raw_path = request.scope["raw_path"].decode("ascii")
        if not raw_path.startswith("/"):  # `%2f@host/` would name another host
            return problem(400, "bad_path", "The path does not begin with a slash")
        query = request.scope["query_string"].decode("latin-1")
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP_HEADERS]
        onward = self._client.build_request(
            request.method, f"{base}{raw_path}" + (f"?{query}" if query else ""), headers=headers, content=_body(request)
        )
        try:
            answer = await self._client.send(onward, stream=True)
        except httpx.TransportError:
            return problem(
                503,
                "service_away",
                f"The {service} service does not answer",
                "Run `pursight status`; a dead part is restarted within seconds.",
            )
        kept = {name: value for name, value in answer.headers.items() if name not in HOP_HEADERS}
        return StreamingResponse(_stream(answer), status_code=answer.status_code, headers=kept)


def _body(request: Request) -> AsyncIterator[bytes] | None:
    return None if request.method in ("GET", "HEAD") else request.stream()


async def _stream(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()


class Door:
    """The front door as a part of the stack, run like a service."""

    name = "door"

    def run(self) -> None:
        """Serve until told to stop."""
        settings = DoorSettings()
        listener = bind(settings.http_host, settings.http_port)
        asyncio.run(self._serve(settings, listener))

    async def _serve(self, settings: DoorSettings, listener: object) -> None:
        oidc = oidc_of(settings)
        pages = Pages(settings, oidc, Login(settings.token.get_secret_value(), Spent(settings.home / "spent")))
        forward = Route("/{path:path}", Forward(settings.edges).forward, methods=METHODS)
        app = Starlette(
            routes=[*health_routes(list), Route("/login", pages.login), Route(BACK, pages.back), forward],
            exception_handlers=HANDLERS,
        )
        page = "/login" if pages.offered else ""
        signed_in = SignedIn(app, signs_of(settings, oidc), open_paths=OPEN_PATHS | {"/login", BACK}, sign_in_page=page)
        http = server(ProblemPages(signed_in))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: setattr(http, "should_exit", True))
        await http.serve(sockets=[listener])  # type: ignore[list-item]


door = Door()
