"""Many columns at once give what one detector after the other and one value after the other give."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator

import pytest

from shared.contracts.asset import ColumnEvidence
from shared.evidence import automaton, count
from shared.evidence.count import count_column, count_columns
from tests.shared.evidence.examples import ORACLES
from tests.shared.evidence.reference import evidence
from tests.shared.evidence.test_count import GOOD, TRAPS

Maker = Callable[[random.Random], str]

SCRIPTS = ["àéîõüß", "ЖЙшщ", "漢字仮名", "٠١٢٣٤", "αβΓΔ", "🙂🚀", "e\u0301", "\u200b\u00a0"]
ODD = [
    "",
    " ",
    "\n",
    "a\nb",
    "x" * 3000,
    "é" * 399,
    "é" * 250,
    "\x00",
    "a\x00",
    "\ud800x",
    " lead",
    "trail ",
    "\t",
    "a\tb",
    "\r\n",
    "?",
    "-----",
]


def _text(dice: random.Random) -> str:
    words = ["".join(dice.choices(string.ascii_letters, k=dice.randint(1, 9))) for _ in range(dice.randint(3, 14))]
    words[dice.randrange(len(words))] = dice.choice(
        [*GOOD["email"], *GOOD["iban"], *GOOD["us_ssn"], *GOOD["phone"], "4111 1111 1111 1111", "x"]
    )
    return " ".join(words)


MAKERS: list[Maker] = [
    lambda dice: str(dice.randrange(10 ** dice.randint(1, 19))),
    lambda dice: dice.choice(["new", "paid", "Paid", "on hold", ""]),
    lambda dice: f"{dice.randint(1850, 2040)}-{dice.randint(1, 12):02}-{dice.randint(1, 31):02}",
    lambda dice: "".join(dice.choices(string.ascii_letters + string.digits + "+/=_", k=dice.randint(1, 70))),
    lambda dice: "".join(dice.choices(string.printable, k=dice.randint(0, 40))),
    lambda dice: "".join(dice.choices("".join(SCRIPTS) + "aA9 ", k=dice.randint(0, 30))),
    lambda dice: dice.choice(ODD),
    lambda dice: dice.choice(GOOD[dice.choice(sorted(GOOD))]),
    lambda dice: f'{{"a": {dice.randint(0, 10**9)}, "to": "{dice.choice(GOOD["email"])}"}}',
    lambda dice: f"{dice.randbytes(16).hex()}",
    lambda dice: f"Ж{dice.randint(0, 99)}-ß",
    _text,
    *(lambda dice, values=values: dice.choice(values) for values, _ in TRAPS.values()),  # type: ignore[misc]
    *(lambda _, make=make: make() for make, _ in ORACLES.values()),  # type: ignore[misc]
]


def columns(seed: int, size: int) -> Iterator[list[str]]:
    """One column of every maker, then mixtures: of two makers, of few values again and again, of one value."""
    dice = random.Random(seed)
    for make in MAKERS:
        yield [make(dice) for _ in range(dice.randint(0, size))]
    for _ in range(30):
        one, other = dice.sample(MAKERS, 2)
        few = [one(dice) for _ in range(dice.randint(1, 12))]
        yield [one(dice) if dice.random() < 0.9 else other(dice) for _ in range(dice.randint(1, size))]
        yield [dice.choice(few) for _ in range(dice.randint(1, size))]
        yield [one(dice)] * dice.randint(1, 9)


def same(found: ColumnEvidence, wanted: ColumnEvidence) -> bool:
    """Equal; the estimate of entropy may round the other way."""
    return abs(found.entropy - wanted.entropy) < 0.0011 and found.model_copy(update={"entropy": wanted.entropy}) == wanted


@pytest.mark.parametrize(("seed", "size"), [(1, 40), (2, 40), (3, 250)])
def test_all_at_once_is_one_by_one(seed: int, size: int) -> None:
    """Counts, checksums, shapes, lengths, distinct values, words: the same, whatever the values and their neighbours."""
    data = list(columns(seed, size))
    nulls = list(range(len(data)))
    found = list(count_columns(data, nulls))
    wanted = [evidence(values, missing) for values, missing in zip(data, nulls, strict=True)]
    assert [(values, a, b) for values, a, b in zip(data, found, wanted, strict=True) if not same(a, b)] == []


def test_neighbours_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column counted alone, among many, or in small batches has the same evidence."""
    data = list(columns(4, 30))
    alone = [count_column(values) for values in data]
    nothing = [0] * len(data)
    assert all(map(same, count_columns(data, nothing), alone))
    monkeypatch.setattr(count, "_TOGETHER", 64)
    assert all(map(same, count_columns(data, nothing), alone))


def test_a_full_memory_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where states do not fit into memory, they are made again, with the same result."""
    data = list(columns(5, 30))
    wanted = list(count_columns(data, [0] * len(data)))
    monkeypatch.setattr(automaton, "_MOST_STATES", 40)
    count.whole.cache_clear()
    try:
        assert all(map(same, count_columns(data, [0] * len(data)), wanted))
    finally:
        count.whole.cache_clear()
