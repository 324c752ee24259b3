"""Lines to both endpoints of a hybrid source, kept open so that a look costs one round trip and a fail-over no dial."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

from services.connector.domain.failover import Look
from services.connector.gateway import Dialler
from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource
from shared.errors import PurSightError
from shared.sources.base import Member, Probe, SourceSession
from shared.sources.failures import BY_CODE, failure_of


class WarmLine:
    """One endpoint. For one task at a time; closed by `close`."""

    def __init__(self, dialler: Dialler, spec: DataSource, plan: ConnectionPlan, patience: float) -> None:
        self._dialler, self._spec, self._patience, self.plan = dialler, spec, patience, plan
        self._stack: AsyncExitStack | None = None
        self._session: SourceSession | None = None
        self._opening: asyncio.Task[None] | None = None
        self._opened_once, self._why = False, "timeout"
        self._closing: set[asyncio.Task[None]] = set()

    async def look(self) -> Look | None:
        """How the endpoint is now, within the patience. None while it is dialled for the first time."""
        if self._session is None and not await self._ready():
            first = not self._opened_once and self._opening is not None
            return None if first else Look(self._why)
        assert self._session is not None
        try:
            async with asyncio.timeout(self._patience):
                return await self._asked(self._session)
        except (PurSightError, TimeoutError) as error:
            self._why = failure_of(error).code
            self._drop()
            return Look(self._why)

    async def probe(self) -> Probe:
        """All that a probe finds, on the open line. Raises PurSightError; TimeoutError where there is no line."""
        if self._session is None:
            raise TimeoutError
        return await self._dialler.probed(self._spec, self.plan, self._session)

    async def close(self) -> None:
        """Leave no session behind."""
        if self._opening:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        self._drop()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _asked(self, session: SourceSession) -> Look:
        if isinstance(session, Member):
            return Look("", *await session.standing())
        return Look("" if await self._dialler.probed(self._spec, self.plan, session) else "server_error")

    async def _ready(self) -> bool:
        """Dialling goes on beside the looks: a slow sign-in is no reason to wait, and none to dial again."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        await asyncio.wait({self._opening}, timeout=self._patience)
        if not self._opening.done():
            return False
        opening, self._opening, self._opened_once = self._opening, None, True
        if error := opening.exception():
            if not isinstance(error, PurSightError):
                raise error
            self._why = error.code if error.code in BY_CODE else failure_of(error).code
            return False
        return True

    async def _open(self) -> None:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._dialler.line(self._spec, self.plan))
            self._session, self._stack = session, stack.pop_all()

    def _drop(self) -> None:
        """A broken line may take seconds to close; nobody waits for that."""
        stack, self._stack, self._session = self._stack, None, None
        if stack is not None:
            closing = asyncio.create_task(_closed(stack))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _closed(stack: AsyncExitStack[Any]) -> None:
    with suppress(PurSightError):
        await stack.aclose()
