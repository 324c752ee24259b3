"""Every error PurSight can name: a code for machines, one line for people, a class for the runtime.

    PurSightError
    ├── Transient      the world is away (database, broker, throttling): wait, try again, no end
    ├── Poison         the record can never be understood: dead letter at once
    ├── UsageError     a person asked for something that cannot be done (exit code 2)
    │   └── Denied     … or that this person may not do
    └── Failed         the work was tried and did not succeed (exit code 1)

A message never holds a value read from a data source, nor a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

NEAR = 3  # names that are offered instead of a mistyped one


class PurSightError(Exception):
    """Base of all. `code` is stable, `what` and `why` are one line together, `remedy` tells what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", remedy: str = "", code: str = "unknown") -> None:
        super().__init__(what)
        self.what, self.why, self.remedy, self.code = what, why, remedy, code

    def line(self) -> str:
        """What, why, what to do, on one line."""
        text = self.what + (f": {self.why}" if self.why else "")
        return " ".join(f"{text}. {self.remedy}".split()) if self.remedy else text

    def __str__(self) -> str:
        return self.line()


class Transient(PurSightError):
    """Trying again later may work; the runtime waits with growing delay, without end."""


class Poison(PurSightError):
    """Trying again cannot work: the bytes do not parse."""


class UsageError(PurSightError):
    exit_code = 2


class Denied(UsageError):
    """Who asks may not do that. `action`, `tenant` and `object` are what the ledger keeps of it."""

    def __init__(self, what: str, *, actor: str, action: str, tenant: str, object: str, why: str, remedy: str, code: str) -> None:
        super().__init__(what, why=why, remedy=remedy, code=code)
        self.actor, self.action, self.tenant, self.object = actor, action, tenant, object


class Failed(PurSightError):
    """Tried, not done. Nothing was lost."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the names that begin so or look alike, else empty. Spelling is compared where it is needed, and imported there."""
    from difflib import get_close_matches

    names = list(known)
    near = [each for each in names if name and each.startswith(name)] or get_close_matches(name, names)
    return f"Did you mean {' or '.join(near[:NEAR])}?" if near else ""
