"""The automaton says of every value what `re` says, pattern by pattern; and no value makes it slow."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.evidence.automaton import Automaton
from shared.evidence.count import count_column, inside, whole
from shared.evidence.detectors import DETECTORS
from shared.evidence.lines import Column, lines_of

PATTERNS = sorted({pattern for detector in DETECTORS for pattern in detector.patterns})
FORMS = [re.compile(pattern.encode()) for pattern in PATTERNS]
AUTOMATON = Automaton(PATTERNS)
drawn = st.sampled_from(FORMS).flatmap(lambda form: st.from_regex(form, fullmatch=True)).filter(lambda value: b"\n" not in value)


def matched(automaton: Automaton, values: list[bytes]) -> list[tuple[int, ...]]:
    """Numbers of the patterns that fit each value."""
    lengths = np.array([len(value) for value in values])
    starts = np.cumsum(lengths + 1) - lengths - 1
    return [automaton.accept_sets[place] for place in automaton.match(b"\n".join(values) + b"\n", starts, lengths).tolist()]


@settings(max_examples=150, deadline=None)
@given(st.lists(drawn, min_size=1, max_size=40), st.data())
def test_the_automaton_says_what_re_says(values: list[bytes], data: st.DataObject) -> None:
    """For values of the patterns, and for those with one byte changed, lost or added."""
    value = data.draw(st.sampled_from(values))
    at = data.draw(st.integers(0, len(value)))
    byte = bytes([data.draw(st.integers(0, 255).filter(lambda code: code != 10))])
    values += [value[:at] + byte + value[at:], value[:at] + value[at + 1 :], value[:at] + byte + value[at + 1 :]]
    wanted = [tuple(number for number, form in enumerate(FORMS) if form.fullmatch(value)) for value in values]
    assert matched(AUTOMATON, values) == wanted


@pytest.mark.parametrize(
    "pattern", ["a?b", "(?:ab|a)b?", "(?:a|b*c){2,3}", "(?:a{0,2}b?){3}c", "(?:(?:ab){2,})+x", "[^a]{2}.", "(?i:ab|c){1,2}d", "(?:|a)b+"]
)
def test_every_construct_is_read_as_re_reads_it(pattern: str) -> None:
    """All short texts over a few letters."""
    texts = [b""]
    for _ in range(6):
        texts += [text + bytes([code]) for text in texts[-(4 ** len(texts[-1])) :] for code in b"abcx"]
    form = re.compile(pattern.encode())
    assert matched(Automaton([pattern]), texts) == [(0,) if form.fullmatch(text) else () for text in texts]


@pytest.mark.parametrize("pattern", ["a*", "(?:a|)", "(a)b", r"a\b", r"\w+", r"(?:a)\1"])
def test_what_it_cannot_read_is_refused(pattern: str) -> None:
    """A pattern of nothing, and constructs beyond the grammar."""
    with pytest.raises(ValueError, match="pattern"):
        Automaton([pattern])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_stands_within_text_has_its_mark(data: st.DataObject) -> None:
    """Whatever an inside detector would find holds one of its marks."""
    _, detector, _ = data.draw(st.sampled_from(inside()))
    value = data.draw(st.from_regex(re.compile(detector.pattern.encode()), fullmatch=True)).decode()
    lines = lines_of([Column(["before"]), Column(["nothing here", value])], 400)
    assert lines.holding(1, detector.marks, lines.ends_of(1)) == [1]


@pytest.mark.parametrize("char", ["a", "A", "9", "a.", "A9", "9 ", "a-", ": ", "A a ", "1,", "/", "é ", "a@", "0-"])
def test_no_value_makes_a_pattern_slow(char: str) -> None:
    """Long runs of one thing, which make careless expressions take for ever, are counted at once."""
    whole()
    start = time.thread_time()
    for length in (40, 390):
        count_column([(char * 400)[: length + extra] + end for extra in range(5) for end in ("", "!", "\x7f")])
    assert time.thread_time() - start < 1.5
