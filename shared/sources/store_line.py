"""Three clouds' object stores as two questions: which objects are there, and which bytes has this one. Nothing else can be asked.

Over plain HTTP through the loop, so that the guard on outgoing connections holds; S3 is asked for by signature, Google's and Azure's by
bearer token, Azure's also by account key or shared access signature, each by nobody where the source names nobody.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from email.utils import formatdate, parsedate_to_datetime
from statistics import median
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.parsers import expat

import httpx

from shared.cloud.failures import missing_extra
from shared.cloud.token import hush
from shared.contracts.choices import store_host
from shared.contracts.source import DataSource
from shared.errors import Failed, PurSightError
from shared.sources.base import Dial, Load
from shared.sources.dialling import signed_in
from shared.sources.failures import failed
from shared.sources.store_failures import RETRIED, code_of, refusal
from shared.sources.tls import LineFacts, context_for, line_facts, verified

_PAGE = 1000
_MOST_PAGE_BYTES = 16 << 20
_TRIES, _FIRST_WAIT_SECONDS = 4, 0.2
_ASK_AGAIN_SECONDS = 60.0  # who holds the credentials renews them before they end
_AZURE_VERSION = "2021-12-02"
_REGION = "us-east-1"
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%\w+)?|[\w-]{1,63}(?:\.[\w-]{1,63})*\.?", re.ASCII)


class Entry(NamedTuple):
    """One object: its key below the source's prefix, its size in bytes, and a word for what is in it, where that is told."""

    key: str
    size: int
    version: str = ""


class Page(NamedTuple):
    """Some objects, and where the next ones begin; empty at the end."""

    entries: list[Entry]
    after: str


class Store(Protocol):
    """Objects under one prefix, that can be read."""

    statements: int

    def list(self) -> AsyncIterator[list[Entry]]:
        """All objects, in the order of their keys, page by page."""
        ...

    async def read(self, key: str, start: int, length: int) -> bytes:
        """Bytes of one object; fewer at its end. Raises Failed with a code of `failures`: `gone`, `no_privilege`, …"""
        ...


class Dialect(Protocol):
    """What one cloud's store is asked, and how it answers."""

    version: tuple[str, int]

    def page(self, after: str) -> tuple[str, dict[str, str]]:
        """Path and query of a page of the listing."""
        ...

    def path(self, key: str) -> tuple[str, dict[str, str]]:
        """Path and query of an object's bytes."""
        ...

    def entries(self, body: bytes) -> Page:
        """Keys come whole, prefix included."""
        ...

    def sign(self, url: httpx.URL, headers: dict[str, str], dial: Dial) -> httpx.URL:
        """Put into `headers` whatever says who asks; the URL, where that carries it. `dial` has username and password of just now."""
        ...


