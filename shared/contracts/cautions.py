"""THE table of warnings: what is worth saying of a source that answers all the same. Each with a code, a cause and a remedy.

Who warns may know more than the table, and say so in its own words; the code is of the table.
"""

from __future__ import annotations

from datetime import datetime

from shared.contracts.connection import Diagnosis

SOON_DAYS = 30
# code -> (cause, what helps)
CAUTIONS: dict[str, tuple[str, str]] = {
    "superuser": ("the role is a superuser", "Use a role that may only read."),
    "can_write": ("the role could write to tables (every session here is read-only all the same)", "Use a role that may only read."),
    "no_tls": ("the line is not encrypted", "Turn TLS on at the server and set ssl_config.mode to verify-full."),
    "tls_unverified": ("the line is encrypted, but the server's identity is not proven", "Set ssl_config.mode to verify-full."),
    "tls_opt_out": (
        "ssl_config.mode turns off the proof of who the server is, outside one's own house",
        "Leave ssl_config.mode out, or set it to verify-full.",
    ),
    "tls_ends_soon": (f"the server's certificate ends within {SOON_DAYS} days", "Renew it now: when it has ended, new connections fail."),
    "tables_unreadable": ("some tables cannot be read", "Run the statements listed under privileges.missing."),
    "empty": ("the database holds no tables that this role can see", "Check database and scope."),
    "clock_skew": ("the server's clock and ours differ", "Check time synchronisation."),
    "other_engine": ("the server is of another engine than the source says", "Correct engine."),
    "replica_behind": (
        "the replica is further behind its primary than max_lag_seconds",
        "Wait until it has caught up, or name another member.",
    ),
    "lag_unknown": (
        "the replica does not tell how far it is behind",
        "Check replication, and that the user may see it: REPLICATION CLIENT (MySQL), SLAVE MONITOR (MariaDB).",
    ),
    "pool_too_large": (
        "pool_size and max_overflow allow more sessions than the server has room for",
        "Lower them, or raise max_connections.",
    ),
    "pooler_by_session": (
        "the pooler keeps a server connection for each session",
        "Use pool_mode transaction, or keep pool_size and max_overflow within the pooler's pool.",
    ),
    "cloud_facts_unknown": ("the cloud does not tell what it knows of the source", "Grant the identity the rights that the finding names."),
    "lasting_key": (
        "we sign in with a key that does not end by itself",
        "Give cloud_config a role, a managed identity or workload identity instead, and delete the key.",
    ),
    "slow": ("answers are slow", "Look at the server's load or the network between."),
    "shaky": ("checks fail now and then", "Look at connection limits and the network."),
    "worse": ("the last day was worse than the week before", "Look for what changed: load, network, release."),
    "slo_missed": (
        "fewer checks were answered in 30 days than slo_percent asks for",
        "Look at what failed, or agree on another objective.",
    ),
    "connections_scarce": ("the server's connections are nearly used up", "Raise max_connections, or pool them."),
    "grows_fast": ("the database grows by more than a twentieth a day", "Check its retention and its disk."),
}


def caution(code: str, cause: str = "", remedy: str = "") -> Diagnosis:
    """The warning with this code, in its usual words where no others are given."""
    usual, helps = CAUTIONS[code]
    return Diagnosis(code=code, cause=cause or usual, remedy=remedy or helps, severity="warning")


def ending(expires: str, now: datetime) -> tuple[Diagnosis, ...]:
    """A warning where a certificate ends soon. `expires` is ISO 8601, or empty where nobody knows.

    >>> [each.cause for each in ending("2026-11-21T23:00:00+00:00", datetime.fromisoformat("2026-11-21T12:00:00+00:00"))]
    ["the server's certificate ends today"]
    """
    days = (datetime.fromisoformat(expires) - now).days if expires else SOON_DAYS
    if days >= SOON_DAYS:
        return ()
    when = f"ends in {days} days" if days > 0 else "ends today" if days == 0 else "has ended"
    return (caution("tls_ends_soon", f"the server's certificate {when}"),)
