"""From reference to value, in the process that needs it, at the moment it needs it. Nothing is cached, so rotation needs no restart."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from shared.errors import Failed, PurSightError
from shared.secrets.reference import SecretRef
from shared.secrets.vault import LocalVault

MAX_FILE_BYTES = 64 * 1024


async def resolve(reference: str, *, home: Path) -> str:
    """The secret that `reference` names.

    Raises UsageError where it is no reference, Failed (`secret_missing`) where its store does not have it, and
    Failed (`secret_store_unsupported`) where this build cannot ask that store.
    """
    ref = SecretRef.parse(reference)
    return await asyncio.to_thread(_read, ref, home)


def _read(ref: SecretRef, home: Path) -> str:
    reader = READERS.get(ref.scheme)
    if reader is None:
        raise Failed(
            f"the secret store {ref.scheme} is not supported yet", remedy="Use env:, file: or local:.", code="secret_store_unsupported"
        )
    value = reader(ref.name, home)
    if value is None:
        raise _missing(ref)
    return value


def _missing(ref: SecretRef) -> PurSightError:
    hints = {
        "env": "Set the variable for the services, then try again.",
        "file": "Check the path and that the service's user may read it.",
        "local": f"Store it with `pursight secrets set {ref.name}`.",
    }
    return Failed(f"the secret {ref} was not found", why=f"looked in {ref.scheme}:", remedy=hints[ref.scheme], code="secret_missing")


def _env(name: str, _: Path) -> str | None:
    return os.environ.get(name)


def _file(name: str, _: Path) -> str | None:
    try:
        with open(name, "rb") as file:
            return file.read(MAX_FILE_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        return None


def _local(name: str, home: Path) -> str | None:
    return LocalVault(home / "secrets").get(name)


READERS: dict[str, Callable[[str, Path], str | None]] = {"env": _env, "file": _file, "local": _local}
