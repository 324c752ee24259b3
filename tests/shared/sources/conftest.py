"""Sources to dial: the session's PostgreSQL without TLS, and Debian's PostgreSQL 15 with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import pytest

from shared.egress import GuardedLoop
from shared.sources.base import Dial

T = TypeVar("T")


def dial_of(url: str, **more: Any) -> Dial:
    """The dial for a database URL, without TLS unless said otherwise."""
    parts = urlsplit(url)
    given = {"tls_mode": "disable", "connect_seconds": 5.0, "statement_seconds": 10.0} | more
    return Dial(
        **{
            "host": parts.hostname or "",
            "port": parts.port or 5432,
            "database": parts.path.lstrip("/"),
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
        }
        | given
    )


@pytest.fixture
def dialled() -> Callable[..., Dial]:
    """`dial_of` for tests, which cannot import from here."""
    return dial_of


@pytest.fixture
def guarded_run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine on the guarded loop, as connector and discovery do."""

    def run(work: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=GuardedLoop) as runner:
            return runner.run(work)

    return run
