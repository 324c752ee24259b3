"""Who comes in: a bearer token of a tool, a machine or a person, or the signed session cookie of a browser.

Everything but the health routes, and the style of our pages, asks for one of them. A browser's unsafe request must also come from our
own pages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.access.actor import LOCAL_BROWSER, LOCAL_TOKEN, Actor
from shared.access.oidc import BadToken, Oidc
from shared.errors import Transient
from shared.observe import names
from shared.settings import Machine
from shared.web.problems import problem
from shared.web.seals import Spent, opens, sealed

log = logging.getLogger(__name__)
STYLE = "/static/pages.css"  # also of the page that says that nobody is signed in
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics", STYLE})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE = "pursight_session"
SESSION_SECONDS = 12 * 3600
PERSON_SECONDS = 3600  # then the issuer is asked again, which knows who has left
REFUSAL_SECONDS = 10.0  # at least so long between two lines of the log


class Login:
    """`GET /login?code=…`: spends a one-time link for a session cookie."""

    def __init__(self, token: str, spent: Spent) -> None:
        self._token, self._spent = token, spent

    async def spend(self, request: Request) -> Response:
        code = request.query_params.get("code", "")
        if not opens(self._token, "link", code) or not self._spent.first(code):
            return problem(403, "link_over", "This link was used or is older than ten minutes", "Run `pursight status` for a new one.")
        answer = RedirectResponse("/", status_code=303)
        seal = sealed(self._token, "session", seconds=SESSION_SECONDS)
        answer.set_cookie(COOKIE, seal, max_age=SESSION_SECONDS, httponly=True, samesite="strict", path="/")
        return answer


def session_of(actor: Actor, token: str) -> str:
    """The session cookie of a person who signed in at the issuer."""
    said = json.dumps([actor.id, actor.tenant, sorted(actor.roles)]).encode()
    return sealed(token, "person", seconds=PERSON_SECONDS, nonce=base64.urlsafe_b64encode(said).decode())


class Refusals:
    """Tokens that let nobody in are in nobody's ledger: each is counted; the log hears of the first, then now and then how many came."""

    def __init__(self) -> None:
        self._since, self._silent_until = 0, 0.0

    def add(self, request: Request, code: str) -> None:
        names.counter("pursight_tokens_refused", code).inc()
        self._since += 1
        if (now := time.monotonic()) >= self._silent_until:
            client = request.client.host if request.client else ""
            log.warning("http.token_refused", extra={"error_code": code, "client": client, "count": self._since})
            self._since, self._silent_until = 0, now + REFUSAL_SECONDS


class SignIns:
    """From a request to who makes it. `machines` are service tokens by name, known by their digest alone."""

    def __init__(self, token: str, *, machines: Mapping[str, Machine] | None = None, oidc: Oidc | None = None) -> None:
        self._token, self._oidc, self._refusals = token, oidc, Refusals()
        self._machines = [
            (one.sha256.lower(), Actor(f"machine:{name}", one.tenant, frozenset(one.roles))) for name, one in (machines or {}).items()
        ]

    async def actor(self, request: Request) -> Actor | Response:
        """Who asks, or the refusal."""
        scheme, _, offered = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await self._bearer(request, offered.strip())
        if who := self._session(request.cookies.get(COOKIE, "")):
            if request.method in SAFE_METHODS or same_origin(request.headers):
                return who
            return problem(403, "cross_origin", "The request came from another site", "Do it on our own page.")
        return _unknown()

    async def _bearer(self, request: Request, offered: str) -> Actor | Response:
        if self._token and hmac.compare_digest(offered.encode(), self._token.encode()):
            return LOCAL_TOKEN
        digest = hashlib.sha256(offered.encode()).hexdigest()
        for known, machine in self._machines:
            if hmac.compare_digest(known.encode(), digest.encode()):
                return machine
        if self._oidc is None or offered.count(".") != 2:
            self._refusals.add(request, "token_unknown")
            return _unknown()
        try:
            return await self._oidc.actor(offered)
        except BadToken as error:
            self._refusals.add(request, error.code)
            return _refused(problem(401, error.code, f"{error.what}: {error.why}", error.remedy), "invalid_token")
        except Transient as error:
            return problem(503, error.code, f"{error.what}: {error.why}", error.remedy)

    def _session(self, cookie: str) -> Actor | None:
        if not self._token:
            return None
        if opens(self._token, "session", cookie):
            return LOCAL_BROWSER
        if not opens(self._token, "person", cookie):
            return None
        id, tenant, roles = json.loads(base64.urlsafe_b64decode(cookie.split(".")[0]))
        return Actor(id, tenant, frozenset(roles))


def _unknown() -> Response:
    return _refused(
        problem(
            401, "not_signed_in", "Sign in first", "Open the link that `pursight status` prints, or send 'Authorization: Bearer TOKEN'."
        )
    )


def _refused(answer: Response, error: str = "") -> Response:
    answer.headers["WWW-Authenticate"] = "Bearer" + (f' error="{error}"' if error else "")
    return answer


class SignedIn:
    """ASGI middleware that lets through only who is known, and tells the application who it is."""

    def __init__(self, app: ASGIApp, signs: SignIns, *, open_paths: frozenset[str] = OPEN_PATHS, sign_in_page: str = "") -> None:
        self._app, self._signs, self._open, self._page = app, signs, open_paths, sign_in_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        who = await self._signs.actor(request)
        if isinstance(who, Actor):
            scope["actor"] = who
            await self._app(scope, receive, send)
        elif who.status_code == 401 and self._page and _wants_page(request):
            await RedirectResponse(self._page, status_code=303)(scope, receive, send)
        else:
            await who(scope, receive, send)


def _wants_page(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers


def same_origin(headers: Headers) -> bool:
    """Does the browser say that the request comes from our own pages?"""
    origin = headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == headers.get("host", "")


def actor_of(request: Request) -> str:
    """Who asks, for the audit ledger."""
    who = request.scope.get("actor")
    return who.id if isinstance(who, Actor) else "unknown"
