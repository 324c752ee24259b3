"""All patterns as one automaton that reads many values at once, one character of each a step.

A state is the set of what may still follow in every pattern, so one step costs the same for one pattern and for a hundred, and
a value is read once. States and steps are made when a value first needs them, and remembered: a thousand columns later next to none
are new. Time is linear in the length of a value, whatever the pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from shared.evidence import language
from shared.evidence.language import Atom, Choice, End, Item, Repeat, is_empty

_MOST_STATES = 16_384
_UNKNOWN, _DEAD, _START = 0, 1, 2
_FEW = 24  # so few values are read faster one by one
_DROP_EVERY = 6  # steps between looks for values that no pattern can match any more
_LEARN_FIRST = 32
_LONGEST = 65_535

Integers = NDArray[np.int64]


class _Memory:
    """States and the steps between them. `table` holds, at a state's place plus a character's class, the place of the next state.

    The first state stands for steps not yet made (all zeros: it leads to itself), the second for no match (it too).
    """

    def __init__(self, shift: int, start: frozenset[int], accepts: int) -> None:
        self.table: Integers = np.zeros(_MOST_STATES << shift, np.int64)
        self.table[_DEAD << shift : _START << shift] = _DEAD << shift
        self.accepts = np.zeros(_MOST_STATES, np.int64)
        self.accepts[_START] = accepts
        self.states: list[frozenset[int]] = [frozenset(), frozenset(), start]
        self.number_of = {frozenset[int](): _DEAD, start: _START}


class Automaton:
    """Patterns over UTF-8 bytes, each matched against whole values. Safe to use from several threads."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises ValueError for a pattern that matches nothing at all, or is not of the grammar."""
        parsed = [language.parse(pattern.encode()) for pattern in patterns]
        if any(map(is_empty, parsed)):
            raise ValueError("a pattern that fits an empty value says nothing")
        self._samples, self.classes = _classes(parsed)
        self._shift = (len(self._samples) - 1).bit_length()
        self._rests: list[language.Sequence] = []
        self._rest_numbers: dict[language.Sequence, int] = {}
        self._heads: list[list[tuple[frozenset[int], int]] | None] = []
        self.accept_sets: list[tuple[int, ...]] = [()]
        self._accept_numbers: dict[tuple[int, ...], int] = {(): 0}
        self._start = frozenset(self._number((*pattern, End(at))) for at, pattern in enumerate(parsed))
        self._lock = Lock()
        self._memory = _Memory(self._shift, self._start, 0)

    def match(self, buffer: bytes, starts: Integers, lengths: Integers) -> Integers:
        """For each value, a place in `accept_sets`, which tells the numbers of the patterns that it fits."""
        read = buffer.translate(self.classes)
        classes, memory = np.frombuffer(read, np.uint8), self._memory
        states = self._march(memory, classes, starts, lengths)
        found: Integers = memory.accepts[states >> self._shift]
        unread, learnt = np.flatnonzero(states == _UNKNOWN), _LEARN_FIRST
        while len(unread):
            for at in unread[:learnt].tolist():
                found[at] = self._learn(read[starts[at] : starts[at] + lengths[at]])
            unread, learnt, memory = unread[learnt:], learnt * 2, self._memory
            states = self._march(memory, classes, starts[unread], lengths[unread])
            found[unread] = memory.accepts[states >> self._shift]
            unread = unread[states == _UNKNOWN]
        return found

    def _march(self, memory: _Memory, classes: NDArray[np.uint8], starts: Integers, lengths: Integers) -> Integers:
        """All values in step, the longest first, so that those which have not ended stand together. Gives the place of each last state."""
        order = np.argsort((_LONGEST - lengths).astype(np.uint16), kind="stable")  # of 16 bits, in linear time
        result: Integers = np.full(len(starts), _DEAD << self._shift, np.int64)
        places, sizes, state = starts[order], lengths[order], np.full(len(starts), _START << self._shift, np.int64)
        table, step = memory.table, 0
        while len(order):
            going = _longer(sizes, step)
            for count in going[:_DROP_EVERY]:
                if count < _FEW:
                    break
                begun = state[:count]
                state[:count] = table.take(begun + classes[step:].take(places[:count]))
                step += 1
            count = going[_DROP_EVERY] if len(going) > _DROP_EVERY else 0
            if count < _FEW:
                self._one_by_one(table, classes[step:], places, sizes - step, state)
                count = 0
            result[order] = state
            alive = np.flatnonzero(state[:count] != _DEAD << self._shift)
            order, places, sizes, state = order[alive], places[alive], sizes[alive], state[alive]
        return result

    def _one_by_one(self, table: Integers, classes: NDArray[np.uint8], places: Integers, left: Integers, state: Integers) -> None:
        """Read each value, whose `left` last characters are unread, to its end."""
        step, dead = table.item, _DEAD << self._shift
        for at in range(int(np.count_nonzero(left > 0))):
            now, place = int(state[at]), int(places[at])
            for code in classes[place : place + int(left[at])].tolist():
                now = step(now + code)
                if now == dead:
                    break
            state[at] = now

    def _learn(self, value: bytes) -> int:
        """Read one value of classes, make the states that it needs, and tell its place in `accept_sets`."""
        with self._lock:
            memory, now = self._memory, _START
            for code in value:
                place = (now << self._shift) + code
                following = int(memory.table[place]) >> self._shift
                if following == _UNKNOWN:
                    following = self._add(memory, memory.states[now], code)
                    if following == _UNKNOWN:
                        return self._forget_and_learn(value)
                    memory.table[place] = following << self._shift
                now = following
            return int(memory.accepts[now])

    def _add(self, memory: _Memory, rests: frozenset[int], code: int) -> int:
        """The state after `code`; unknown where there is no room for another."""
        state = self._after(rests, code)
        number = memory.number_of.get(state)
        if number is None:
            number = len(memory.states)
            if number == _MOST_STATES:
                return _UNKNOWN
            memory.states.append(state)
            memory.number_of[state] = number
            memory.accepts[number] = self._accept_number(state)
        return number

    def _forget_and_learn(self, value: bytes) -> int:
        """Start over with an empty memory; whoever still reads the old one reads it to the end."""
        self._memory = _Memory(self._shift, self._start, 0)
        state = self._start
        for code in value:
            state = self._after(state, code)
        return self._accept_number(state)

    def _after(self, rests: frozenset[int], code: int) -> frozenset[int]:
        byte, found = self._samples[code], set[int]()
        for rest in rests:
            heads = self._heads[rest]
            if heads is None:
                heads = self._heads[rest] = [(members, self._number(after)) for members, after in language.heads(self._rests[rest])]
            for members, after in heads:
                if byte in members:
                    found.add(after)
        return frozenset(found)

    def _number(self, rest: language.Sequence) -> int:
        number = self._rest_numbers.setdefault(rest, len(self._rests))
        if number == len(self._rests):
            self._rests.append(rest)
            self._heads.append(None)
        return number

    def _accept_number(self, state: frozenset[int]) -> int:
        ends = (self._rests[rest] for rest in state)
        numbers = tuple(sorted({rest[-1].number for rest in ends if is_empty(rest) and isinstance(rest[-1], End)}))
        number = self._accept_numbers.setdefault(numbers, len(self.accept_sets))
        if number == len(self.accept_sets):
            self.accept_sets.append(numbers)
        return number


