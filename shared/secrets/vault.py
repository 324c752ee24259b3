"""The `local:` secret store of the laptop stack: envelope encryption, key ids, rotation, files that only their owner reads.

Each secret has a data key of its own (AES-256-GCM); the data key is wrapped by the newest key of `keys.json`. The secret's
name is bound as associated data, so a row moved to another name does not open.

Fernet tokens of an older store can be adopted: they open with PURSIGHT_FERNET_KEYS (keys, or the application secrets that keys were
derived from by SHA-256, comma separated, the newest first), and become rows like all others at the next rotation.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import Failed, UsageError

NONCE_BYTES = 12
FERNET_KEYS = "PURSIGHT_FERNET_KEYS"
Row = dict[str, str]


class LocalVault:
    """Secrets in `folder`, shared by the processes of one stack through a lock file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys_file, self._rows_file = folder / "keys.json", folder / "secrets.json"

    def put(self, name: str, value: str) -> None:
        """Store or replace. Raises UsageError where the name is empty."""
        if not name:
            raise UsageError("a secret needs a name", code="secret_unnamed")
        with self._locked():
            keys = self._keys(create=True)
            rows = self._rows()
            rows[name] = _seal(keys, name, value)
            self._write(self._rows_file, rows)

    def get(self, name: str) -> str | None:
        """The value, or None where there is none. Raises Failed where it cannot be opened."""
        try:
            return self._get(name)
        except Failed:  # a rotation may have come between the two files
            with self._locked():
                return self._get(name)

    def adopt(self, tokens: Mapping[str, str]) -> int:
        """Take Fernet tokens over as they are, by name. Returns how many; raises Failed, and takes none, where one does not open."""
        rows = {name: {"fernet": token} for name, token in tokens.items()}
        for name, row in rows.items():
            _open({}, name, row)
        with self._locked():
            self._write(self._rows_file, self._rows() | rows)
        return len(rows)

    def names(self) -> list[str]:
        """All names, sorted; never a value."""
        return sorted(self._rows())

    def mark(self, name: str) -> str:
        """Tells what is stored now from what is put there later, and nothing of the value; empty where there is none."""
        row = self._rows().get(name)
        return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest() if row else ""

    def remove(self, name: str, *, marked: str = "") -> bool:
        """Forget one, with `marked` only where its mark is still that; False where there is no such secret."""
        with self._locked():
            if marked and self.mark(name) != marked:
                return False
            rows = self._rows()
            found = rows.pop(name, None) is not None
            self._write(self._rows_file, rows)
            return found

    def rotate(self) -> int:
        """Make a new key, wrap every secret with it, drop the older keys. Returns how many were wrapped anew."""
        with self._locked():
            keys, rows = self._keys(create=True), self._rows()
            plain = {name: _open(keys, name, row) for name, row in rows.items()}
            fresh = {str(max(map(int, keys)) + 1): _text(AESGCM.generate_key(256))}
            self._write(self._keys_file, keys | fresh)  # a crash after this line leaves both keys: all rows still open
            self._write(self._rows_file, {name: _seal(fresh, name, value) for name, value in plain.items()})
            self._write(self._keys_file, fresh)
            return len(plain)

    def _get(self, name: str) -> str | None:
        row = self._rows().get(name)
        return None if row is None else _open(self._keys(), name, row)

    def _keys(self, *, create: bool = False) -> dict[str, str]:
        keys = self._read(self._keys_file)
        if not keys and create:
            keys = {"1": _text(AESGCM.generate_key(256))}
            self._write(self._keys_file, keys)
        return keys

    def _rows(self) -> dict[str, Row]:
        return self._read(self._rows_file)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return dict(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise Failed(
                f"{path.name} of the secret store cannot be read", why=type(error).__name__, code="secret_store_unreadable"
            ) from None

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._folder)  # mkstemp files are 0600
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(content, sort_keys=True).encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


def _encrypt(key: bytes, plain: bytes, name: str) -> str:
    nonce = os.urandom(NONCE_BYTES)
    return _text(nonce + AESGCM(key).encrypt(nonce, plain, name.encode()))


def _decrypt(key: bytes, text: str, name: str) -> bytes:
    sealed = _bytes(text)
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())


def _seal(keys: dict[str, str], name: str, value: str) -> Row:
    newest = max(keys, key=int)
    data_key = AESGCM.generate_key(256)
    return {"key": newest, "data_key": _encrypt(_bytes(keys[newest]), data_key, name), "value": _encrypt(data_key, value.encode(), name)}


def _open(keys: dict[str, str], name: str, row: Row) -> str:
    try:
        if "fernet" in row:
            return _fernet().decrypt(row["fernet"]).decode()
        data_key = _decrypt(_bytes(keys[row["key"]]), row["data_key"], name)
        return _decrypt(data_key, row["value"], name).decode()
    except (KeyError, InvalidTag, InvalidToken, ValueError):
        raise Failed(
            f"the stored secret {name} cannot be opened",
            why="its key is missing or the file was changed",
            remedy=f"Set {FERNET_KEYS}." if "fernet" in row else "Store it again with `pursight secrets set`.",
            code="secret_unreadable",
        ) from None


def _fernet() -> MultiFernet:
    """Raises ValueError where no key is set."""
    return MultiFernet([_fernet_of(part.strip()) for part in os.environ.get(FERNET_KEYS, "").split(",") if part.strip()])


def _fernet_of(text: str) -> Fernet:
    try:
        return Fernet(text)
    except ValueError:
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()))
