"""Calls to a provider's own HTTP interface: patient with throttling, never redirected, and every refusal in our words."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from services.tagger.gateway.place import LONGEST_WAIT, Stale, waits
from shared.cloud.failures import TEXTS, TRANSIENT
from shared.cloud.token import Token
from shared.errors import Failed, PurSightError, Transient

SECONDS = 20.0  # for one answer
OPERATION_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0)  # seconds; what takes longer is tried again
Bearer = Callable[[bool], Awaitable[str]]  # a token; True: the last one was refused

_CODES = {401: "credentials_invalid", 403: "access_denied", 404: "not_found", 410: "not_found", 429: "throttled"}
_SLOWLY = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"})
_REMEDIES = {
    "not_found": "Check the resource's name in the source or job.",
    "credentials_invalid": "Check the identity in cloud_config, or in the operator's file of clouds.",
    "tags_refused": "See the plan of this target; a policy may forbid a key or value.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and its headers."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


class Edge:
    """One provider's address, called as whoever `bearer` stands for. `needs`: the permissions, for whom they are refused."""

    def __init__(self, http: httpx.AsyncClient, base: str, bearer: Bearer, needs: str) -> None:
        self._http, self.base, self.bearer, self._needs = http, base, bearer, needs

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A JSON object. Raises Stale for 409 and 412, Failed or Transient for all else that is no success."""
        token, again = await self.bearer(False), False
        for wait in waits():
            answer = await self._asked(method, path, dict(query or {}), body, {"Authorization": f"Bearer {token}", **(headers or {})})
            if answer.status_code == 401 and not again:
                token, again = await self.bearer(True), True
            elif not _slow(answer):
                return self._judged(answer)
            else:
                await asyncio.sleep(_told_wait(answer, wait))
        raise refused("throttled", self._needs)

    async def _asked(self, method: str, path: str, query: dict[str, str], body: Any, headers: dict[str, str]) -> httpx.Response:
        try:
            return await self._http.request(method, f"{self.base}{path}", params=query, json=body, headers=headers)
        except httpx.HTTPError as error:
            for inner in (error, error.__cause__, error.__context__):
                if isinstance(inner, PurSightError):
                    raise inner from None
            raise refused("unreachable", self._needs) from None

    def _judged(self, answer: httpx.Response) -> Answer:
        document = _document(answer)
        if 200 <= answer.status_code < 300:
            return Answer(answer.status_code, document, dict(answer.headers))
        if answer.status_code in (409, 412):
            raise Stale
        if answer.status_code >= 500:
            raise refused("unreachable", self._needs)
        raise refused(_CODES.get(answer.status_code, "tags_refused"), self._needs)

    async def finished(self, path: str, is_done: Callable[[Answer], bool], *, query: Mapping[str, str] | None = None) -> Answer:
        """The answer at `path` once it is done. Raises Transient `operation_runs` where that takes long."""
        for wait in OPERATION_WAITS:
            answer = await self.call("GET", path, query=query)
            if is_done(answer):
                return answer
            await asyncio.sleep(wait)
        raise Transient(
            "the provider is still at it",
            why="it takes tags by an operation that runs long",
            remedy="It is looked at again.",
            code="operation_runs",
        )


def refused(code: str, needs: str) -> PurSightError:
    """The error with this code, saying which permission is missing where one is."""
    why, usual = TEXTS[code]
    remedy = f"Grant {needs}." if code == "access_denied" else _REMEDIES.get(code, usual)
    kind = Transient if code in TRANSIENT else Failed
    return kind("the tags could not be read or written", why=why, remedy=remedy, code=code)


def client(verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """Follows no redirect: the token goes to the provider's own address, and nowhere else."""
    return httpx.AsyncClient(timeout=SECONDS, follow_redirects=False, verify=verify, headers={"Accept": "application/json"})


def kept(fetch: Callable[[], Awaitable[Token]]) -> Bearer:
    """Asks for a token once, and anew where the last one was refused: for a command that lives shorter than a token."""
    token = ""

    async def bearer(again: bool) -> str:
        nonlocal token
        if again or not token:
            token = (await fetch()).value
        return token

    return bearer


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json() if answer.content else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _slow(answer: httpx.Response) -> bool:
    """Asked to slow down: 429, or Google's 403 with a reason that says so."""
    if answer.status_code == 429:
        return True
    error = _document(answer).get("error") if answer.status_code == 403 else None
    if not isinstance(error, dict):
        return False
    told = {str(error.get("status"))} | {str(each.get("reason")) for each in (*error.get("errors", ()), *error.get("details", ()))}
    return bool(told & _SLOWLY)


def _told_wait(answer: httpx.Response, usual: float) -> float:
    """Seconds to wait: what the provider asks for, within limits, and never less than our own growing delay."""
    text = answer.headers.get("Retry-After", "")
    return max(usual, min(LONGEST_WAIT, float(text))) if text.isdecimal() else usual
