"""Patterns that people wrote: counted beside ours, refused where they cannot be read, linear whatever they are."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from shared.evidence import own
from shared.evidence.count import count_columns


@pytest.fixture(autouse=True)
def nothing_in_use() -> Iterator[None]:
    yield
    own.use({})


def test_values_of_ones_own_kind_are_counted_beside_ours() -> None:
    """Whole values only, repeated ones as often as they stand there; other columns are told nothing."""
    own.use({"own_card": "LC-[0-9]{4}", "own_any": "(?:LC|XX)-.*"})
    found = list(count_columns([["LC-1234", "LC-12345", "a@b.org"] * 3, ["x"], [], ["XX-1", "LC-9999"]], [0, 0, 1, 0]))
    told = [{m.detector: m.matched for m in column.matches if m.detector.startswith("own_")} for column in found]
    assert told == [{"own_card": 3, "own_any": 6}, {}, {}, {"own_any": 2, "own_card": 1}]
    assert any(m.detector == "email" for m in found[0].matches)


def test_a_pattern_that_explodes_elsewhere_is_read_in_linear_time() -> None:
    """Nested repeats over a long value that does not fit: no more than a second, where backtracking takes years."""
    own.use({"own_evil": "(?:(?:a+)+)+b", "own_twin": "(?:a|a)*c"})
    start = time.process_time()
    (found,) = count_columns([["a" * 390 + "!"] * 3 + ["aab"]], [0])
    assert time.process_time() - start < 1.0
    assert [m.matched for m in found.matches if m.detector == "own_evil"] == [1]


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a*",
        "(a",
        "a)",
        "[a",
        "(?=a)b",
        "(?<!a)b",
        r"\ba",
        r"(a)\1",
        r"\w+",
        "a{5000}",
        "(?:a{100}){100}",
        "x" * 300,
        "*a",
        "(?P<n>a)",
        "^a",
        "a$",
    ],
)
def test_what_cannot_be_read_is_refused_with_its_name(pattern: str) -> None:
    """Too long, too many repeats, fitting nothing at all, look-around, back-references, broken brackets; what was in use stays."""
    own.use({"own_good": "ab"})
    with pytest.raises(ValueError, match="pattern own_bad"):
        own.use({"own_bad": pattern})
    assert [m.detector for m in next(iter(count_columns([["ab"]], [0]))).matches if m.detector.startswith("own_")] == ["own_good"]


def test_there_is_a_most() -> None:
    """Fifty patterns, not more."""
    with pytest.raises(ValueError, match="51 patterns"):
        own.use({f"own_p{number}": f"p{number}" for number in range(51)})
