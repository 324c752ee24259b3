"""One open line a source, kept between checks: whether a server still answers is then one round trip instead of a sign-in."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from time import monotonic

from shared.errors import PurSightError
from shared.sources.base import Dial, Member, Probe, SourceDriver

MOST = 1000  # lines; the one that was not used for longest goes


@dataclass(slots=True)
class _Line:
    session: Member
    version: int
    is_replica: bool
    stack: AsyncExitStack
    used: float


class KeptLines:
    """The lines of one process. Used within one event loop, and for one source by one task at a time."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lines: OrderedDict[str, _Line] = OrderedDict()

    async def probe(self, key: str, version: int, driver: SourceDriver, dial: Dial) -> Probe:
        """Open a line, look at everything, and keep the line where its session tells its standing. Raises as the driver does."""
        await self.drop(key)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(driver.open(dial))
            found = await session.probe()
            if isinstance(session, Member):
                self._lines[key] = _Line(session, version, found.server.is_replica, stack.pop_all(), monotonic())
        while len(self._lines) > self._most:
            await self.drop(next(iter(self._lines)))
        return found

    async def glance(self, key: str, version: int, *, patience: float) -> float | None:
        """Seconds of one round trip; None where there is no line for this version of the source, or it no longer tells that all is well."""
        line = self._lines.get(key)
        if line is None or line.version != version:
            return None
        started = monotonic()
        try:
            async with asyncio.timeout(patience):
                same = (await line.session.standing()).is_replica == line.is_replica
        except (PurSightError, TimeoutError):
            same = False
        if not same:
            await self.drop(key)
            return None
        line.used = monotonic()
        self._lines.move_to_end(key)
        return line.used - started

    async def drop(self, key: str) -> None:
        """Close the source's line, where there is one."""
        if line := self._lines.pop(key, None):
            with suppress(PurSightError):  # a line that is already broken
                await line.stack.aclose()

    async def drop_unused(self, seconds: float) -> None:
        """Close what was not used for so long: another process watches that source, or nobody does."""
        for key in [key for key, line in self._lines.items() if monotonic() - line.used > seconds]:
            await self.drop(key)

    async def close(self) -> None:
        for key in list(self._lines):
            await self.drop(key)
