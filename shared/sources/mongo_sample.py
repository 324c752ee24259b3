"""Documents of a collection, cheaply, and the same ones each time while the data stays.

`$sample` throws new dice each time, and reads a whole collection where the server finds no quick way. Instead the index of `_id`, which
each collection has, is entered at places spread over its range; a seeded die chooses where in its piece each place is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from bson import Binary, Int64, ObjectId

from shared.sources.base import Sample, SampleTask
from shared.sources.documents import Picker
from shared.sources.mongo_failures import mongo_failure, refusal
from shared.sources.mongo_line import Line

PLACES = 16
_TEXT_CHARACTERS, _TEXT_BASE = 6, 128
_WHOLE_BYTES = 16_384 * 16  # a collection that is read from its start


async def documents(line: Line, database: str, collection: str, *, most: int, seed: int, bytes_: int) -> list[dict[str, Any]]:
    """At most `most` documents of a collection of this size; none of one that does not exist. Raises Failed with a code of `failures`."""
    if bytes_ <= _WHOLE_BYTES:
        return await line.find(database, collection, most=most, sort={"_id": 1})
    return await _spread(line, database, collection, most, random.Random(seed))


async def _spread(line: Line, database: str, collection: str, most: int, dice: random.Random) -> list[dict[str, Any]]:
    low, high = [await _end(line, database, collection, way) for way in (1, -1)]
    places = list(between(low, high, PLACES, dice.random))
    if not places:  # an `_id` that nothing can be put between: both ends
        half = most // 2
        first = await line.find(database, collection, most=most - half, sort={"_id": 1})
        last = await line.find(database, collection, most=half, sort={"_id": -1})
        return _once([*first, *last])
    found = []
    for at, start in enumerate(places):
        end = {"$lt": places[at + 1]} if at + 1 < len(places) else {}
        found += await line.find(database, collection, most=-(-most // PLACES), filter={"_id": {"$gte": start, **end}}, sort={"_id": 1})
    if len(found) < most // 2:  # the range was too uneven
        found += await line.find(database, collection, most=most - len(found), sort={"_id": 1})
    return _once(found)[:most]


async def _end(line: Line, database: str, collection: str, way: int) -> Any:
    found = await line.find(database, collection, most=1, sort={"_id": way}, projection={"_id": 1})
    return found[0]["_id"] if found else None


async def _exists(line: Line, database: str, collection: str) -> bool:
    command = {"listCollections": 1, "nameOnly": True, "authorizedCollections": True, "filter": {"name": collection}}
    return any(each["name"] == collection for each in await line.rows(database, command))


def _once(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without repetitions, whatever kind of thing an `_id` is."""
    return list({repr(each.get("_id")): each for each in found}.values())


def between(low: Any, high: Any, count: int, die: Callable[[], float]) -> Iterable[Any]:
    """`count` values from `low` to `high`, one in the first three quarters of each equal piece; none where the type has no such thing.

    >>> list(between(0, 400, 4, lambda: 0.5))
    [37, 137, 237, 337]
    """
    if type(low) is not type(high) or low == high:
        return
    there = _NUMBERS.get(type(low))
    if there is None:
        return
    to_number, back = there(low, high)
    first, last = to_number(low), to_number(high)
    width = (last - first) / count
    for piece in range(count):
        yield back(first + int((piece + 0.75 * die()) * width))


Way = tuple[Callable[[Any], int], Callable[[int], Any]]


def _numbers(low: Any, high: Any) -> Way:
    return int, type(low)


def _object_ids(low: ObjectId, high: ObjectId) -> Way:
    return lambda each: int.from_bytes(each.binary, "big"), lambda number: ObjectId(number.to_bytes(12, "big"))


def _times(low: datetime, high: datetime) -> Way:
    return lambda each: (each - low) // timedelta(milliseconds=1), lambda number: low + timedelta(milliseconds=number)


def _binaries(low: bytes, high: bytes) -> Way:
    """UUIDs and hashes: of one length and kind."""
    kind = getattr(low, "subtype", 0)
    return lambda each: int.from_bytes(each, "big"), lambda number: Binary(number.to_bytes(len(low), "big"), kind)


def _texts(low: str, high: str) -> Way:
    """The characters after what both have in common, as digits; what is no ASCII counts as its end."""
    same = 0
    while same < min(len(low), len(high)) and low[same] == high[same]:
        same += 1
    head = low[:same]

    def to_number(text: str) -> int:
        number = 0
        for at in range(same, same + _TEXT_CHARACTERS):
            number = number * _TEXT_BASE + (min(ord(text[at]), _TEXT_BASE - 1) if at < len(text) else 0)
        return number

    def back(number: int) -> str:
        digits = []
        for _ in range(_TEXT_CHARACTERS):
            number, digit = divmod(number, _TEXT_BASE)
            digits.append(chr(digit))
        return head + "".join(reversed(digits)).rstrip("\0")

    return to_number, back


_NUMBERS: dict[type, Callable[[Any, Any], Way]] = {
    int: _numbers,
    Int64: _numbers,
    float: _numbers,
    ObjectId: _object_ids,
    datetime: _times,
    str: _texts,
    bytes: _binaries,
    Binary: _binaries,
}


async def read(line: Line, task: SampleTask, *, page_bytes: int) -> Sample:
    """The sample of one task. Raises Failed with a code of `failures`; `gone` where there is no such collection."""
    size = task.pages * page_bytes
    found = await documents(line, task.schema, task.table, most=task.rows, seed=task.seed, bytes_=size)
    if not found and not await _exists(line, task.schema, task.table):
        raise refusal("gone")
    rows, columns, binary = Picker(task.columns).rows(found)
    return Sample(task.token, rows, columns, binary=binary)


def refused(task: SampleTask, error: BaseException) -> Sample:
    """No values, and why, in our own words."""
    return Sample(task.token, 0, (), mongo_failure(error).diagnosis())
