"""Errors over HTTP: RFC 9457 problem documents with our code, one line, what to do. Never a traceback."""

from __future__ import annotations

import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import PurSightError, Transient, UsageError

log = logging.getLogger(__name__)


def problem(status: int, code: str, title: str, remedy: str = "", **more: Any) -> Response:
    """A problem document. `code` is stable, `title` is for people."""
    body = {"status": status, "code": code, "title": title, "remedy": remedy, **more}
    return JSONResponse(
        {key: value for key, value in body.items() if value != ""}, status_code=status, media_type="application/problem+json"
    )


async def on_named_error(request: Request, error: Exception) -> Response:
    """An error of ours: transient is 503, a person's mistake 400, a failure 422."""
    assert isinstance(error, PurSightError)
    status = 503 if isinstance(error, Transient) else 400 if isinstance(error, UsageError) else 422
    return problem(status, error.code, f"{error.what}: {error.why}" if error.why else error.what, error.remedy)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such page, wrong method)."""
    assert isinstance(error, HTTPException)
    titles = {404: "Nothing is at this address", 405: f"This address takes no {request.method}"}
    takes = (error.headers or {}).get("Allow", "")
    remedy = f"It takes {takes}." if takes else "Check its spelling; the pages begin at /." if error.status_code == 404 else ""
    answer = problem(error.status_code, f"http_{error.status_code}", titles.get(error.status_code, str(error.detail)), remedy)
    answer.headers.update(error.headers or {})
    return answer


async def on_unknown_error(request: Request, error: Exception) -> Response:
    """A bug: the type goes to the log, nothing to the caller."""
    log.error("http.failed", extra={"error_type": type(error).__name__, "path": request.url.path}, exc_info=error)
    return problem(500, "internal", "Something went wrong on our side", "The log of this service says what.")


HANDLERS: dict[Any, Any] = {PurSightError: on_named_error, HTTPException: on_http_error, Exception: on_unknown_error}
