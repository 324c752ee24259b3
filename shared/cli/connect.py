"""The shell's line to the running stack: where it is, and errors that a person can act on."""

from __future__ import annotations

import gc
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.errors import Failed, PurSightError, UsageError
from shared.local.ports import LOOPBACK
from shared.local.state import Home
from shared.settings import ServiceSettings

PATIENCE_SECONDS = 30.0
PAGE = 500  # members of a list in one answer
LOOK_SECONDS = 0.3  # how often a person who waits is told of a stack that stops
DOOR = "PURSIGHT_URL"  # where set, the shell talks to that front door and to nothing local
AWAY = ("no_answer", "service_away", "service_starting")


@dataclass(frozen=True, slots=True)
class Address:
    """The front door and the token for it."""

    url: str
    token: str


def elsewhere() -> bool:
    """Is the shell pointed at a stack that runs elsewhere?"""
    return bool(os.environ.get(DOOR))


def address() -> Address:
    """PURSIGHT_URL and PURSIGHT_TOKEN where set, else the local stack. Raises UsageError where neither is there, or the URL is none."""
    if url := os.environ.get(DOOR):
        return Address(_checked(url), os.environ.get("PURSIGHT_TOKEN", "").strip())
    home = Home(ServiceSettings().home)
    state = home.load()
    if state.supervised() is None:
        raise UsageError("the stack is not running", remedy="Start it with `pursight up`.", code="not_running")
    return Address(f"http://{LOOPBACK}:{state.ports['door']}", home.token())


def _checked(url: str) -> str:
    """Raises UsageError where PURSIGHT_URL is no web address."""
    try:
        parsed = httpx.URL(url.strip())
    except (httpx.InvalidURL, ValueError):
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError(f"{DOOR} is no web address", remedy="Write it like https://pursight.example, or unset it.", code="bad_url")
    return str(parsed).rstrip("/")


def _stopped() -> bool:
    """Was the local stack stopped, or is it being stopped?"""
    state = Home(ServiceSettings().home).load()
    return state.stopping or state.supervised() is None


class Edge:
    """HTTP to the services through the front door."""

    def __init__(self, at: Address) -> None:
        self._answered = not elsewhere()  # what never answered there is not waited for; a stack of ours may just be starting
        signs_in = {"Authorization": f"Bearer {at.token}"} if at.token else {}
        self._http = httpx.Client(base_url=at.url, headers=signs_in, timeout=60.0, trust_env=False)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at `path`; waits for a part that is being restarted. Raises PurSightError with what the service said."""
        return as_read(self.text(path, **query))

    def text(self, path: str, **query: Any) -> str:
        """What `get` reads, as it came."""
        wanted = {key: value for key, value in query.items() if value not in (None, "")}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._answer("GET", path, params=wanted).text
            except Failed as error:
                if error.code not in AWAY or not self._answered or time.monotonic() > deadline:
                    raise
                if not elsewhere() and _stopped():
                    raise stopped() from None
            time.sleep(0.5)

    def rest(self, seconds: float) -> None:
        """Sleep between two questions. Raises Failed as soon as the local stack is stopped, whose parts may answer for a while yet."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))
            if not elsewhere() and _stopped():
                raise stopped()

    def send(self, method: str, path: str, document: Any = None, *, version: int | None = None) -> Any:
        """The JSON answer to a request with a body; refused where what it changes is no longer at `version`.

        Raises PurSightError with what the service said.
        """
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return self._answer(method, path, json=document, headers=headers).json()

    def stream(self, path: str, **query: Any) -> Iterator[str]:
        """The text at `path`, in parts as they come. Raises PurSightError with what the service said."""
        wanted = {key: value for key, value in query.items() if value not in (None, "")}
        try:
            with self._http.stream("GET", path, params=wanted) as answer:
                if not answer.is_success:
                    answer.read()
                    raise problem_of(answer)
                yield from answer.iter_text()
        except httpx.TransportError as error:
            raise self._away(error) from None

    def made(self, path: str, text: str, *, seconds: float, **query: Any) -> bytes:
        """The file that a request with this text makes, which may take so long. Raises PurSightError with what the service said."""
        return self._answer("POST", path, content=text.encode(), params=query, timeout=seconds).content

    def _answer(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **how)
        except httpx.TransportError as error:
            raise self._away(error) from None
        self._answered = True
        if answer.is_success:
            return answer
        refused = problem_of(answer)
        if refused.code == "not_signed_in" and elsewhere():
            raise UsageError(
                f"{self._where()} does not let this shell in", remedy="Set PURSIGHT_TOKEN to one of its tokens.", code=refused.code
            )
        raise refused

    def _where(self) -> str:
        """The door's address without a name and password that may be in it."""
        return f"{self._http.base_url.scheme}://{self._http.base_url.netloc.decode()}"

    def _away(self, error: httpx.TransportError) -> Failed:
        """Why nothing answers, as far as it can be told from here."""
        if elsewhere():
            why = re.sub(r"^\[.*?\] ", "", str(error)) or type(error).__name__
            return Failed(f"nothing answers at {self._where()}", why=why, remedy=f"That address is the one of {DOOR}.", code="no_answer")
        if _stopped():
            return stopped()
        return Failed("PurSight does not answer", remedy="Look at `pursight status`.", code="no_answer")


