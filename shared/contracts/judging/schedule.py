"""When a source is scanned next: an interval, or five cron fields in UTC."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

INTERVAL = re.compile(r"([0-9]{1,6})\s*([mhd])")  # more digits would leave the calendar
MINUTES = {"m": 1, "h": 60, "d": 1440}
WORDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
MONTHS = {
    name: number
    for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1)
}
# lowest, highest, names of each field; 7 is Sunday too
CRON: tuple[tuple[int, int, dict[str, int]], ...] = ((0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, MONTHS), (0, 7, DAYS))
PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/([0-9]{1,2}))?")
HORIZON_DAYS = 366 * 8 + 2  # between two 29ths of February lie at most eight years


def next_after(schedule: str, now: datetime) -> datetime | None:
    """The next time after `now`; None where there is no schedule. Raises ValueError where it cannot be understood or never comes.

    As cron does: where both the day of the month and the day of the week are restricted, either is enough.

    >>> from datetime import UTC
    >>> next_after("30 4 * * mon", datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    '2026-01-05T04:30:00+00:00'
    """
    text = schedule.strip().lower()
    if not text:
        return None
    if found := INTERVAL.fullmatch(text):
        minutes = int(found[1]) * MINUTES[found[2]]
        if not minutes:
            raise ValueError("an interval of nothing")
        return now + timedelta(minutes=minutes)
    return _next_cron(WORDS.get(text, text).split(), now)


def _next_cron(fields: list[str], now: datetime) -> datetime:
    if len(fields) != len(CRON):
        raise ValueError("neither an interval nor five cron fields")
    minutes, hours, days, months, weekdays = (_numbers(text, *row) for text, row in zip(fields, CRON, strict=True))
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for ahead in range(HORIZON_DAYS):
        day = (start + timedelta(days=ahead)).replace(hour=0, minute=0) if ahead else start
        in_month, in_week = day.day in days, (day.isoweekday() % 7) in weekdays
        if day.month not in months or not (in_month or in_week if either else in_month and in_week):
            continue
        for hour in sorted(hours):
            for minute in sorted(minutes):
                if (hour, minute) >= (day.hour, day.minute):
                    return day.replace(hour=hour, minute=minute)
    raise ValueError("this day never comes")


def _numbers(text: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    """The numbers that a cron field means: `*`, `a`, `a-b`, each with `/step`, in a list."""
    found: set[int] = set()
    for part in text.split(","):
        match = PART.fullmatch(part)
        if match is None:
            raise ValueError("not a cron field")
        first, last, step = match.groups()
        start = low if first == "*" else _number(first, names)
        end = high if first == "*" or (step and last is None) else _number(last, names) if last else start
        if not low <= start <= end <= high or (step is not None and int(step) < 1):
            raise ValueError("out of range")
        found |= set(range(start, end + 1, int(step or 1)))
    return {0 if high == 7 and number == 7 else number for number in found}


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not re.fullmatch("[0-9]{1,2}", text):
        raise ValueError("not a number")
    return int(text)
