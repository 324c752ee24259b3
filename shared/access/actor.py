"""Who acts: a person, a machine, one of our own services, or whoever may write to a request topic."""

from __future__ import annotations

from dataclasses import dataclass

EVERYWHERE = "*"  # the tenant of those who belong to no single one
ROLES = ("viewer", "auditor", "steward", "service", "admin")


@dataclass(frozen=True, slots=True)
class Actor:
    """`id` is what the ledger shows, its kind first: `person:3f2a (jo)`, `machine:ci`, `token:local`, `service:registry`, `event:upstream`.

    `tenant` is the one that the actor belongs to, `*` for all of them, empty for none.
    """

    id: str
    tenant: str = ""
    roles: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        return self.id.partition(":")[0]

    @property
    def everywhere(self) -> bool:
        return self.tenant == EVERYWHERE


def everybody(id: str) -> Actor:
    """Who holds the stack's own token: may do everything, in every tenant."""
    return Actor(id, EVERYWHERE, frozenset({"admin"}))


LOCAL_TOKEN, LOCAL_BROWSER = everybody("token:local"), everybody("browser:local")
