"""Who may come in: a bearer token for tools, a signed session cookie for browsers that came by a one-time link.

Everything but the health routes asks for one of them. A browser's unsafe request must also come from our own pages.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.web.problems import problem
from shared.web.seals import Spent, opens, sealed

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE = "pursight_session"
SESSION_SECONDS = 12 * 3600


class Login:
    """`GET /login?code=…`: spends a one-time link for a session cookie."""

    def __init__(self, token: str, spent: Spent) -> None:
        self._token, self._spent = token, spent

    async def spend(self, request: Request) -> Response:
        code = request.query_params.get("code", "")
        if not opens(self._token, "link", code) or not self._spent.first(code):
            return PlainTextResponse(
                "This link was used or is older than ten minutes. Run `pursight status` for a new one.\n", status_code=403
            )
        answer = RedirectResponse("/", status_code=303)
        seal = sealed(self._token, "session", seconds=SESSION_SECONDS)
        answer.set_cookie(COOKIE, seal, max_age=SESSION_SECONDS, httponly=True, samesite="strict", path="/")
        return answer


class RequireToken:
    """ASGI middleware that lets through only who has the token or a session."""

    def __init__(self, app: ASGIApp, *, token: str, open_paths: frozenset[str] = OPEN_PATHS) -> None:
        self._app, self._token, self._open = app, token, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        scheme, _, offered = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._token and hmac.compare_digest(offered.encode(), self._token.encode()):
            request.scope["actor"] = "token:local"
            return None
        if self._token and opens(self._token, "session", request.cookies.get(COOKIE, "")):
            request.scope["actor"] = "browser:local"
            return (
                None
                if request.method in SAFE_METHODS or same_origin(request.headers)
                else problem(403, "cross_origin", "The request came from another site")
            )
        return problem(
            401, "not_signed_in", "Sign in first", "Send 'Authorization: Bearer TOKEN', or open the link that `pursight status` prints."
        )


def same_origin(headers: Headers) -> bool:
    """Does the browser say that the request comes from our own pages?"""
    origin = headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == headers.get("host", "")


def actor_of(request: Request) -> str:
    """Who asks, for the audit ledger."""
    return str(request.scope.get("actor", "unknown"))
