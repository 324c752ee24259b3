"""Calls to the HTTP interfaces of secret stores: brief, repeated where waiting helps, never redirected, never in the clear."""

from __future__ import annotations

import asyncio
import json
import ssl
from random import random
from typing import Any
from urllib.parse import urlsplit

import httpx

from shared.errors import Failed, PurSightError, Transient

CALL_SECONDS = 5.0
ATTEMPTS = 3
DELAY_SECONDS = 0.3  # doubled each time, with jitter
_BUSY = frozenset({412, 429, 500, 502, 503, 504})  # 412: Vault's standby has not caught up yet
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


async def call(
    store: str, method: str, url: str, *, headers: dict[str, str] | None = None, body: Any = None, trusted: str = ""
) -> tuple[int, Any]:
    """Status and parsed answer, of any status that says something. `trusted`: PEM file of authorities; empty: the system's.

    Raises Transient `secret_store_unreachable` where the store stays away or busy, Failed `secret_store_unsafe`.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise Failed(f"the secret store {store} is not asked", why="its address is not https", code="secret_store_unsafe")
    try:
        context: ssl.SSLContext | bool = ssl.create_default_context(cafile=trusted) if trusted else True
    except (OSError, ssl.SSLError):
        raise Failed(
            f"the secret store {store} is not asked", why="its file of authorities cannot be read", code="secret_store_unsafe"
        ) from None
    async with httpx.AsyncClient(timeout=CALL_SECONDS, verify=context, headers=headers, follow_redirects=False) as client:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(DELAY_SECONDS * 2 ** (attempt - 1) * (0.5 + random()))
            try:
                answer = await client.request(method, url, json=body)
            except (httpx.HTTPError, OSError):
                continue
            if answer.status_code not in _BUSY:
                return answer.status_code, _parsed(answer.content)
    raise away(store)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content) if content else {}
    except ValueError:
        return {}


def away(store: str) -> Transient:
    """Waiting may help."""
    return Transient(
        f"the secret store {store} does not answer",
        why="it is away, busy or sealed, or its certificate is not trusted",
        remedy="Check its address and state; it is tried again.",
        code="secret_store_unreachable",
    )


def denied(store: str) -> Failed:
    """The store knows us and says no, or does not know us."""
    return Failed(
        f"the secret store {store} refused us",
        why="our identity may not read this secret",
        remedy="Grant it read access to exactly this secret.",
        code="secret_store_denied",
    )


def misnamed(store: str, shape: str) -> Failed:
    """The reference does not have the store's shape."""
    return Failed(f"a reference to {store} is not understood", remedy=f"It looks like {shape}.", code="secret_reference_wrong")


def unconfigured(store: str, remedy: str) -> PurSightError:
    """The operator has not said where or as whom."""
    return Failed(
        f"the secret store {store} is not set up here", why="the services' environment does not say how", remedy=remedy,
        code="secret_store_unconfigured",
    )  # fmt: skip
