"""Seals the bytes of requests that were put aside: an upstream may have written a secret into them."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import Failed, UsageError
from shared.settings import default_home

VARIABLE = "PURSIGHT_DEAD_LETTER_KEY"
_NONCE = 12


class Seal:
    """AES-256-GCM. The first key seals, every key opens, so keys can be rotated."""

    def __init__(self, *keys: bytes) -> None:
        self._ciphers = [AESGCM(key) for key in keys]

    @classmethod
    def load(cls, home: Path | None = None) -> Seal:
        """Keys from PURSIGHT_DEAD_LETTER_KEY (base64 of 32 bytes, several separated by commas), else from the data directory's
        `secrets/dead-letters.key`, which is made where it is missing. All instances of a service need the same key.
        """
        if text := os.environ.get(VARIABLE):
            return cls(*map(_decoded, text.split(",")))
        path = (home or Path(os.environ.get("PURSIGHT_HOME") or default_home())) / "secrets" / "dead-letters.key"
        return cls(_decoded(_read_or_make(path)))

    def close(self, plain: bytes, *, place: str) -> bytes:
        """Seal `plain`; it opens only with the same `place`."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """The plain bytes. Raises Failed where none of the keys fits."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place.encode())
            except InvalidTag:
                continue
        raise Failed("a dead letter cannot be opened", why="no key fits", remedy=f"Add the older key to {VARIABLE}.", code="seal_key")


def _decoded(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise UsageError(f"{VARIABLE} is not base64 of 32 bytes", remedy="Make one with `openssl rand -base64 32`.", code="seal_key_form")
    return key


def _read_or_make(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(base64.b64encode(os.urandom(32)).decode())
    try:
        os.link(draft, path)  # whoever is first wins, and nobody reads half a key
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
