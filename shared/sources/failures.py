"""The catalogue of failures: what a server or the network did, as a stable code, a cause and a remedy in our own words.

A driver's own text is never passed on: it may quote values, names or settings. Only its type and its SQLSTATE are read.
The few that PostgreSQL tells apart by text alone are recognised by fixed English fragments and mapped to our words.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shared.cloud.failures import TEXTS, TOKENS, TRANSIENT
from shared.contracts.connection import Diagnosis
from shared.errors import Failed, PurSightError, Transient


class Failure(NamedTuple):
    """`lasting`: trying again without a change by a person cannot help."""

    code: str
    cause: str
    remedy: str
    lasting: bool = False

    def diagnosis(self) -> Diagnosis:
        return Diagnosis(code=self.code, cause=self.cause, remedy=self.remedy)

    def error(self) -> Failed:
        """The same as an error for people."""
        return Failed("the data source", why=self.cause, remedy=self.remedy, code=self.code)


_OTHER_ENGINE = "Check engine (in a URL: what stands before ://), host and port."
_ALL = (
    Failure("host_unknown", "the host name has no address", "Check the spelling of host and the DNS of this machine."),
    Failure("refused", "nothing listens at this host and port", "Check host and port, and that the server is running."),
    Failure(
        "timeout",
        "no answer in time",
        "Check host, port and firewalls, and that the server is well: one that hangs takes a connection and says nothing.",
    ),
    Failure("unreachable", "there is no route to the host", "Check the network, VPN or peering."),
    Failure("connection_reset", "the server or something before it cut the line", "Check the server's log and any proxy between."),
    Failure(
        "wrong_password", "the server refused this user or password", "Check username and the secret that password_secret names.", True
    ),
    Failure(
        "token_not_accepted",
        "the server did not accept the cloud's token for this user",
        "Check username, its grant at the server (rds_iam, Entra principal, Cloud SQL IAM user) and that the identity may connect.",
        True,
    ),
    Failure(
        "token_needs_proof",
        "a token goes only over a line whose other end is proven, and ssl_config.mode does not ask for that",
        "Set ssl_config.mode to verify-full, or use a password.",
        True,
    ),
    Failure("password_missing", "the server asks for a password and none was given", "Name one with password_secret, e.g. env:NAME.", True),
    Failure("no_such_user", "this role does not exist or may not log in", "Create the role with LOGIN, or correct username.", True),
    Failure("no_such_database", "this database does not exist on the server", "Correct database, or create it.", True),
    Failure(
        "not_allowed_from_here",
        "the server has no rule that lets this user in from this address",
        "Add a line for this user and address to pg_hba.conf (hostssl where TLS is required).",
        True,
    ),
    Failure("may_not_connect", "this role lacks CONNECT on the database", "GRANT CONNECT ON DATABASE … TO the role.", True),
    Failure("tls_required", "the server takes only encrypted lines", "Set ssl_config.mode to require or verify-full.", True),
    Failure(
        "tls_not_offered",
        "the server does not offer TLS",
        "Turn ssl on at the server, or, on a trusted network, set ssl_config.mode to disable.",
        True,
    ),
    Failure(
        "tls_untrusted",
        "the server's certificate comes from an authority that is not trusted",
        "Set ssl_config.ca to the authority's PEM file.",
        True,
    ),
    Failure(
        "tls_self_signed",
        "the server's certificate is signed by itself",
        "Set ssl_config.ca to that certificate, or give the server a real one.",
        True,
    ),
    Failure("tls_expired", "the server's certificate has expired", "Renew the server's certificate.", True),
    Failure("tls_not_yet_valid", "the server's certificate is not valid yet", "Check the clocks of both machines.", True),
    Failure("tls_wrong_host", "the server's certificate is for another name", "Use a host that the certificate names.", True),
    Failure("tls_failed", "the TLS handshake failed", "Check the TLS versions and certificates of both sides.", True),
    Failure(
        "tls_client_certificate", "the server did not accept our client certificate", "Check ssl_config.cert and ssl_config.key.", True
    ),
    Failure(
        "clear_text_refused",
        "the server asks for the password in clear text and its identity is not proven",
        "Use ssl_config.mode verify-full, or SCRAM at the server.",
        True,
    ),
    Failure(
        "sign_in_unsupported",
        "the server asks for a way to sign in that is not supported here",
        "Use SCRAM, a certificate, or a password over verify-full.",
        True,
    ),
    Failure("host_blocked", "the server blocks this address after too many broken attempts", "Run FLUSH HOSTS at the server.", True),
    Failure("password_expired", "the user's password has expired", "Give the user a new password at the server.", True),
    Failure("account_locked", "the user is locked at the server", "Unlock the user at the server.", True),
    Failure("too_many_connections", "the server has no connection left for us", "Wait, raise max_connections, or lower pool_size."),
    Failure("starting_up", "the server is starting", "Wait a moment."),
    Failure("shutting_down", "the server is stopping", "Wait until it is back."),
    Failure("recovering", "the server is recovering and takes no connections yet", "Wait until recovery is over."),
    Failure("no_privilege", "the role may not read this", "Run the GRANT statements listed under privileges.", True),
    Failure("statement_timeout", "the server took longer than allowed", "Scan at a quieter time, or raise the statement timeout."),
    Failure("cancelled", "the statement was cancelled at the server", "Ask the administrator, or try again."),
    Failure(
        "recovery_conflict",
        "the replica cancelled us because its primary changed the data",
        "Scan the primary, or set hot_standby_feedback on.",
    ),
    Failure("gone", "this object went away meanwhile", "Nothing to do: the next scan will show it."),
    Failure("lock_timeout", "another session holds a lock on this object", "Try again later."),
    Failure("server_disk_full", "the server's disk is full", "Free space at the server."),
    Failure("server_out_of_memory", "the server ran out of memory", "Lower the load, or raise the server's memory."),
    Failure("data_corrupted", "the server reports damaged data", "Ask the administrator to check this object.", True),
    Failure("unreadable_text", "the database holds text that is not in its stated encoding", "Convert the database to UTF8.", True),
    Failure("not_postgresql", "what answers there does not speak PostgreSQL", _OTHER_ENGINE, True),
    Failure("not_mysql", "what answers there does not speak MySQL's protocol", _OTHER_ENGINE, True),
    Failure("not_mongodb", "what answers there does not speak MongoDB's protocol", _OTHER_ENGINE, True),
    Failure("wrong_replica_set", "the server belongs to another replica set", "Correct replica_config.replica_set.", True),
    Failure(
        "no_member",
        "no member of the replica set that may be read from answers",
        "Check the members' state, read_preference and max_lag_seconds, and that this machine reaches the names that they announce.",
    ),
    Failure("not_primary", "the members are choosing a new primary", "Wait a moment."),
    Failure("seed_list_missing", "the host has no DNS seed list", "Check host, or remove srv and name a member.", True),
    Failure("seed_list_refused", "the DNS seed list names servers of another domain", "Ask the owner of the domain.", True),
    Failure(
        "pooler_by_statement",
        "the pooler shares server connections by statement, and every read here is a transaction",
        "Set pool_mode to transaction or session for this user or database.",
        True,
    ),
    Failure("not_a_store", "what answers there does not speak this store's protocol", "Check engine, host and port.", True),
    Failure("no_such_bucket", "this bucket or container does not exist", "Correct database, region or account, or create it.", True),
    Failure("no_such_folder", "this folder does not exist, or is none", "Correct path.", True),
    Failure(
        "folder_refused",
        "this folder is not one that sources may be",
        "Ask the operator for PURSIGHT_EGRESS_FOLDERS, put the files into a bucket, or scan them with a stack of your own.",
        True,
    ),
    Failure("too_many_objects", "there are more objects than one scan lists", "Give path, and register several sources.", True),
    Failure("unreadable_file", "the files are not what their names say, or are damaged", "Look at the newest file of this folder.", True),
    Failure("archived", "the object is archived and cannot be read at once", "Restore it, or leave it out.", True),
    Failure("clock_skew", "this machine's clock is too far from the store's", "Check time synchronisation."),
    Failure("too_old", "the server is older than what is supported", "Upgrade to PostgreSQL 12 or later.", True),
    Failure(
        "not_read_only",
        "the session could not be made read-only, so nothing was read",
        "Use a role whose sessions may be set read-only.",
        True,
    ),
    Failure("secret_missing", "no secret store has the secret", "Put it where the reference points, or correct the reference.", True),
    Failure(
        "secret_not_allowed",
        "the source's tenant may not use this secret",
        "Name one that the operator's PURSIGHT_SECRETS_ALLOWED has.",
        True,
    ),
    Failure("secret_not_yours", "this secret is PurSight's own", "Give the source a secret of its own.", True),
    Failure(
        "secret_not_a_reference",
        "a secret is not given by reference",
        "Store it, and name it as env:NAME, local:NAME or by another store.",
        True,
    ),
    Failure("secret_reference_wrong", "the reference does not have its store's shape", "Write it as the table of secrets says.", True),
    Failure("secret_unreadable", "the stored secret cannot be opened", "Store it again with `pursight secrets set`.", True),
    Failure(
        "secret_store_unreadable", "the local secret store cannot be read", "Check its files, and that the services may read them.", True
    ),
    Failure("secret_store_denied", "our identity may not read this secret", "Grant it read access to exactly this secret.", True),
    Failure(
        "secret_store_unconfigured",
        "the services' environment does not say how the secret store is reached",
        "Set what the table of secrets names.",
        True,
    ),
    Failure("secret_store_unsafe", "the secret store is not asked over a line that is proven", "Use https and a trusted authority.", True),
    Failure("secret_store_unreachable", "the secret store does not answer", "Check its address and state; it is tried again."),
    Failure("egress_denied", "this address may not be dialled", "Correct the host, or ask the operator.", True),
    Failure("endpoint_not_allowed", "the source may not send its credentials there", "Correct the address, or ask the operator.", True),
    Failure("missing_extra", "a library that this source needs is not installed", "Install the extra that is named.", True),
    Failure("unknown_engine", "no driver for this engine is installed", "Install the package that brings it.", True),
    Failure(
        "tls_file_unreadable",
        "a TLS file is missing, unreadable or not PEM",
        "Check ssl_config.ca, ssl_config.cert and ssl_config.key.",
        True,
    ),
    Failure(
        "circuit_open",
        "nobody dials this source until a while after its last failures is over",
        "`pursight source show NAME` tells what failed; `pursight scan NAME` dials at once.",
    ),
    Failure("pool_exhausted", "all sessions that the source's pool allows are in use", "Raise pool_size or max_overflow, or wait."),
    Failure("foreign_server", "a foreign table's own server did not answer", "Check the foreign server, or leave this table out."),
    Failure("server_error", "the server reported an error", "Look at the server's log at this time."),
)
_OF_CLOUDS = tuple(Failure(code, why, remedy, code not in TRANSIENT) for code, (why, remedy) in {**TEXTS, **TOKENS}.items())
BY_CODE: dict[str, Failure] = {failure.code: failure for failure in (*_OF_CLOUDS, *_ALL)}

_SQLSTATE = {
    "28P01": "wrong_password",
    "3D000": "no_such_database",
    "53300": "too_many_connections",
    "57P03": "starting_up",
    "57P01": "shutting_down",
    "57P02": "shutting_down",
    "57014": "cancelled",
    "42501": "no_privilege",
    "42P01": "gone",
    "42703": "gone",
    "3F000": "gone",
    "55P03": "lock_timeout",
    "53100": "server_disk_full",
    "53200": "server_out_of_memory",
    "XX001": "data_corrupted",
    "XX002": "data_corrupted",
    "40001": "recovery_conflict",
    "40P01": "lock_timeout",  # of a replica its text says that replaying would have to wait for us
    "22021": "unreadable_text",
    "08P01": "not_postgresql",
}
_CLASSES = {"28": "not_allowed_from_here", "53": "too_many_connections", "08": "connection_reset", "HV": "foreign_server"}
_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ENOENT: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ECONNRESET: "connection_reset",
    errno.EPIPE: "connection_reset",
    errno.EBADF: "connection_reset",  # the loop closed the socket of a line that was cut while it opened
    errno.ENOTCONN: "connection_reset",
    errno.ETIMEDOUT: "timeout",
}
_VERIFY = {
    10: "tls_expired",
    9: "tls_not_yet_valid",
    18: "tls_self_signed",
    19: "tls_untrusted",
    20: "tls_untrusted",
    21: "tls_untrusted",
    62: "tls_wrong_host",
    64: "tls_wrong_host",
}
# What the server tells apart by text alone. Only the match is used; the text is dropped.
_FRAGMENTS = (
    ("no encryption", "tls_required"),
    ("no pg_hba.conf entry", "not_allowed_from_here"),
    ("pg_hba.conf rejects", "not_allowed_from_here"),
    ("client certificate", "tls_client_certificate"),
    ("certificate authentication failed", "tls_client_certificate"),
    ("permission denied for database", "may_not_connect"),
    ('database "', "no_such_database"),
    ("does not exist", "no_such_user"),
    ("is not permitted to log in", "no_such_user"),
    ("conflict with recovery", "recovery_conflict"),
    ("statement timeout", "statement_timeout"),
    ("in recovery mode", "recovering"),
    ("not yet accepting", "recovering"),
    ("not accepting connections", "recovering"),
    ("is shutting down", "shutting_down"),
    ("rejected SSL upgrade", "tls_not_offered"),
    ("PAM authentication failed", "wrong_password"),
    ("empty password", "password_missing"),
    ("unsupported authentication", "sign_in_unsupported"),
    ("unsupported SASL", "sign_in_unsupported"),
    ("install asyncpg[gssauth]", "sign_in_unsupported"),
    ("no password supplied", "password_missing"),
    ("statement pooling mode", "pooler_by_statement"),  # PgBouncer's words, here and in the next three
    ("SASL authentication failed", "wrong_password"),
    ("max_client_conn", "too_many_connections"),
    ("query_wait_timeout", "too_many_connections"),
    ("connection is closed", "connection_reset"),
    ("connection was closed", "connection_reset"),
)
_BY_TEXT = {"28000", "40P01", "42501", "57014", "57P03", "08004", "08003", "08P01", ""}


def worded(code: str, own: Mapping[str, tuple[str, str]]) -> Failure:
    """The entry of the catalogue, with an engine's own cause and remedy where `own` has them."""
    found = BY_CODE[code]
    cause, remedy = own.get(code, (found.cause, found.remedy))
    return Failure(code, cause, remedy, found.lasting)


