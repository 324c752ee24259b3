"""A pool of PostgreSQL connections that sees one service's schema only."""

from __future__ import annotations

import re
import socket
from typing import cast

import asyncpg

from shared.errors import Transient, UsageError

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_AWAY: tuple[type[BaseException], ...] = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InternalClientError,  # a connection that broke while it was handed out: another one will do
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DiskFullError,
)


def away(error: BaseException) -> bool:
    """Whether this is PostgreSQL or the network being away: trying again later may work.

    asyncpg says InterfaceError both for a closed connection and for a wrong argument; only the first is away. A bare OSError is
    the network's (several addresses failed, unreachable); its subclasses may be a missing file.
    """
    if isinstance(error, asyncpg.InterfaceError):
        return "clos" in str(error)
    return isinstance(error, _AWAY) or type(error) is OSError


def schema_name(schema: str) -> str:
    """`schema` itself. Raises UsageError where it is not a plain lower-case SQL name, because it is put into statements."""
    if not _NAME.fullmatch(schema):
        raise UsageError("not a schema name", remedy="Use lower-case letters, digits and underscores.", code="schema_name")
    return schema


async def open_pool(url: str, *, schema: str, min_size: int = 1, max_size: int = 4, application_name: str) -> asyncpg.Pool:
    """Open a pool whose connections have `schema` as their only search path. The schema need not exist yet.

    Statements are prepared and cached per connection, and locks are held by sessions, so the URL must lead to PostgreSQL itself or
    to a pooler in session mode. Raises Transient where the server does not answer within ten seconds.
    """
    settings = {"search_path": schema_name(schema), "application_name": application_name, "jit": "off"}
    try:
        return cast(
            asyncpg.Pool,
            await asyncpg.create_pool(
                url, min_size=min_size, max_size=max_size, server_settings=settings, timeout=10, max_inactive_connection_lifetime=0
            ),
        )
    except Exception as error:
        if not away(error):
            raise
        raise Transient("the database does not answer", why=type(error).__name__, code="database_away") from error
