"""Short-lived proofs of who knew the token: links that open the pages once, sessions of browsers."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

LINK_SECONDS = 600
CLOCK_SECONDS = 3600  # a clock that is set back this far makes no old link new
EXPIRY = re.compile(r"[0-9]{1,12}")


def _sign(token: str, purpose: str, text: str) -> str:
    return hmac.new(token.encode(), f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def sealed(token: str, purpose: str, *, seconds: int, nonce: str = "") -> str:
    """A short-lived proof that whoever made it knew the token: `nonce.expiry.signature`."""
    body = f"{nonce}.{int(time.time()) + seconds}"
    return f"{body}.{_sign(token, purpose, body)}"


def opens(token: str, purpose: str, seal: str) -> bool:
    """Is the seal ours, for this purpose, and still fresh?"""
    body, _, signature = seal.rpartition(".")
    expiry = body.rpartition(".")[2]
    fresh = EXPIRY.fullmatch(expiry) is not None and int(expiry) >= time.time()
    return fresh and hmac.compare_digest(signature.encode(), _sign(token, purpose, body).encode())


def login_link(base_url: str, token: str) -> str:
    """The address to print for a browser: opens the pages once, within ten minutes."""
    return f"{base_url}/login?code={sealed(token, 'link', seconds=LINK_SECONDS, nonce=secrets.token_urlsafe(9))}"


class Spent:
    """Links that were used: an empty file for each, so that a restart, or a second door on the same data directory, knows them, too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def first(self, code: str) -> bool:
        """Whether nobody came with it before; from now on somebody has. Raises OSError where that cannot be kept."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        try:
            os.close(os.open(self._folder / hashlib.sha256(code.encode()).hexdigest(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True

    def _sweep(self) -> None:
        """What is older than a link can be is of no use."""
        for file in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if file.stat().st_mtime < time.time() - LINK_SECONDS - CLOCK_SECONDS:
                    file.unlink()