def why_of(code: str) -> Diagnosis | None:
    """What a code means, None where there is none. A driver that came as a package of its own may have codes of its own."""
    own = Failure(code, "the driver of this engine says so", "See what the package that brings it says of this code.")
    return BY_CODE.get(code, own).diagnosis() if code else None


def failure_of(error: BaseException) -> Failure:
    """The catalogue entry for any exception of a dial or a statement; `server_error` where nothing is known."""
    if isinstance(error, PurSightError):
        entry = BY_CODE.get(error.code, Failure(error.code, error.what, "", not isinstance(error, Transient)))
        return Failure(error.code, error.why or entry.cause, error.remedy or entry.remedy, entry.lasting)
    for each in _chain(error):
        if code := _code_of(each):
            return BY_CODE[code]
    return BY_CODE["server_error"]


def circuit_open(code: str, failures: int, wait_seconds: float) -> Failed:
    """Not dialled, and why: `code` is what the last of so many failures in a row ended with."""
    last = BY_CODE[code].cause if code in BY_CODE else code or "an unknown failure"
    why = f"failed {failures} times in a row, at last by `{code}` ({last}); the next dial may come in {wait_seconds:.0f} s"
    return Failed("the source was not dialled", why=why, remedy=BY_CODE["circuit_open"].remedy, code="circuit_open")


