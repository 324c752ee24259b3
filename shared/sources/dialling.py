"""From a registered source, or the connector's plan for it, to a dial and the egress policy that guards it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from contextvars import Context
from dataclasses import replace
from typing import TypeVar

from shared.cloud.tokens import BY_TOKEN
from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource, SslConfig
from shared.egress import EgressPolicy, Surroundings, for_operators, guarded, reached
from shared.errors import Failed
from shared.sources.base import Dial, Lookup
from shared.sources.failures import BY_CODE

_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}  # the last in milliseconds
_REFUSED = ("wrong_password", "password_expired", "credentials_invalid", "credentials_expired")
Line = TypeVar("Line")


def policy_for(spec: DataSource, around: Surroundings) -> EgressPolicy:
    """Where a source may be dialled; of the server that holds PurSight's own state, the other databases. Raises Failed with
    `folder_refused` where a folder of this machine is named that the operator did not open."""
    if spec.engine == "folder" and not around.may_read(spec.path):
        raise BY_CODE["folder_refused"].error()
    own = around.own
    is_state = bool(own.state_database) and spec.database == own.state_database
    return EgressPolicy(
        location=spec.location,
        local=around.local,
        private=around.private,
        own_ports=own.ports | ({own.state_port} if is_state else set()),
        own_hosts=own.hosts | ({own.state_host} if is_state else set()),
        own_identity=around.own_identity,
    )


def dial_for(
    spec: DataSource,
    plan: ConnectionPlan,
    lookup: Lookup,
    *,
    application_name: str,
    connect_seconds: float,
    statement_seconds: float,
    ssl: SslConfig | None = None,
) -> Dial:
    """The plan decides where, as whom and how safely; `ssl`, else the spec, brings the files of TLS.

    Raises Failed with `token_needs_proof` where a token would go over a line whose other end is not proven.
    """
    ssl = ssl or spec.ssl_config
    return Dial(
        host=plan.host,
        port=plan.port,
        database=plan.database,
        username=plan.username,
        tls_mode=plan.tls_mode,
        ca=ssl.ca,
        cert=ssl.cert,
        key=ssl.key,
        application_name=application_name,
        connect_seconds=connect_seconds,
        statement_seconds=statement_seconds,
        lookup=lookup,
        token=plan.sign_in in BY_TOKEN,
        keepalive=spec.location == "hybrid",
        spec=spec,
    )


def keep_alive(line: socket.socket | None) -> None:
    """A line that nobody answers on any more is given up after half a minute, not after hours."""
    if line is None or line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def signed_in(dial: Dial, connect: Callable[[Dial], Awaitable[Line]]) -> Line:
    """One physical connection, with a password or token asked for just now, for the host and port of `dial`.

    Refused, they are asked for once more, because they may have been changed meanwhile, and tried where they are others.
    Raises as `connect` and the dial's `lookup` do, Failed with `token_not_accepted`.
    """
    line = await _signed_in(dial, connect)
    reached("identity")
    return line


async def _signed_in(dial: Dial, connect: Callable[[Dial], Awaitable[Line]]) -> Line:
    if dial.lookup is None:
        return await connect(dial)
    first = await _looked_up(dial, dial.lookup, again=False)
    try:
        return await connect(first)
    except Failed as error:
        if error.code not in _REFUSED:
            raise
        refused = error
    second = await _looked_up(dial, dial.lookup, again=True)
    if second.password == first.password:
        raise _told(dial, refused)
    try:
        return await connect(second)
    except Failed as error:
        raise _told(dial, error) from None


async def _looked_up(dial: Dial, lookup: Lookup, *, again: bool) -> Dial:
    """In a context of its own: secret stores and token servers are the operator's, so of the source's egress policy only that counts for
    them which says whether it may be this machine."""
    policy = for_operators()

    async def asked() -> tuple[str, str]:
        with guarded(policy) if policy else nullcontext():
            return await lookup(dial.host, dial.port, again)

    username, password = await asyncio.create_task(asked(), context=Context())
    return replace(dial, username=username or dial.username, password=password)


def _told(dial: Dial, error: Failed) -> Failed:
    """A refused token is not a wrong password."""
    return BY_CODE["token_not_accepted"].error() if dial.token and error.code in _REFUSED else error
