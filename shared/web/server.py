"""One HTTP server inside a service's own event loop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from shared.access.gate import Gate, shipped
from shared.errors import Denied, Failed
from shared.web.auth import SignedIn, SignIns
from shared.web.guard import Guard, Record, on_denied
from shared.web.problems import HANDLERS


class EdgeServer(uvicorn.Server):
    """uvicorn without its signal handling: the service decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _unrecorded(_: Denied) -> None:
    """For an edge without a ledger."""


def edge_app(
    routes: list[BaseRoute], *, token: str, signs: SignIns | None = None, gate: Gate | None = None, record: Record = _unrecorded
) -> ASGIApp:
    """The routes behind sign-in and permission, with our problem documents. Routes added to the list later are served too."""
    app = Starlette(exception_handlers={**HANDLERS, Denied: on_denied})
    app.router.routes = routes
    return SignedIn(Guard(app, routes, gate or shipped(), record), signs or SignIns(token))


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Failed where the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Failed(
            f"port {port} on {host} cannot be used",
            why=error.strerror or "",
            remedy="Stop what uses it, or set PURSIGHT_HTTP_PORT.",
            code="port_in_use",
        ) from None
    return listener


def server(app: ASGIApp) -> EdgeServer:
    """The server for `app`, quiet and bounded."""
    return EdgeServer(
        uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5)
    )