@dataclass(slots=True)
class HttpStore:
    """A store over HTTP. Raises Failed with a code of `failures`."""

    dial: Dial
    dialect: Dialect
    prefix: str
    base: httpx.URL
    client: httpx.AsyncClient
    context: Context = field(
        default_factory=copy_context
    )  # connections, opened when needed, obey the guard that the store was opened under
    statements: int = 0
    tls: LineFacts = field(default_factory=LineFacts)
    round_trip_seconds: float = 0.0
    skew_seconds: float = 0.0
    _signed: Dial | None = field(default=None, repr=False)
    _asked_at: float = 0.0
    _answers: list[float] = field(default_factory=list)  # seconds until each began, since somebody last asked for the load
    _throttled: bool = False

    @property
    def anonymous(self) -> bool:
        """Whether it answered without knowing who asks."""
        return self._signed is not None and not (self._signed.username or self._signed.password)

    async def begin(self) -> None:
        """The first page, asked for with what there is to sign in with; that is asked for once more where the store refuses it."""

        async def tried(dial: Dial) -> None:
            self._signed, self._asked_at = dial, time.monotonic()
            await anext(self.list(), None)

        await signed_in(self.dial, tried)

    async def list(self) -> AsyncIterator[list[Entry]]:
        after = ""
        while True:
            path, query = self.dialect.page(after)
            try:
                page = self.dialect.entries(await self._get(path, query, most=_MOST_PAGE_BYTES))
            except Failed as error:
                raise refusal("no_such_bucket") if error.code == "gone" else error from None
            yield [entry._replace(key=entry.key.removeprefix(self.prefix)) for entry in page.entries]
            if not page.after:
                return
            if page.after == after:  # for ever the same page
                raise refusal("not_a_store")
            after = page.after

    async def read(self, key: str, start: int, length: int) -> bytes:
        path, query = self.dialect.path(self.prefix + key)
        try:
            return await self._get(path, query, most=length, span=(start, start + length - 1))
        except Failed as error:
            raise refusal("gone") if error.code == "no_such_bucket" else error from None

    def load(self) -> Load:
        """Since the last time: the median of how long our requests waited for an answer to begin, and whether one was to slow down."""
        found = Load(request_seconds=median(self._answers) if self._answers else None, throttled=self._throttled)
        self._answers, self._throttled = [], False
        return found

    async def _get(self, path: str, query: dict[str, str], *, most: int, span: tuple[int, int] | None = None) -> bytes:
        """One object or page, tried again with growing delay where the store is busy."""
        for attempt in range(_TRIES):
            try:
                return await asyncio.create_task(self._asked(path, query, most, span), context=self.context)
            except PurSightError as error:
                self._throttled |= error.code == "throttled"
                if error.code not in RETRIED or attempt == _TRIES - 1:
                    raise
            await asyncio.sleep(_FIRST_WAIT_SECONDS * 2**attempt * (0.5 + random.random()))
        raise AssertionError("not reached")

    async def _asked(self, path: str, query: dict[str, str], most: int, span: tuple[int, int] | None) -> bytes:
        self.statements += 1
        url = self.base.copy_with(raw_path=f"{self.base.raw_path.decode().rstrip('/')}{path}{_query(query)}".encode())
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={span[0]}-{span[1]}"} if span else {})}
        url = self.dialect.sign(url, headers, await self._who())
        started = time.perf_counter()
        try:
            async with self.client.stream("GET", url, headers=headers) as answer:
                self._note(answer, time.perf_counter() - started)
                body = await _body(answer, most if answer.is_success else 1 << 16)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, BaseExceptionGroup) as error:
            raise _told(error) from None
        if answer.status_code == 416:
            return b""
        if not answer.is_success:
            raise refusal(code_of(answer.status_code, body, answer.headers.get("x-ms-error-code", "")))
        return body[:most] if answer.status_code == 206 or not span else body[span[0] : span[1] + 1]

    async def _who(self) -> Dial:
        now = time.monotonic()
        if self._signed is None or now - self._asked_at > _ASK_AGAIN_SECONDS:
            self._signed, self._asked_at = await signed_in(self.dial, _itself), now
        return self._signed

    def _note(self, answer: httpx.Response, seconds: float) -> None:
        stream = answer.extensions.get("network_stream")
        self.tls = line_facts(stream.get_extra_info("ssl_object") if stream else None)
        self.round_trip_seconds = round(seconds, 6)
        self._answers.append(seconds)
        if date := answer.headers.get("date"):
            self.skew_seconds = round(parsedate_to_datetime(date).timestamp() - time.time() + 0.5, 1)  # it tells whole seconds


async def _itself(dial: Dial) -> Dial:
    return dial


async def _body(answer: httpx.Response, most: int) -> bytes:
    """Read no more than asked for, whatever is sent."""
    found = bytearray()
    async for piece in answer.aiter_raw():
        found += piece
        if len(found) >= most:
            break
    return bytes(found)


def _told(error: BaseException) -> PurSightError:
    """Ours, however deep the library wrapped it; else what the network said."""
    for each in _inside(error):
        if isinstance(each, PurSightError):
            return each
        if isinstance(each, ssl.SSLError) and each.reason == "WRONG_VERSION_NUMBER":  # plain text where a handshake was expected
            return refusal("tls_not_offered")
    if isinstance(error, httpx.TimeoutException):
        return failed(TimeoutError())
    if isinstance(error, httpx.RemoteProtocolError):
        return refusal("not_a_store")
    return failed(error)


