"""A set of patterns, each looked for once: the gate says which can occur, `re` decides. Expressions are made when first needed."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from shared.evidence.gate import Gate
from shared.evidence.language import SAME, facts

_GUARD_BEFORE, _GUARD_AFTER = rb"(?<![A-Za-z0-9])", rb"(?![A-Za-z0-9])"


class Engine:
    """Patterns over UTF-8 bytes. Safe to use from several threads."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.gate = Gate(patterns)
        self._patterns = patterns
        self._forms: dict[int, tuple[re.Pattern[bytes], frozenset[int]]] = {}

    def fitting(self, number: int, values: Sequence[bytes], starts: Set[int]) -> list[bytes]:
        """Those of `values`, whose first bytes are among `starts`, that one pattern matches whole. No pattern matches nothing."""
        known = self._forms.get(number)
        if known is None:
            pattern = self._patterns[number].encode()
            known = self._forms[number] = re.compile(pattern), facts(pattern, SAME).starts
        form, first = known
        return [] if first.isdisjoint(starts) else list(filter(form.fullmatch, values))


def within(pattern: str) -> re.Pattern[bytes]:
    """`pattern` anywhere between other text, not within a longer word."""
    return re.compile(_GUARD_BEFORE + b"(?:" + pattern.encode() + b")" + _GUARD_AFTER)