def _longer(sizes: Integers, step: int) -> list[int]:
    """How many of `sizes`, which fall, are above `step`, above the one after it, and so on."""
    ends = np.arange(step, min(step + _DROP_EVERY + 1, int(sizes[0])))
    return (len(sizes) - np.searchsorted(sizes[::-1], ends, "right")).tolist()  # type: ignore[no-any-return]


def _classes(patterns: Sequence[language.Sequence]) -> tuple[list[int], bytes]:
    """Bytes that no pattern tells apart: one of each class, and the class of each byte."""
    atoms: dict[int, frozenset[int]] = {}
    for pattern in patterns:
        _collect(pattern, atoms)
    kinds = sorted(set(atoms.values()), key=sorted)
    classes: dict[tuple[bool, ...], int] = {}
    samples: list[int] = []
    table = bytearray(256)
    for code in range(256):
        kind = tuple(code in members for members in kinds)
        table[code] = classes.setdefault(kind, len(samples))
        if table[code] == len(samples):
            samples.append(code)
    return samples, bytes(table)


def _collect(sequence: language.Sequence, atoms: dict[int, frozenset[int]]) -> None:
    for item in sequence:
        _collect_item(item, atoms)


def _collect_item(item: Item, atoms: dict[int, frozenset[int]]) -> None:
    if isinstance(item, Atom):
        atoms[id(item)] = item.members
    elif isinstance(item, Choice):
        for option in item.options:
            _collect(option, atoms)
    elif isinstance(item, Repeat):
        _collect(item.inner, atoms)
