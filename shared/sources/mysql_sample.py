"""Samples of MySQL and MariaDB tables: one statement a table, two for a large one with a number as its key.

The same table gives the same sample as long as its data stays. Small tables are read from their start. A large one with a whole number
at the head of its primary key is read at 64 places spread over the key's range; any other by throwing a seeded die for each row, over
its first 200,000 rows in storage order.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from shared.sources.base import Sample, SampleTask
from shared.sources.binary import texts_in
from shared.sources.mysql_failures import mysql_failure
from shared.sources.mysql_line import Line, quoted

VALUE_CHARACTERS = 200
_SMALL_PAGES = 16
_PLACES = 64
_AT_MOST_ROWS = 200_000  # read by one die-throwing pass
_ROWS_A_PAGE = 50  # a guess where the server has no estimate
_ENOUGH = 0.5  # share of the wanted rows below which the key's range was too uneven
_SEPARATOR = "\x1f"


async def read(line: Line, task: SampleTask) -> tuple[Sample, int]:
    """The sample, and how many statements it took. Raises the driver's errors."""
    if not task.columns:
        return Sample(task.token, 0, ()), 0
    if task.pages <= _SMALL_PAGES:
        return _sample(task, await line.rows(_from_start(task), raw=True)), 1
    asked = 0
    if task.key:
        asked, rows = await _by_places(line, task)
        if len(rows) >= task.rows * _ENOUGH:
            return _sample(task, rows), asked
    return _sample(task, await line.rows(_by_die(task), raw=True)), asked + 1


async def _by_places(line: Line, task: SampleTask) -> tuple[int, list[tuple[bytes | None, ...]]]:
    """Rows at places of the key's range; none where the key is no whole number."""
    key = quoted(task.key[0])
    ((low, high),) = await line.rows(f"select min({key}), max({key}) from {_table(task)}")
    try:
        first, last = int(low), int(high)
    except (TypeError, ValueError):
        return 1, []
    return 2, await line.rows(_at_places(task, key, first, last), raw=True)


def _at_places(task: SampleTask, key: str, low: int, high: int) -> str:
    """One piece of the range for each place, so that no row comes twice; the die chooses where in its piece the place is."""
    dice = random.Random(task.seed)
    each, width = -(-task.rows // _PLACES), (high - low + 1) / _PLACES
    order = ",".join(quoted(name) for name in task.key)
    pieces = []
    for place in range(_PLACES):
        start, end = low + int(place * width), low + int((place + 1) * width)
        start += int(dice.random() * 0.75 * (end - start))
        where = f"{key} >= {start} and {key} < {end if place < _PLACES - 1 else high + 1}"
        pieces.append(f"(select {_values(task)} from {_table(task)} where {where} order by {order} limit {each})")
    return " union all ".join(pieces) + f" limit {task.rows}"


def _by_die(task: SampleTask) -> str:
    """rand() with a seed gives the same numbers each time; `use index ()` holds the order in which rows meet them."""
    total = min(task.estimated or task.pages * _ROWS_A_PAGE, _AT_MOST_ROWS)
    share = 1.0
    while share * total > 2 * task.rows:  # by halves, so that an estimate may tremble
        share /= 2
    return f"select {_values(task)} from {_table(task)} use index () where rand({task.seed}) < {share} limit {task.rows}"


def _from_start(task: SampleTask) -> str:
    order = f" order by {','.join(quoted(name) for name in task.key)}" if task.key else ""
    return f"select {_values(task)} from {_table(task)}{order} limit {task.rows}"


def _values(task: SampleTask) -> str:
    return ",".join(f"left({quoted(name)},{VALUE_CHARACTERS})" for name in task.columns)


def _table(task: SampleTask) -> str:
    part = f" partition ({quoted(task.part)})" if task.part else ""
    return f"{quoted(task.schema)}.{quoted(task.table)}{part}"


def _sample(task: SampleTask, rows: Sequence[tuple[bytes | None, ...]]) -> Sample:
    if not rows:
        return Sample(task.token, 0, [[] for _ in task.columns])
    named = zip(task.columns, zip(*rows, strict=True), strict=True)
    found = [_of_bytes(column) if name in task.binary else _texts(column) for name, column in named]
    binary = frozenset(at for at, texts in enumerate(found) if texts is None)
    return Sample(task.token, len(rows), [texts or [] for texts in found], binary=binary)


def _of_bytes(column: Sequence[bytes | None]) -> list[str] | None:
    return texts_in(value for value in column if value is not None)


def _texts(column: Sequence[bytes | None]) -> list[str]:
    """Decoded together, which is several times faster than one by one; what is no UTF-8 keeps its place as a replacement character."""
    values = [value for value in column if value is not None]
    if not values:
        return []
    texts = b"\x1f".join(values).decode("utf-8", "replace").split(_SEPARATOR)
    return texts if len(texts) == len(values) else [value.decode("utf-8", "replace") for value in values]


def refused(task: SampleTask, error: BaseException) -> Sample:
    """No values, and why, in our own words."""
    return Sample(task.token, 0, (), mysql_failure(error).diagnosis())
