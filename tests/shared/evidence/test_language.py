"""What is read off a pattern holds for every value of it: nothing that the gate or the search within text relies on is too narrow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.evidence.count import count_column, inside, whole
from shared.evidence.detectors import DETECTORS
from shared.evidence.gate import _COMMON, _SMALL, _WORDS, Level
from shared.evidence.language import SAME, facts
from shared.evidence.lines import Lines

PATTERNS = sorted({pattern for detector in DETECTORS for pattern in detector.patterns})
LEVELS = [Level(PATTERNS, dropped) for dropped in (b"", _SMALL, _WORDS, _COMMON)]
drawn = st.sampled_from(PATTERNS).flatmap(
    lambda pattern: st.tuples(st.just(PATTERNS.index(pattern)), st.from_regex(re.compile(pattern.encode()), fullmatch=True))
)


@settings(max_examples=300, deadline=None)
@given(drawn)
def test_no_grain_loses_a_value(case: tuple[int, bytes]) -> None:
    """At every grain, the image of a value is let through to the value's own pattern; lengths and first bytes are as told."""
    number, value = case
    plain = facts(PATTERNS[number].encode(), SAME)
    assert plain.least <= len(value) <= plain.most
    assert value[0] in plain.starts
    assert set(value) <= plain.alphabet
    assert all(number in level.lets(level.map.of(value)) for level in LEVELS)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_pattern_matches_nothing(pattern: str) -> None:
    """First bytes can be told only of what has one."""
    assert facts(pattern.encode(), SAME).least > 0


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_stands_within_text_has_its_mark(data: st.DataObject) -> None:
    """Whatever an inside detector would find holds one of its marks."""
    detector, _ = data.draw(st.sampled_from(inside()))
    value = data.draw(st.from_regex(re.compile(detector.pattern.encode()), fullmatch=True))
    assert Lines(b"nothing here\n" + value, 2, None).holding(detector.marks) == {1}


@pytest.mark.parametrize("char", ["a", "A", "9", "a.", "A9", "9 ", "a-", ": ", "A a ", "1,", "/", "é ", "a@", "0-"])
def test_no_value_makes_a_pattern_slow(char: str) -> None:
    """Long runs of one thing, which make careless expressions take for ever, are counted at once."""
    whole()
    start = time.thread_time()
    for length in (40, 390):
        count_column([(char * 400)[: length + extra] + end for extra in range(5) for end in ("", "!", "\x7f")])
    assert time.thread_time() - start < 1.5
