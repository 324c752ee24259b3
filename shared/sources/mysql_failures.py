"""What servers of the MySQL family say by number, as codes of the catalogue; words of their own where the catalogue's fit PostgreSQL alone.

Numbers are those of the MySQL and MariaDB error references. The text that comes with a number is never read.
"""

from __future__ import annotations

from shared.errors import Failed, PurSightError
from shared.sources.failures import Failure, failure_of, worded

_NUMBERS = {
    "wrong_password": (1045, 1698),
    "may_not_connect": (1044,),
    "no_such_database": (1049,),
    "not_allowed_from_here": (1130,),
    "host_blocked": (1129,),
    "too_many_connections": (1040, 1203, 1226),
    "password_expired": (1820, 1862),
    "account_locked": (3118, 3955, 4151),
    "sign_in_unsupported": (1251, 1275, 1524, 2054, 2059, 2061),
    "tls_required": (3159, 4152),
    "starting_up": (1047,),
    "shutting_down": (1053, 1079),
    "connection_reset": (1152, 1156, 1157, 1158, 1160, 1927, 2006, 2013, 2055),
    "timeout": (1159, 1161, 9001),
    "statement_timeout": (1969, 3024),
    "cancelled": (1317, 1028),
    "no_privilege": (1142, 1143, 1227, 1345, 1370, 1410),
    "gone": (1051, 1054, 1109, 1146, 1356, 1412, 1735, 1932),
    "lock_timeout": (1205, 1213, 3572),
    "server_disk_full": (1021, 1114),
    "server_out_of_memory": (1037, 1038, 1041),
    "data_corrupted": (1033, 1034, 1035, 1194, 1195, 1712, 1877),
    "unreadable_text": (1300, 1366, 3854),
    "foreign_server": (1429, 1430, 1431, 1432, 1433),
}
_BY_NUMBER = {number: code for code, numbers in _NUMBERS.items() for number in numbers}
_CONNECT, _LOST = 2003, 2013  # what the driver says when the reason is another error behind it
_WORDS = {
    "may_not_connect": ("this user has no privilege on the database", "GRANT SELECT, SHOW VIEW ON `database`.* TO the user."),
    "not_allowed_from_here": (
        "the server lets nobody in from this address",
        "Create the user for this machine's address: 'user'@'address'.",
    ),
    "no_such_user": ("this user does not exist", "Create the user, or correct username."),
    "tls_required": ("the server takes only encrypted lines", "Set ssl_config.mode to require or verify-full."),
    "clear_text_refused": (
        "the server asks for the password itself and its identity is not proven",
        "Set ssl_config.mode to verify-full, or, for caching_sha2_password, to verify-ca with the server's authority in ssl_config.ca.",
    ),
    "sign_in_unsupported": (
        "the server asks for a way to sign in that is not supported here",
        "Use caching_sha2_password or mysql_native_password for this user.",
    ),
    "too_many_connections": ("the server, or this user, has no connection left", "Wait, raise max_connections, or lower pool_size."),
    "cancelled": ("the statement or the session was ended at the server", "Ask the administrator, or try again."),
    "unreadable_text": ("the database holds text that is not in its stated encoding", "Convert the table to utf8mb4."),
    "too_old": ("the server is older than what is supported", "Upgrade to MySQL 5.7, MariaDB 10.3, or later."),
}


def words(code: str) -> Failure:
    """The entry of the catalogue, in words that fit the MySQL family."""
    return worded(code, _WORDS)


def mysql_failure(error: BaseException) -> Failure:
    """The entry for any exception of a dial or a statement; `server_error` where nothing is known."""
    if isinstance(error, PurSightError):
        return failure_of(error)
    number = error.args[0] if error.args and isinstance(error.args[0], int) and not isinstance(error, OSError) else 0
    behind = error.__context__ if isinstance(error.__context__, TimeoutError) else error.__cause__
    if behind is not None and number in (_CONNECT, _LOST):
        return words(failure_of(behind).code)
    if number:
        return words(_BY_NUMBER.get(number, "server_error"))
    return words(failure_of(error).code)


def mysql_failed(error: BaseException) -> Failed:
    """The same as an error for people; the server's text is not in it, nor chained."""
    return mysql_failure(error).error()