def failed(error: BaseException) -> Failed:
    """The same as an error for people; the driver's text is not in it, nor chained."""
    return failure_of(error).error()


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current:
        yield current
        if isinstance(current, BaseExceptionGroup):
            yield from current.exceptions
        current = current.__cause__ or current.__context__


def _code_of(error: BaseException) -> str:
    state = str(getattr(error, "sqlstate", "") or "")
    if state:
        return _by_state(state, str(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY.get(error.verify_code, "tls_untrusted")
    if isinstance(error, ssl.SSLError):
        return "tls_client_certificate" if "ALERT" in str(error.reason or "") else "tls_failed"
    return _by_type(error)


def _by_state(state: str, text: str) -> str:
    if state in _BY_TEXT and (code := _by_text(text)):
        return code
    return _SQLSTATE.get(state) or _CLASSES.get(state[:2]) or "server_error"


def _by_text(text: str) -> str:
    return next((code for fragment, code in _FRAGMENTS if fragment in text), "")


def _by_type(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "host_unknown"
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "timeout"
    if type(error).__name__ == "InternalClientError":  # asyncpg's, for a line that ended at a bad moment
        return _by_text(str(error)) or "connection_reset"
    if isinstance(error, UnicodeError):
        return "host_unknown" if isinstance(error, UnicodeEncodeError) else "unreadable_text"
    if code := _by_text(str(error)):
        return code
    if isinstance(error, OSError):
        return _ERRNO.get(error.errno or 0) or (
            "connection_reset" if isinstance(error, ConnectionError) else "unreachable" if error.errno else ""
        )
    return ""
