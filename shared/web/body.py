"""A request's body, read no further than it may be long."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from shared.errors import UsageError

KIB = 1024
FORM, MOST_FIELDS = "application/x-www-form-urlencoded", 100


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members. Raises UsageError where one is there twice: nobody knows which of them was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        shown = "".join(mark if mark.isprintable() else "?" for mark in twice[:64])
        raise UsageError(f"the field {shown!r} is there twice", remedy="Say each field once.", code="duplicate_field")
    return found


def is_form(request: Request) -> bool:
    """Was a form of a page sent off?"""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def body_of(request: Request, *, most_kib: int = 256, form: bool = False) -> dict[str, Any]:
    """The request's JSON object, or with `form` the fields of one. Raises UsageError where it is none, too large, or says a field twice."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > most_kib * KIB:
            raise UsageError("the body is too large", why=f"more than {most_kib} KiB", remedy="Send less.", code="body_too_large")
    try:
        if form and is_form(request):
            return _once(parse_qsl(raw.decode(), max_num_fields=MOST_FIELDS))
        document = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UsageError("the body is not a JSON object", remedy="Send one: {…}.", code="not_an_object")
    return document
