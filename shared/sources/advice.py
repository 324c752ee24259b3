"""What is worth a warning about a connection that works, whatever the engine."""

from __future__ import annotations

from shared.contracts.connection import Diagnosis, Privileges, ServerFacts
from shared.sources.base import Dial
from shared.sources.tls import verified

_SKEW_SECONDS = 30


def warnings(dial: Dial, facts: ServerFacts, privileges: Privileges) -> tuple[Diagnosis, ...]:
    """Who we are, how we came, what we cannot see."""
    unreadable = privileges.tables_visible - privileges.tables_readable
    checks = (
        (privileges.superuser, "superuser", "the role is a superuser", "Use a role that may only read."),
        (
            privileges.can_write and not privileges.superuser,
            "can_write",
            "the role could write to tables (every session here is read-only all the same)",
            "Use a role that may only read.",
        ),
        (not facts.tls_version, "no_tls", "the line is not encrypted", "Turn TLS on at the server and set ssl_config.mode to verify-full."),
        (
            bool(facts.tls_version) and not verified(dial.tls_mode),
            "tls_unverified",
            "the line is encrypted, but the server's identity is not proven",
            "Set ssl_config.mode to verify-full.",
        ),
        (
            unreadable > 0,
            "tables_unreadable",
            f"{unreadable} of {privileges.tables_visible} tables cannot be read",
            "Run the statements listed under privileges.missing.",
        ),
        (privileges.tables_visible == 0, "empty", "the database holds no tables that this role can see", "Check database and scope."),
        (
            abs(facts.clock_skew_seconds) > _SKEW_SECONDS,
            "clock_skew",
            f"the server's clock and ours differ by more than {_SKEW_SECONDS} s",
            "Check time synchronisation.",
        ),
    )
    return tuple(Diagnosis(code=code, cause=cause, remedy=remedy, severity="warning") for yes, code, cause, remedy in checks if yes)
