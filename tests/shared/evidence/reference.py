"""The evidence of a column the plain way: one detector after the other, one value after the other, no array and no automaton."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from shared.contracts.asset import ColumnEvidence, Lengths, Match, Shape
from shared.evidence.detector import Detector, Found
from shared.evidence.detectors import DETECTORS

_WHOLE = {pattern: re.compile(pattern.encode()) for detector in DETECTORS for pattern in detector.patterns if not detector.inside}
_INSIDE = {
    detector.name: re.compile(b"(?<![A-Za-z0-9])(?:" + detector.pattern.encode() + b")(?![A-Za-z0-9])")
    for detector in DETECTORS
    if detector.inside
}


def evidence(values: Sequence[str], nulls: int, longest: int = 400) -> ColumnEvidence:
    """What `count_columns` must say of this column."""
    if not values:
        return ColumnEvidence(nulls=nulls)
    texts = _texts(values, longest)
    raw = [(text.encode(), weight) for text, weight in texts]
    words = round(sum(text.count(" ") + text.count("\t") + bool(text) for text, _ in texts) / len(texts), 3)
    matches = [match for detector in DETECTORS if not detector.inside and (match := _whole(detector, raw)).matched]
    spelt = any(not text.isascii() or re.search("[A-Za-z]", text) for text, _ in texts)
    if spelt and (words >= 3 or any(match.detector == "json_object" for match in matches)):
        matches += [match for detector in DETECTORS if detector.inside and (match := _inside(detector, raw)).matched]
    sizes, distinct = [len(value) for value in values], len(set(values))
    return ColumnEvidence(
        sampled=len(values),
        nulls=nulls,
        distinct=distinct,
        matches=tuple(sorted(matches, key=lambda match: match.detector)),
        lengths=Lengths(min=min(sizes), max=max(sizes), mean=round(sum(sizes) / len(sizes), 2)),
        shapes=_shapes(raw),
        entropy=_entropy(values),
        words=words,
        free_text=words >= 4 and distinct * 2 > len(values),
    )


def _texts(values: Sequence[str], longest: int) -> list[tuple[str, int]]:
    """What is looked at, with its occurrences: cleaned where a value needs it, once each where they repeat."""
    cleaned = [value[:longest].encode("utf-8", "replace").decode().replace("\n", " ").strip(" ") for value in values]
    if cleaned != list(values) or max(len(text.encode()) for text in cleaned) > longest or len(set(values)) * 2 <= len(values):
        return list(Counter(cleaned).items())
    return [(text, 1) for text in cleaned]


def _whole(detector: Detector, raw: Sequence[tuple[bytes, int]]) -> Match:
    matched = checked = valid = 0
    for pattern in detector.patterns:
        hits = [(text, weight) for text, weight in raw if _WHOLE[pattern].fullmatch(text)]
        matched += sum(weight for _, weight in hits)
        if detector.validator is not None:
            step = -(-len(hits) // detector.most) if detector.most and hits else 1
            for text, weight in hits[::step]:
                checked += weight
                valid += weight if detector.validator(Found([text]))[0] else 0
    if valid < detector.least * checked:
        return Match(detector=detector.name, matched=0)
    return Match(detector=detector.name, matched=matched, checked=checked, valid=valid)


def _inside(detector: Detector, raw: Sequence[tuple[bytes, int]]) -> Match:
    matched = valid = 0
    for text, weight in raw:
        hits = [hit.group() for hit in _INSIDE[detector.name].finditer(text)]
        matched += weight if hits else 0
        valid += weight if detector.validator and any(detector.validator(Found([hit]))[0] for hit in hits) else 0
    return Match(detector=detector.name, matched=matched, checked=matched if detector.validator else 0, valid=valid)


def _shapes(raw: Sequence[tuple[bytes, int]]) -> tuple[Shape, ...]:
    """Five different values of one shape, letters and digits of ASCII mapped, and then those of every script."""
    of_shape: dict[bytes, list[tuple[bytes, int]]] = {}
    for text, weight in raw:
        shape = re.sub(rb"[0-9]", b"9", re.sub(rb"[A-Z]", b"A", re.sub(rb"[a-z]", b"a", text)))
        of_shape.setdefault(shape, []).append((text, weight))
    totals: Counter[str] = Counter()
    for shape, owners in of_shape.items():
        if len({text for text, _ in owners}) >= 5:
            totals[_shown(shape.decode())] += sum(weight for _, weight in owners)
    best = sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:8]
    return tuple(Shape(pattern=shape, count=count) for shape, count in best if shape)


def _shown(text: str) -> str:
    letters = []
    for char in text:
        category = unicodedata.category(char)
        if category[0] in "LN":
            letters.append("9" if category[0] == "N" else "A" if category in ("Lu", "Lt") else "a")
        elif " " <= char <= "~":
            letters.append(char)
    runs = ["".join(run) for _, run in groupby(letters)]
    return "".join(run[:12] if run[0] in "aA9" else run for run in runs)[:40]


def _entropy(values: Sequence[str]) -> float:
    chosen = [value[:32] for value in values[:: math.ceil(len(values) / 4)] if value]
    bits = [-sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values()) for value in chosen]
    return round(sum(bits) / len(bits), 3) if bits else 0.0
