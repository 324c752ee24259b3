"""What every cloud's sign-in gives: a token, for how long, and as whom. And whether a metadata server is there to ask."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from urllib.parse import urlsplit

METADATA_SECONDS = 1.0  # a link-local address: it answers at once, or it is not there


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token. `expires_at` is the provider's word, in seconds since 1970. `account`: whom it stands for, where that is told."""

    value: str = field(repr=False)
    expires_at: float
    account: str = ""


async def somebody_at(address: str) -> bool:
    """Does anybody listen at this http address? The libraries wait much longer before they say so, or do not say it."""
    at = urlsplit(address)
    try:
        async with asyncio.timeout(METADATA_SECONDS):
            _, writer = await asyncio.open_connection(at.hostname, at.port or 80)
    except OSError:  # also when it takes too long
        return False
    writer.close()
    return True


def hush(*libraries: str) -> None:
    """For libraries that log what is sent and answered, secrets among it, some even as a warning. Their errors reach us anyway."""
    for name in libraries:
        logging.getLogger(name).setLevel(logging.CRITICAL)
