"""Which server of the MySQL family, which release, and whether its makers still repair it."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

# The last day on which the makers repair a release series for everybody. What is not listed is not known here.
_SUPPORTED_UNTIL = {
    ("mysql", 5): date(2023, 10, 31),
    ("mysql", 8, 0): date(2026, 4, 30),
    ("mysql", 8, 4): date(2032, 4, 30),
    ("mariadb", 10, 3): date(2023, 5, 25),
    ("mariadb", 10, 4): date(2024, 6, 18),
    ("mariadb", 10, 5): date(2025, 6, 24),
    ("mariadb", 10, 6): date(2026, 7, 6),
    ("mariadb", 10, 11): date(2028, 2, 16),
    ("mariadb", 11, 4): date(2029, 5, 29),
    ("mariadb", 11, 8): date(2028, 6, 4),
}


class Release(NamedTuple):
    """`number` as MySQL counts: 8.0.15 is 80015."""

    engine: str
    version: str
    number: int

    @property
    def mariadb(self) -> bool:
        return self.engine == "mariadb"

    def supported(self, today: date) -> bool | None:
        """None where this release series is not known."""
        major, minor = self.number // 10_000, self.number // 100 % 100
        until = _SUPPORTED_UNTIL.get((self.engine, major, minor)) or _SUPPORTED_UNTIL.get((self.engine, major))
        return None if until is None else today <= until


def release(version: str) -> Release:
    """From what version() says; MariaDB's proxies put 5.5.5- before it.

    >>> release("5.5.5-10.11.19-MariaDB-0+deb12u1").number
    101119
    """
    engine = "mariadb" if "mariadb" in version.lower() else "mysql"
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version.removeprefix("5.5.5-") if engine == "mariadb" else version)
    if found is None:
        return Release(engine, "", 0)
    major, minor, patch = map(int, found.groups())
    return Release(engine, found.group(), major * 10_000 + minor * 100 + min(patch, 99))
