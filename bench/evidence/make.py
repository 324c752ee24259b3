"""Columns as databases have them, made from rules of their own: shares no list, pattern or checksum with the detectors.

Most columns of a real schema are plain (ids, amounts, states, times, words); about a third here hold something a regulation names.
"""

from __future__ import annotations

import random
import string
import uuid
from collections.abc import Callable

_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "el", "or")]


def _word(dice: random.Random, most: int = 3) -> str:
    return "".join(dice.choice(_SYLLABLES) for _ in range(dice.randint(1, most)))


def _name(dice: random.Random) -> str:
    return f"{_word(dice).title()} {_word(dice).title()}"


def _digits(dice: random.Random, count: int) -> str:
    return "".join(dice.choice(string.digits) for _ in range(count))


def _card(dice: random.Random) -> str:
    body = dice.choice("45") + dice.choice("12345") + _digits(dice, 13)
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(body)]
    return body + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def _iban(dice: random.Random) -> str:
    bban = _digits(dice, 18)
    return f"DE{98 - int(bban + '131400') % 97:02d}{bban}"


def _day(dice: random.Random) -> str:
    return f"{dice.randint(1940, 2025)}-{dice.randint(1, 12):02d}-{dice.randint(1, 28):02d}"


def _moment(dice: random.Random) -> str:
    return f"{_day(dice)} {dice.randint(0, 23):02d}:{dice.randint(0, 59):02d}:{dice.randint(0, 59):02d}.{_digits(dice, 6)}+00"


def _sentence(dice: random.Random) -> str:
    words = [_word(dice) for _ in range(dice.randint(5, 14))]
    if dice.random() < 0.05:
        words.insert(3, f"{_word(dice)}@{_word(dice)}.org")
    return " ".join(words).capitalize() + "."


_KINDS: list[tuple[int, Callable[[random.Random], str]]] = [
    (6, lambda d: str(d.randint(1, 10**6))),
    (3, lambda d: str(d.randint(1, 10**9))),
    (3, lambda d: f"{d.uniform(0, 5000):.2f}"),
    (4, lambda d: d.choice(["open", "paid", "sent", "closed", "void"])),
    (3, lambda d: d.choice(["t", "f"])),
    (6, _moment),
    (2, _day),
    (4, lambda d: _word(d, 4)),
    (2, lambda d: " ".join(_word(d) for _ in range(3))),
    (3, _sentence),
    (2, lambda d: str(uuid.UUID(int=d.getrandbits(128), version=4))),
    (1, lambda d: f"{d.getrandbits(256):064x}"),
    (1, lambda d: f"https://{_word(d)}.example/{_word(d)}?id={d.randint(1, 999)}"),
    (1, lambda d: ".".join(str(d.randint(1, 254)) for _ in range(4))),
    (2, lambda d: f"{_word(d, 2).upper()}-{_digits(d, 5)}"),
    (1, lambda d: f'{{"{_word(d)}": {d.randint(1, 99)}, "tag": "{_word(d)}"}}'),
    (1, lambda d: str(d.randint(1950, 2025))),
    (1, lambda d: "".join(d.sample(string.ascii_uppercase, 2))),
    (3, lambda d: f"{_word(d)}.{_word(d)}{d.randint(1, 99)}@{_word(d)}.com"),
    (3, _name),
    (1, lambda d: f"{d.randint(100, 899)}-{d.randint(10, 99)}-{_digits(d, 4)}"),
    (1, _card),
    (1, _iban),
    (1, lambda d: f"+4930{_digits(d, 7)}"),
    (1, lambda d: f"({d.randint(201, 989)}) {d.randint(200, 999)}-{_digits(d, 4)}"),
    (1, lambda d: _digits(d, 5)),
    (1, lambda d: f"{d.randint(1, 999)} {_word(d).title()} Street"),
    (1, lambda d: f"{d.uniform(-90, 90):.5f}, {d.uniform(-180, 180):.5f}"),
]


def columns(count: int, rows: int, seed: int = 7) -> list[list[str]]:
    """`count` columns of `rows` values; equal seeds give equal data."""
    dice = random.Random(seed)
    kinds = [kind for weight, kind in _KINDS for _ in range(weight)]
    return [[kind(dice) for _ in range(rows)] for kind in (dice.choice(kinds) for _ in range(count))]
