"""What is worth a warning about a connection that works, whatever the engine."""

from __future__ import annotations

from shared.contracts.cautions import caution
from shared.contracts.connection import Diagnosis, Privileges, ServerFacts
from shared.sources.base import Dial
from shared.sources.tls import verified

_SKEW_SECONDS = 30


def warnings(dial: Dial, facts: ServerFacts, privileges: Privileges) -> tuple[Diagnosis, ...]:
    """Who we are, how we came, what we cannot see."""
    unreadable = privileges.tables_visible - privileges.tables_readable
    checks = (
        (privileges.superuser, "superuser", ""),
        (privileges.can_write and not privileges.superuser, "can_write", ""),
        (not facts.tls_version, "no_tls", ""),
        (bool(facts.tls_version) and not verified(dial.tls_mode), "tls_unverified", ""),
        (unreadable > 0, "tables_unreadable", f"{unreadable} of {privileges.tables_visible} tables cannot be read"),
        (privileges.tables_visible == 0, "empty", ""),
        (
            abs(facts.clock_skew_seconds) > _SKEW_SECONDS,
            "clock_skew",
            f"the server's clock and ours differ by more than {_SKEW_SECONDS} s",
        ),
    )
    return tuple(caution(code, cause) for yes, code, cause in checks if yes)
