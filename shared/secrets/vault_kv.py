"""HashiCorp Vault (or OpenBao), key-value engine version 2, by its HTTP interface: signed in by token, AppRole or Kubernetes.

Set up by the variables that Vault's own tool reads (VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT), and for the other ways
VAULT_ROLE_ID with VAULT_SECRET_ID, or VAULT_KUBERNETES_ROLE. A sign-in is kept while its lease lasts: each one is a lease in Vault.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shared.errors import Failed
from shared.secrets.calls import call, denied, misnamed, unconfigured
from shared.secrets.reference import Place

STORE = "vault"
KUBERNETES_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_PATH = re.compile(r"[\w.\-]+(?:/[\w.\- ]+)+")


class VaultKv:
    """One Vault, as the environment names it at the time of each call."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._token, self._until = "", 0.0

    async def read(self, place: Place) -> str | None:
        """The field `key` of a secret; None where the path, version or field is not there.

        Raises Failed `secret_store_denied`, `secret_store_unconfigured`, `secret_reference_wrong`; Transient where it is away.
        """
        if not _PATH.fullmatch(place.path) or ".." in place.path.split("/"):
            raise misnamed(STORE, "vault:MOUNT/PATH#FIELD")
        mount, _, path = place.path.partition("/")
        version = f"?version={int(place.options['version'])}" if place.options.get("version", "").isdigit() else ""
        status, answer = await self._get(f"/v1/{mount}/data/{quote(path)}{version}")
        if status == 404:
            return None
        if status != 200:
            raise denied(STORE)
        return _field((answer.get("data") or {}).get("data") or {}, place.key)

    async def _get(self, path: str) -> tuple[int, Any]:
        given = os.environ.get("VAULT_TOKEN", "")
        for _ in range(2):
            token = given or await self._signed_in()
            status, answer = await self._call("GET", path, token)
            if status != 403 or given:
                break
            self._until = 0.0  # revoked meanwhile, or never allowed: the second answer tells
        return status, answer

    async def _signed_in(self) -> str:
        if self._clock() >= self._until:
            method, body = _way()
            mount = os.environ.get("VAULT_AUTH_MOUNT", method)
            status, answer = await self._call("POST", f"/v1/auth/{mount}/login", body=body)
            if status != 200:
                raise denied(STORE)
            self._token = str(answer["auth"]["client_token"])
            self._until = self._clock() + 0.75 * float(answer["auth"].get("lease_duration") or 0)
        return self._token

    async def _call(self, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
        address = os.environ.get("VAULT_ADDR", "")
        if not address:
            raise unconfigured(STORE, "Set VAULT_ADDR, and VAULT_TOKEN, VAULT_ROLE_ID with VAULT_SECRET_ID, or VAULT_KUBERNETES_ROLE.")
        headers = {"X-Vault-Request": "true", "X-Vault-Token": token, "X-Vault-Namespace": os.environ.get("VAULT_NAMESPACE", "")}
        wanted = {name: value for name, value in headers.items() if value}
        trusted = os.environ.get("VAULT_CACERT", "")
        return await call(STORE, method, address.rstrip("/") + path, headers=wanted, body=body, trusted=trusted)


def _way() -> tuple[str, dict[str, str]]:
    """How to sign in: the method's usual mount, and what is said there."""
    environment = os.environ
    if role := environment.get("VAULT_ROLE_ID"):
        secret = environment.get("VAULT_SECRET_ID") or _file(environment.get("VAULT_SECRET_ID_FILE", ""))
        return "approle", {"role_id": role, "secret_id": secret}
    if role := environment.get("VAULT_KUBERNETES_ROLE"):
        return "kubernetes", {"role": role, "jwt": _file(environment.get("VAULT_KUBERNETES_TOKEN_FILE", KUBERNETES_TOKEN))}
    raise unconfigured(STORE, "Set VAULT_TOKEN, VAULT_ROLE_ID with VAULT_SECRET_ID, or VAULT_KUBERNETES_ROLE.")


def _file(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise unconfigured(STORE, "The file with our token or secret id cannot be read.") from None


def _field(fields: dict[str, Any], key: str) -> str | None:
    """The field that is asked for, or the only one there is."""
    if not key and len(fields) != 1:
        raise Failed(
            "a reference to vault names no field", why="the secret has several", remedy="Add #FIELD.", code="secret_reference_wrong"
        )
    value = fields.get(key) if key else next(iter(fields.values()))
    return value if value is None or isinstance(value, str) else json.dumps(value)
