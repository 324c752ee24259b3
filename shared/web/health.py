"""The three routes every service has without a token: alive, ready, metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import REGISTRY
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from shared.web.problems import problem

STARTING = "/{path:path}"  # the path of `not_yet`, which tells nobody anything


def health_routes(problems: Callable[[], list[str]]) -> list[Route]:
    """`problems` says what keeps the service from working; nothing means ready."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        found = problems()
        return JSONResponse({"ready": not found, "problems": found}, status_code=503 if found else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)  # type: ignore[no-untyped-call]

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


def not_yet(problems: Callable[[], list[str]]) -> Route:
    """Answers all other paths while the service starts: a 404 would say that what is asked for does not exist."""

    async def answer(_: Request) -> Response:
        return problem(503, "service_starting", "This service is starting", "Try again in a moment.", state=problems())

    return Route(STARTING, answer, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
