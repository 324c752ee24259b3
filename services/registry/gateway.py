"""The registry's hand in the local secret store: a password that belongs to one source alone goes when the source goes."""

from __future__ import annotations

import asyncpg

from shared.bus.jobs import Jobs
from shared.contracts.names import SourceName
from shared.contracts.source import DataSource
from shared.secrets.vault import LocalVault

FORGET = "forget_secret"  # the kind of job; its key is the secret's name, its payload the mark of what was stored at the removal


class OwnSecrets:
    """Passwords that `pursight scan` stored for one source, by the name that only this source's has."""

    def __init__(self, vault: LocalVault, jobs: Jobs) -> None:
        self._vault, self._jobs = vault, jobs

    async def let_go(self, connection: asyncpg.Connection, removed: DataSource) -> None:
        """In the removal's transaction, plan that the source's own password is forgotten. One under another name stays."""
        name = SourceName(removed.tenant, removed.name).secret
        if mark := self._vault.mark(name):
            await self._jobs.enqueue(connection, FORGET, name, mark)

    def forget(self, name: str, mark: str) -> bool:
        """Forget it, unless another was stored under that name since."""
        return self._vault.remove(name, marked=mark)


def reference(name: str) -> str:
    """How a source refers to a secret of the local store."""
    return f"local:{name}"
