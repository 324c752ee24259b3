"""From reference to value, in the process that needs it, at the moment it needs it. No value is kept, so rotation needs no restart."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from shared.cloud.tokens import Tokens
from shared.errors import Failed, PurSightError, Transient
from shared.secrets.calls import away
from shared.secrets.clouds import AwsSecrets, AzureSecrets, GcpSecrets
from shared.secrets.reference import Place, SecretRef
from shared.secrets.vault import LocalVault
from shared.secrets.vault_kv import VaultKv

STORE_SECONDS = 20.0  # all tries of one store together
MAX_FILE_BYTES = 64 * 1024
# What the services themselves sign in with: no source may have it sent to a host of its choice.
OUR_OWN = frozenset(
    ["PURSIGHT_DATABASE_URL", "PURSIGHT_TOKEN", "PURSIGHT_FERNET_KEYS", "KAFKA_SASL_PASSWORD", "VAULT_TOKEN", "VAULT_SECRET_ID"]
)
HINTS = {
    "env": "Set the variable for the services, then try again.",
    "file": "Check the path and that the services' user may read it.",
    "local": "Store it with `pursight secrets set`.",
}
Reader = Callable[[str], Awaitable[str | None]]


class Secrets:
    """The secret stores of one process. Used within one event loop."""

    def __init__(self, home: Path) -> None:
        self._home = home
        tokens = Tokens(self.resolve)
        self._readers: dict[str, Reader] = {
            "env": self._env,
            "file": self._file,
            "local": self._local,
            "vault": _remote(VaultKv().read, whole=True),
            "aws-sm": _remote(AwsSecrets().read),
            "azure-kv": _remote(AzureSecrets(tokens).read),
            "gcp-sm": _remote(GcpSecrets(tokens).read),
        }

    async def resolve(self, text: str) -> str:
        """The secret that a reference names, or the first of several that has it.

        Raises UsageError where it is no reference; Failed (`secret_missing`, or the first store's own failure), Transient where a store
        is away, with each miss by the name of its store.
        """
        misses: list[tuple[SecretRef, PurSightError | None]] = []
        for ref in SecretRef.chain(text):
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    if value := await self._readers[ref.scheme](ref.name):
                        return value
                misses.append((ref, None))
            except TimeoutError:
                misses.append((ref, away(ref.scheme)))
            except PurSightError as error:
                misses.append((ref, error))
        raise _missed(misses)

    async def _env(self, name: str) -> str | None:
        if name in OUR_OWN:
            raise _forbidden()
        return os.environ.get(name)

    async def _file(self, name: str) -> str | None:
        return await asyncio.to_thread(_file, name, self._home)

    async def _local(self, name: str) -> str | None:
        return await asyncio.to_thread(LocalVault(self._home / "secrets").get, name)


def _remote(read: Callable[[Place], Awaitable[str | None]], *, whole: bool = False) -> Reader:
    """A store that is asked over the network. `whole`: it finds the key by itself; else the secret is JSON where a key is named."""

    async def reader(name: str) -> str | None:
        place = Place.parse(name)
        value = await read(place)
        return value if whole or value is None or not place.key else _part(value, place.key)

    return reader


def _part(value: str, key: str) -> str | None:
    """One value of a secret that is a JSON object; None where it is not, or does not have it."""
    try:
        found = json.loads(value)
    except ValueError:
        return None
    part = found.get(key) if isinstance(found, dict) else None
    return part if part is None or isinstance(part, str) else json.dumps(part)


def _file(name: str, home: Path) -> str | None:
    try:
        path = Path(name).resolve()
        if path.is_relative_to(home.resolve()) or path.is_relative_to("/proc"):
            raise _forbidden()
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES).decode().rstrip("\r\n")
    except (OSError, ValueError):  # also bytes that are no text, and a path that cannot be one
        return None


def _forbidden() -> Failed:
    return Failed(
        "this secret is PurSight's own",
        why="a source may not have it sent to a host of its choice",
        remedy="Give the source a secret of its own.",
        code="secret_not_yours",
    )


def _missed(misses: list[tuple[SecretRef, PurSightError | None]]) -> PurSightError:
    """One miss as it is; several in one line, in the order in which they were asked."""
    ref, first = next(((ref, error) for ref, error in misses if error), (misses[0][0], None))
    if len(misses) == 1 and first:
        return first
    told = "; ".join(f"{each.scheme}: {error.why or error.what if error else 'does not have it'}" for each, error in misses)
    kind = Transient if any(isinstance(error, Transient) for _, error in misses) else Failed
    what = f"the secret {ref} was not found" if len(misses) == 1 else f"none of {len(misses)} stores has the secret"
    remedy = (first.remedy if first else "") or HINTS.get(ref.scheme, "Check the name, and the version where one is named.")
    return kind(what, why=told, remedy=remedy, code=first.code if first else "secret_missing")
