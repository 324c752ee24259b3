"""The first words with a server that speaks MongoDB's wire, before a driver dials it: is it there, is it proven, is it one, and which.

The driver wraps what goes wrong with a line in words; asked by ourselves, the network and TLS give their own errors. One short line,
without a sign-in, closed again.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from contextvars import Context
from dataclasses import dataclass, replace
from time import perf_counter, time
from typing import Any

import bson
from bson.errors import BSONError
from dns import asyncresolver
from dns.exception import DNSException

from shared.contracts.choices import address, members
from shared.errors import Failed
from shared.sources.base import Dial
from shared.sources.failures import failed
from shared.sources.mongo_failures import refusal
from shared.sources.postgres_knock import speaks_postgresql
from shared.sources.tls import LineFacts, context_for, line_facts

PORT = 27017
_OP_MSG = 2013
_MOST_BYTES = 1 << 20
_OLDEST_WIRE = 9  # MongoDB 4.4
_PLAIN_INSTEAD = ("tls_failed", "connection_reset", "tls_client_certificate", "tls_not_offered")
_CODEC: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(tz_aware=True)
Seed = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answered: what `hello` told, our own end of the line, and how long it took. `context` is None where nothing is encrypted."""

    seeds: tuple[Seed, ...]
    hello: dict[str, Any]
    tls: LineFacts
    context: ssl.SSLContext | None
    round_trip_seconds: float
    skew_seconds: float


async def knock(dial: Dial) -> Answer:
    """Ask the seeds in turn; the first that answers counts. Raises Failed with a code of `failures`: the first seed's, if none does."""
    seeds = await seeds_of(dial)
    errors = []
    for host, port in seeds:
        try:
            answer = await _first_words(dial, host, port)
        except Failed as error:
            errors.append(error)
        else:
            return replace(answer, seeds=seeds)
    raise errors[0]


async def seeds_of(dial: Dial, resolver: asyncresolver.Resolver | None = None) -> tuple[Seed, ...]:
    """Where to knock: the host, its seed list, or the host and the members that the source names."""
    spec = dial.spec
    if spec is not None and spec.srv:
        return await _seed_list(dial.host, resolver)
    named = members(spec) if spec else ()
    return tuple(dict.fromkeys([(dial.host, dial.port), *(address(each, PORT) for each in named)]))


async def _seed_list(host: str, resolver: asyncresolver.Resolver | None) -> tuple[Seed, ...]:
    """Only names below the host's own parent domain: whoever answers for DNS may not send us elsewhere. What comes of it is dialled under
    the guard like any other; the question itself goes to the operator's resolver, whose address is not the source's choice."""

    async def asked() -> Any:
        found = resolver or asyncresolver.get_default_resolver()
        return await found.resolve(f"_mongodb._tcp.{host}", "SRV")

    try:
        answer = await asyncio.create_task(asked(), context=Context())
    except DNSException:
        raise refusal("seed_list_missing") from None
    parent = "." + host.rstrip(".").partition(".")[2].lower()
    seeds = tuple((str(each.target).rstrip("."), int(each.port)) for each in sorted(answer, key=lambda one: str(one.target)))
    if parent.count(".") < 2 or not all(name.lower().endswith(parent) for name, _ in seeds):
        raise refusal("seed_list_refused")
    return seeds


async def _first_words(dial: Dial, host: str, port: int) -> Answer:
    context = context_for(dial)
    if context is None or dial.tls_mode != "prefer" or dial.cert:
        return await _asked(dial, host, port, context)
    try:
        return await _asked(dial, host, port, context)
    except Failed as error:
        if error.code not in _PLAIN_INSTEAD:
            raise
        return await _asked(dial, host, port, None)


async def _asked(dial: Dial, host: str, port: int, context: ssl.SSLContext | None) -> Answer:
    started = perf_counter()
    try:
        async with asyncio.timeout(dial.connect_seconds):
            reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host if context else None)
            try:
                tls, started = line_facts(writer.get_extra_info("ssl_object")), perf_counter()
                writer.write(_message({"hello": 1, "$db": "admin"}))
                hello = await _read(reader)
            finally:
                writer.close()
    except asyncio.IncompleteReadError:
        foreign = context is not None or await speaks_postgresql(host, port)
        raise refusal("not_mongodb" if foreign else "tls_required") from None
    except (OSError, UnicodeError) as error:
        raise _told(error, encrypted=context is not None) from None
    round_trip = perf_counter() - started
    return Answer((), _judged(dial, hello), tls, context, round(round_trip, 6), _skew(hello, round_trip))


def _told(error: OSError | UnicodeError, *, encrypted: bool) -> Failed:
    """A server without TLS hangs up on a handshake; `ssl` says that in its own ways."""
    found = failed(error)
    nobody = (
        isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError) and "ALERT" not in str(error.reason or "")
    )
    return refusal("tls_not_offered") if encrypted and (nobody or found.code == "connection_reset") else found


def _judged(dial: Dial, hello: dict[str, Any]) -> dict[str, Any]:
    wanted = dial.spec.replica_config.replica_set if dial.spec else ""
    if hello.get("ok") != 1.0 or "maxWireVersion" not in hello:
        raise refusal("not_mongodb")
    if hello["maxWireVersion"] < _OLDEST_WIRE:
        raise refusal("too_old")
    if wanted and hello.get("setName") != wanted:
        raise refusal("wrong_replica_set")
    return hello


def _skew(hello: dict[str, Any], round_trip: float) -> float:
    clock = hello.get("localTime")
    return round(clock.timestamp() - time() + round_trip / 2, 3) if clock else 0.0


def _message(command: dict[str, Any]) -> bytes:
    body = struct.pack("<IB", 0, 0) + bson.encode(command)
    return struct.pack("<iiii", 16 + len(body), 1, 0, _OP_MSG) + body


async def _read(reader: asyncio.StreamReader) -> dict[str, Any]:
    size, _, _, kind = struct.unpack("<iiii", await reader.readexactly(16))
    if kind != _OP_MSG or not 21 < size <= _MOST_BYTES:
        raise refusal("not_mongodb")
    body = await reader.readexactly(size - 16)
    try:
        return bson.decode(body[5:], _CODEC)
    except BSONError:
        raise refusal("not_mongodb") from None
