"""What servers that speak MongoDB's wire say by number, as codes of the catalogue. The text that comes with a number is never read.

Numbers are those of MongoDB's `error_codes.yml`.
"""

from __future__ import annotations

from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from shared.errors import Failed, PurSightError
from shared.sources.failures import Failure, failure_of, worded

_NUMBERS = {
    "wrong_password": (11, 18, 8000),
    "no_privilege": (13, 33),
    "sign_in_unsupported": (334,),
    "gone": (26, 73, 166, 167),
    "statement_timeout": (24, 50, 202, 262),
    "cancelled": (43, 175, 237, 11601),
    "shutting_down": (91, 11600),
    "not_primary": (189, 10107, 13435, 13436, 11602, 10058),
    "connection_reset": (6, 7, 89, 9001),
    "server_out_of_memory": (39, 146, 292),
    "server_disk_full": (14031,),
    "throttled": (16500,),
}
_BY_NUMBER = {number: code for code, numbers in _NUMBERS.items() for number in numbers}
_WORDS = {
    "may_not_connect": (
        "this user may not see the database",
        'db.grantRolesToUser("user", [{role: "read", db: "database"}]) as an administrator.',
    ),
    "no_privilege": ("the user may not read this", "Run the statements listed under privileges."),
    "wrong_password": (
        "the server refused this user or password",
        "Check username, auth_database and the secret that password_secret names.",
    ),
    "no_such_database": (
        "the server has no such database, or an empty one",
        "Correct database; MongoDB keeps one from its first collection on.",
    ),
    "tls_required": ("the server takes only encrypted lines", "Set ssl_config.mode to require or verify-full."),
    "sign_in_unsupported": ("the server does not offer SCRAM to this user", "Let the user sign in by SCRAM-SHA-256, or by a certificate."),
    "too_old": ("the server is older than what is supported", "Upgrade to MongoDB 4.4 or later."),
    "not_read_only": ("a command that only reads was expected", "Tell the maintainers: this is an error of ours."),
}


def words(code: str) -> Failure:
    """The entry of the catalogue, in words that fit MongoDB."""
    return worded(code, _WORDS)


def refusal(code: str) -> Failed:
    """The error with this code."""
    return words(code).error()


def mongo_failure(error: BaseException) -> Failure:
    """The entry for any exception of a dial or a command; `server_error` where nothing is known."""
    if isinstance(error, PurSightError):
        return failure_of(error)
    if isinstance(error, ExecutionTimeout):
        return words("statement_timeout")
    if isinstance(error, NetworkTimeout):
        return words("timeout")
    if isinstance(error, OperationFailure):
        return words(_BY_NUMBER.get(error.code or 0, "server_error"))
    if isinstance(error, ServerSelectionTimeoutError):
        return words("no_member")
    if isinstance(error, BSONError):
        return words("data_corrupted")
    if isinstance(error, AutoReconnect):
        return words("connection_reset")
    if isinstance(error, ConfigurationError):
        return words("sign_in_unsupported")
    return words(failure_of(error).code)


def mongo_failed(error: BaseException) -> Failed:
    """The same as an error for people; the server's text is not in it, nor chained."""
    return mongo_failure(error).error()