def listed(line: Edge, path: str, member: str, *, limit: int, **query: Any) -> dict[str, Any]:
    """A list with its `total`, page after page until `limit` of its members are there."""
    found: dict[str, Any] = line.get(path, limit=min(limit, PAGE), **query)
    rows = found[member]
    while len(rows) < min(limit, found["total"]):
        page = line.get(path, limit=min(limit - len(rows), PAGE), offset=len(rows), **query)[member]
        if not page:
            break
        rows += page
    return found


def as_read(text: str) -> Any:
    """The JSON in a text. All of a large one is new, so the collector, which looks for what is no longer needed, rests meanwhile."""
    gc.disable()
    try:
        return json.loads(text)
    finally:
        gc.enable()


def stopped() -> Failed:
    """Somebody stopped the local stack while it was asked."""
    return Failed("the stack was stopped", remedy="Start it again with `pursight up`.", code="stopped")


def problem_of(answer: httpx.Response) -> PurSightError:
    """The service's problem document as an error; each problem by field on its own in `why`."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    listed = "; ".join(f"{p['field']} {p['message']}. {p.get('remedy', '')}".strip() for p in body.get("problems", ()))
    kind = UsageError if answer.status_code in (400, 401, 403, 404, 412, 422) else Failed
    return kind(
        body.get("title", f"PurSight answered {answer.status_code}"),
        why=listed,
        remedy=body.get("remedy", ""),
        code=body.get("code", "http"),
    )


def named_as(text: str) -> SourceName:
    """The source that a person calls NAME or TENANT/NAME. Raises UsageError where that is nothing."""
    if not text.strip("/ "):
        raise UsageError("the name of the source is missing", remedy="See `pursight source list`.", code="no_name")
    tenant, _, rest = text.partition("/")
    return SourceName(tenant, rest) if tenant and rest else SourceName(DEFAULT_TENANT, text)


def scope_of(text: str) -> str:
    """What lists are held to: the key of what a person calls NAME or TENANT/NAME; all of a tenant by TENANT/; nothing, all."""
    return named_as(text).key if text and not text.endswith("/") else text


def path_of(named: SourceName, below: str = "/sources") -> str:
    """The path of a source, or of what is named like one. Dots are escaped, too: a name may be nothing else, and `..` leads elsewhere."""
    return "/".join((below, *(quote(part, safe="").replace(".", "%2E") for part in named)))


def scan_path(id: str) -> str:
    """The path of a scan."""
    return f"/scan-jobs/{quote(id, safe='')}"


@contextmanager
def edge() -> Iterator[Edge]:
    """A line to the running stack. Raises UsageError where there is none."""
    line = Edge(address())
    try:
        yield line
    finally:
        line._http.close()
