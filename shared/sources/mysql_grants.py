"""What SHOW GRANTS says, as an answer to: may this user do that to this table?

>>> grants = parse(["GRANT SELECT, INSERT ON `shop`.* TO `ann`@`%`"])
>>> grants.may("SELECT", "shop", "orders"), grants.may("SELECT", "other", "orders"), grants.writes
(True, False, True)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_LINE = re.compile(
    r"(?P<verb>GRANT|REVOKE) (?P<what>.+?) ON (?:TABLE )?(?P<schema>\*|`(?:[^`]|``)*`)\.(?P<table>\*|`(?:[^`]|``)*`) (?:TO|FROM) ",
    re.DOTALL,
)
_COLUMNS = re.compile(r"\((?:[^`)]|`(?:[^`]|``)*`)*\)")
_ALL = "ALL PRIVILEGES"
_WRITES = frozenset({_ALL, "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "SUPER"})


class Grant(NamedTuple):
    """Privileges on a place; None stands for every schema, or every table of the schema. `given` False takes away."""

    given: bool
    privileges: frozenset[str]
    schema: re.Pattern[str] | None
    table: str | None


class Grants(NamedTuple):
    """All that a user was given, roles in force included."""

    all: tuple[Grant, ...]

    def may(self, privilege: str, schema: str, table: str) -> bool:
        """Column privileges count: what can be seen of such a table can be read."""
        held = False
        for grant in self.all:
            if grant.privileges & {privilege, _ALL} and (grant.schema is None or grant.schema.fullmatch(schema)):
                held = grant.given if grant.table in (None, table) else held
        return held

    @property
    def writes(self) -> bool:
        """Could change data or structure somewhere."""
        return any(grant.given and grant.privileges & _WRITES for grant in self.all)

    @property
    def superuser(self) -> bool:
        return any(grant.given and grant.schema is None and grant.privileges & {_ALL, "SUPER"} for grant in self.all)


def parse(lines: Iterable[str]) -> Grants:
    """From the lines of SHOW GRANTS with backtick quotes; grants of routines, roles and proxies are passed over."""
    found = [match for line in lines if (match := _LINE.match(line))]
    grants = [_grant(*match.group("verb", "what", "schema", "table")) for match in found]
    return Grants(tuple(sorted(grants, key=lambda grant: not grant.given)))


def _grant(verb: str, what: str, schema: str, table: str) -> Grant:
    names = frozenset(part.strip().upper() for part in _COLUMNS.sub("", what).split(","))
    whole = None if table == "*" else _plain(table)
    return Grant(verb == "GRANT", names, _like(_plain(schema), exact=whole is not None) if schema != "*" else None, whole)


def _plain(quoted: str) -> str:
    return quoted[1:-1].replace("``", "`")


def _like(pattern: str, *, exact: bool) -> re.Pattern[str]:
    """A schema's name in a grant is a pattern, with % and _ and a backslash before them, unless a table follows."""
    if exact:
        return re.compile(re.escape(pattern))
    pieces = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(piece) or re.escape(piece[-1]) for piece in pieces), re.DOTALL)
