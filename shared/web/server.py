"""One HTTP server inside a service's own event loop."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from shared.errors import Failed
from shared.web.auth import RequireToken
from shared.web.problems import HANDLERS


class EdgeServer(uvicorn.Server):
    """uvicorn without its signal handling: the service decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def edge_app(routes: list[BaseRoute], *, token: str) -> ASGIApp:
    """The routes behind the token check, with our problem documents. Routes added to the list later are served too."""
    app = Starlette(exception_handlers=HANDLERS)
    app.router.routes = routes
    return RequireToken(app, token=token)


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
