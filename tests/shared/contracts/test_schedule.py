"""When the next scan is: intervals and cron lines, held against a calendar that is walked minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.judging.schedule import next_after

NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("30m", "2026-03-01T13:04:56"),
        (" 24h ", "2026-03-02T12:34:56"),
        ("7d", "2026-03-08T12:34:56"),
        ("@daily", "2026-03-02T00:00:00"),
        ("*/15 * * * *", "2026-03-01T12:45:00"),
        ("30 4 * * MON-FRI", "2026-03-02T04:30:00"),
        ("0 0 29 feb *", "2028-02-29T00:00:00"),
        ("0 0 * * 7", "2026-03-08T00:00:00"),
        ("0 0 13 * 5", "2026-03-06T00:00:00"),  # a 13th, or a Friday
        ("59 23 31 12 *", "2026-12-31T23:59:00"),
        ("35/10 12 * * *", "2026-03-01T12:35:00"),
    ],
)
def test_the_next_time(schedule: str, expected: str) -> None:
    """As cron would."""
    found = next_after(schedule, NOW)
    assert found
    assert found.isoformat() == f"{expected}+00:00"


def test_no_schedule_has_no_next_time() -> None:
    """Only when asked."""
    assert next_after("  ", NOW) is None


@pytest.mark.parametrize(
    "schedule",
    [
        *("soon", "0m", "24 hours", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8"),
        *("0 0 30 2 *", "0 0 31 4,6,9,11 *", "5-1 * * * *", "*/0 * * * *", "a * * * *", "1,, * * * *", "9" * 60 + "d", "-1 * * * *", "٣m"),
    ],
)
def test_what_never_comes_is_refused(schedule: str) -> None:
    """Nonsense, and days that no calendar has."""
    with pytest.raises(ValueError, match=r"."):
        next_after(schedule, NOW)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 59),
    st.sets(st.integers(0, 23), min_size=1, max_size=3),
    st.sets(st.integers(0, 6), min_size=1, max_size=3),
    st.integers(0, 6 * 366 * 24 * 60),
)
def test_it_is_the_first_fitting_minute(minute: int, hours: set[int], weekdays: set[int], ahead: int) -> None:
    """Against a walk through the hours of the following eight days."""
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=ahead, seconds=ahead % 60)
    schedule = f"{minute} {','.join(map(str, hours))} * * {','.join(map(str, weekdays))}"
    first = start.replace(minute=minute, second=0, microsecond=0)
    walk = (first + timedelta(hours=hour) for hour in range(24 * 9))
    assert next_after(schedule, start) == next(at for at in walk if at > start and at.hour in hours and int(at.strftime("%w")) in weekdays)
