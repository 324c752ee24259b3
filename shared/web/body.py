"""A request's body, read no further than it may be long."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from shared.errors import UsageError

KIB = 1024


async def body_of(request: Request, *, most_kib: int = 256) -> dict[str, Any]:
    """The request's JSON object. Raises UsageError where it is none, or too large."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > most_kib * KIB:
            raise UsageError("the body is too large", why=f"more than {most_kib} KiB", code="body_too_large")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UsageError("the body is not a JSON object", code="not_an_object")
    return document
