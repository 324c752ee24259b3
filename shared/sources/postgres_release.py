"""Until when the PostgreSQL project repairs a major version: postgresql.org/support/versioning, as of November 2026."""

from __future__ import annotations

from datetime import date

# The day of the last release of each. What is newer than all of these is not known here; what is older is over.
_SUPPORTED_UNTIL = {
    13: date(2025, 11, 13),
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}


def supported(number: int, today: date) -> bool | None:
    """By the server's own number (150018 is 15.18); None where the version is newer than the table.

    >>> supported(130022, date(2026, 1, 1)), supported(180004, date(2026, 1, 1)), supported(300000, date(2026, 1, 1))
    (False, True, None)
    """
    major = number // 10_000
    if major < min(_SUPPORTED_UNTIL):
        return False
    until = _SUPPORTED_UNTIL.get(major)
    return None if until is None else today <= until