def _inside(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _inside(each)
        error = error.__cause__ or error.__context__


def _query(query: Mapping[str, str]) -> str:
    told = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    return f"?{told}" if told else ""


def opened(dial: Dial, spec: DataSource) -> HttpStore:
    """The store of a source; nothing is dialled yet. Raises Failed (`token_needs_proof`, `tls_file_unreadable`, `egress_denied`)."""
    hush("httpx", "httpcore", "botocore")  # they log addresses, and an address may carry a signature
    scheme = "http" if dial.tls_mode == "disable" else "https"
    host = spec.host.strip("[]") or store_host(spec)
    prefix = spec.path.lstrip("/") + ("" if not spec.path.strip("/") or spec.path.endswith("/") else "/")
    prefix = prefix if prefix != "/" else ""
    dialect, host, path = _DIALECTS[spec.engine](spec, prefix, host, verified(dial.tls_mode))
    if not _HOST.fullmatch(host):  # account, region and bucket are parts of it, and none may end it
        raise Failed(
            "this address may not be dialled",
            why="storage_account, region or bucket make no host name",
            remedy="Correct them in the source.",
            code="egress_denied",
        )
    at, dial = f"[{host}]" if ":" in host else host, replace(dial, host=host)
    context = context_for(dial)
    client = httpx.AsyncClient(
        verify=context if context is not None else False,
        trust_env=False,
        timeout=httpx.Timeout(dial.statement_seconds, connect=dial.connect_seconds),
        limits=httpx.Limits(max_connections=spec.pool_size, max_keepalive_connections=spec.pool_size),
        headers={"User-Agent": dial.application_name},
    )
    return HttpStore(dial, dialect, prefix, httpx.URL(f"{scheme}://{at}:{spec.port or (80 if scheme == 'http' else 443)}{path}"), client)


@dataclass(frozen=True, slots=True)
class S3:
    """Amazon S3 and what speaks like it. username is the key's id; password its secret, with a session's token behind a line end."""

    prefix: str
    region: str
    version = ("2006-03-01", 20060301)

    def page(self, after: str) -> tuple[str, dict[str, str]]:
        query = {"list-type": "2", "prefix": self.prefix, "max-keys": str(_PAGE), "encoding-type": "url"}
        return "/", query | ({"continuation-token": after} if after else {})

    def path(self, key: str) -> tuple[str, dict[str, str]]:
        return "/" + quote(key, safe="/~"), {}

    def entries(self, body: bytes) -> Page:
        rows, told = _xml(body, "Contents")
        after = told.get("NextContinuationToken", "")
        if told.get("IsTruncated", "").lower() == "true" and not after:  # what it left out would look as if it were gone
            raise refusal("not_a_store")
        return Page([_entry(unquote(row.get("Key", "").replace("+", " ")), row.get("Size"), row.get("ETag")) for row in rows], after)

    def sign(self, url: httpx.URL, headers: dict[str, str], dial: Dial) -> httpx.URL:
        if dial.username:
            secret, _, session = dial.password.partition("\n")
            headers |= _sigv4(str(url), headers, self.region, (dial.username, secret, session))
        return url


def _sigv4(url: str, headers: Mapping[str, str], region: str, keys: tuple[str, str, str]) -> dict[str, str]:
    try:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError:
        raise missing_extra("AWS", "aws") from None
    request = AWSRequest("GET", url, headers=dict(headers))
    S3SigV4Auth(Credentials(keys[0], keys[1], keys[2] or None), "s3", region).add_auth(request)
    return dict(request.headers.items())


@dataclass(frozen=True, slots=True)
class Gcs:
    """Google Cloud Storage by its JSON interface. password is a bearer token; empty: nobody asks."""

    bucket: str
    prefix: str
    proven: bool
    version = ("v1", 1)

    def page(self, after: str) -> tuple[str, dict[str, str]]:
        query = {"prefix": self.prefix, "maxResults": str(_PAGE), "fields": "items(name,size,generation),nextPageToken"}
        return f"/storage/v1/b/{quote(self.bucket, safe='')}/o", query | ({"pageToken": after} if after else {})

    def path(self, key: str) -> tuple[str, dict[str, str]]:
        return f"/storage/v1/b/{quote(self.bucket, safe='')}/o/{quote(key, safe='')}", {"alt": "media"}

    def entries(self, body: bytes) -> Page:
        try:
            told = json.loads(body)
            return Page(
                [_entry(row.get("name"), row.get("size"), row.get("generation")) for row in told.get("items", ())],
                str(told.get("nextPageToken") or ""),
            )
        except (ValueError, AttributeError, TypeError):
            raise refusal("not_a_store") from None

    def sign(self, url: httpx.URL, headers: dict[str, str], dial: Dial) -> httpx.URL:
        if dial.password:
            _bearer(headers, dial, proven=self.proven)
        return url


def _bearer(headers: dict[str, str], dial: Dial, *, proven: bool) -> None:
    """Raises Failed `token_needs_proof` before anything is said."""
    if not proven:
        raise refusal("token_needs_proof")
    headers["Authorization"] = f"Bearer {dial.password}"


@dataclass(frozen=True, slots=True)
class Azure:
    """Azure Blob. password is a token (with `dial.token`), an account's key, or a shared access signature; empty: nobody asks."""

    account: str
    container: str
    prefix: str
    proven: bool
    version = (_AZURE_VERSION, 20211202)

    def page(self, after: str) -> tuple[str, dict[str, str]]:
        query = {"restype": "container", "comp": "list", "prefix": self.prefix, "maxresults": str(_PAGE)}
        return f"/{quote(self.container, safe='')}", query | ({"marker": after} if after else {})

    def path(self, key: str) -> tuple[str, dict[str, str]]:
        return f"/{quote(self.container, safe='')}/{quote(key, safe='/~')}", {}

    def entries(self, body: bytes) -> Page:
        rows, told = _xml(body, "Blob")
        return Page([_entry(row.get("Name"), row.get("Content-Length") or 0, row.get("Etag")) for row in rows], told.get("NextMarker", ""))

    def sign(self, url: httpx.URL, headers: dict[str, str], dial: Dial) -> httpx.URL:
        headers |= {"x-ms-version": _AZURE_VERSION, "x-ms-date": formatdate(usegmt=True)}
        if dial.token:
            _bearer(headers, dial, proven=self.proven)
        elif "sig=" in dial.password:
            if not self.proven:
                raise refusal("token_needs_proof")
            return url.copy_merge_params(dict(parse_qsl(dial.password.lstrip("?"))))
        elif dial.password:
            headers["Authorization"] = f"SharedKey {self.account}:{self._signature(url, headers, dial.password)}"
        return url

    def _signature(self, url: httpx.URL, headers: Mapping[str, str], key: str) -> str:
        """https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key, for a GET without a body."""
        own = "\n".join(f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-"))
        query = "".join(f"\n{name}:{value}" for name, value in sorted(url.params.items()))
        told = "\n".join(["GET", *[""] * 10, headers.get("Range", ""), own, f"/{self.account}{urlsplit(str(url)).path}{query}"])
        try:
            secret = base64.b64decode(key, validate=True)
        except ValueError:
            raise refusal("credentials_invalid") from None
        return base64.b64encode(hmac.new(secret, told.encode(), hashlib.sha256).digest()).decode()


def _entry(key: Any, size: Any, version: Any) -> Entry:
    """An object as a listing tells it. Raises Failed (`not_a_store`) where it has no name or no size."""
    try:
        if key and isinstance(key, str):
            return Entry(key, int(size), str(version or ""))
    except (ValueError, TypeError):
        pass
    raise refusal("not_a_store")


def _xml(body: bytes, row: str) -> tuple[list[dict[str, str]], dict[str, str]]:
    """The rows of a listing by the names of their elements, at any depth, and what stands beside them. A document type is refused."""
    rows: list[dict[str, str]] = []
    told: dict[str, str] = {}
    path: list[str] = []
    text: list[str] = []

    def start(name: str, _: Any) -> None:
        path.append(name)
        text.clear()
        if name == row:
            rows.append({})

    def end(name: str) -> None:
        target = rows[-1] if row in path and rows else told
        target.setdefault(name, "".join(text))
        path.pop()
        text.clear()

    def refuse(*_: Any) -> None:
        raise refusal("not_a_store")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text.append
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
        if "EnumerationResults" not in told and "ListBucketResult" not in told:
            refuse()
    except expat.ExpatError:
        refuse()
    return rows, told


def _s3(spec: DataSource, prefix: str, host: str, proven: bool) -> tuple[Dialect, str, str]:
    region = str(getattr(spec.cloud_config, "region", "")) or _REGION
    if spec.host or not _LABEL.fullmatch(spec.database):
        return S3(prefix, region), host, f"/{quote(spec.database, safe='')}"
    return S3(prefix, region), f"{spec.database}.{host}", ""


def _gcs(spec: DataSource, prefix: str, host: str, proven: bool) -> tuple[Dialect, str, str]:
    return Gcs(spec.database, prefix, proven), host, ""


def _azure(spec: DataSource, prefix: str, host: str, proven: bool) -> tuple[Dialect, str, str]:
    """An own server has the account in its path."""
    account = str(getattr(spec.cloud_config, "storage_account", ""))
    cloud = not spec.host or spec.host.startswith(f"{account}.")
    return Azure(account, spec.database, prefix, proven), host, "" if cloud else f"/{quote(account, safe='')}"


_DIALECTS = {"s3": _s3, "gcs": _gcs, "azure_blob": _azure}
