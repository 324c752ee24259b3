"""Is it PostgreSQL that answers there? Asked where another engine's first words stay without a sensible answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress

_ASK_FOR_TLS = bytes.fromhex("0000000804d2162f")  # PostgreSQL's SSLRequest, which it answers by one letter, signed in or not
_ANSWERS = (b"S", b"N", b"E")
_SECONDS = 1.0


async def speaks_postgresql(host: str, port: int) -> bool:
    """One short line of its own. False where nobody answers in time."""
    with suppress(OSError, UnicodeError):
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_ASK_FOR_TLS)
                return await reader.read(1) in _ANSWERS
            finally:
                writer.close()
    return False
