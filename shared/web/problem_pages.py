"""A problem document as a page, where a person's browser asked: one line that says what and why, and what to do."""

from __future__ import annotations

import json
import re
from html import escape

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contracts.names import printable
from shared.web.auth import STYLE

MOST_BYTES = 64 * 1024
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · PurSight</title><link rel="stylesheet" href="{style}"></head>
<body><main class="wide"><section class="empty"><h1>{title}</h1>{remedy}<p>{back}<a href="/">Overview</a></p></section></main></body>
</html>
"""
BACK = "Your browser's way back leads to what you had filled in. "


class ProblemPages:
    """ASGI middleware at the front door. Tools, and the script of our pages, get the document as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "text/html" not in headers.get("accept", "") or "hx-request" in headers:
            return await self._app(scope, receive, send)
        return await self._app(scope, receive, _Turned(scope, receive, send))


class _Turned:
    """Holds a problem document until all of it is there."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body = (self._body + message.get("body", b""))[:MOST_BYTES]
            if not message.get("more_body"):
                await self._page(self._start)(self._scope, self._receive, self._send)

    def _page(self, start: Message) -> HTMLResponse:
        kept = {name: value for name, value in Headers(raw=start["headers"]).items() if name == "www-authenticate"}
        text = page_of(self._body, changing=self._scope["method"] == "POST")
        return HTMLResponse(text, start["status"], headers=HEADERS | kept)


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").startswith("application/problem+json")


def page_of(document: bytes, *, changing: bool) -> str:
    """The page of this problem; `changing`: a form was sent off."""
    try:
        told = json.loads(document)
    except ValueError:
        told = None
    told = told if isinstance(told, dict) else {}
    title = str(told.get("title") or "") or "Something went wrong"
    remedy = f"<p>{_shown(str(told['remedy']))}</p>" if told.get("remedy") else ""
    return PAGE.format(style=STYLE, title=_shown(title[:1].upper() + title[1:]), remedy=remedy, back=BACK if changing else "")


def _shown(text: str) -> str:
    """As text, whatever is in it; what `backticks` mark is to be typed.

    >>> _shown("Run `a<b`.")
    'Run <code>a&lt;b</code>.'
    """
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(printable(text)))
