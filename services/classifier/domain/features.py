"""What tier 2 sees of a column: its type, what was counted, what the rules made of it, and the company it keeps. Each about 0 to 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log2

from services.classifier.domain.evidence import estimated_hits
from services.classifier.domain.score import PRIOR, Candidate
from shared.contracts.asset import Column, ColumnEvidence, Shape

Features = Mapping[str, float]
"""Features by name; those that are missing are nought. A model knows the names that it was trained with and passes over others."""

_SCORE = 10.0  # log odds that count as one
_LONG, _MANY, _BITS, _WORDS = 10.0, 8.0, 6.0, 12.0  # log2 of length, log2 of counts, bits per character, words
_FEW = (1, 2, 3, 5, 10, 20)
_SIGNS = {
    "@": "at", "-": "dash", ".": "dot", "/": "slash", ":": "colon", ",": "comma", " ": "blank", "'": "quote", "(": "bracket",
    "+": "plus", "_": "line", "#": "hash", "{": "brace", "&": "and", "%": "percent",
}  # fmt: skip


def features_of(
    column: Column, evidence: ColumnEvidence, family: str, candidates: Sequence[Candidate], tags: Iterable[str], words: Mapping[str, bool]
) -> Features:
    """The features of one column. `words`: what is true of its name."""
    found: dict[str, float] = {f"type:{family}": 1.0}
    found.update((f"name:{what}", 1.0) for what, holds in words.items() if holds)
    found.update((f"tag:{tag}", 1.0) for tag in tags)
    found.update((f"rules:{one.class_name}", max(-1.0, min(1.0, (one.score - PRIOR) / _SCORE))) for one in candidates)
    keys = {"key": column.primary_key, "unique": column.unique, "indexed": column.indexed, "required": not column.nullable}
    found.update((f"column:{what}", 1.0) for what, holds in keys.items() if holds)
    sampled = evidence.sampled
    found.update((f"found:{match.detector}", estimated_hits(match) / sampled) for match in evidence.matches)
    _counts(evidence, found)
    if evidence.shapes:
        _shapes(evidence.shapes, sampled, found)
    return found


def _counts(evidence: ColumnEvidence, found: dict[str, float]) -> None:
    sampled = evidence.sampled
    found["few values"] = 1.0 / sampled
    found["nulls"] = evidence.nulls / (sampled + evidence.nulls)
    found["distinct share"] = evidence.distinct / sampled
    found["distinct"] = min(1.0, log2(1 + evidence.distinct) / _MANY)
    found.update((f"distinct to {most}", 1.0) for most in _FEW if evidence.distinct <= most)
    found["entropy"] = min(1.5, evidence.entropy / _BITS)
    found["words"] = min(1.5, evidence.words / _WORDS)
    found["text"] = float(evidence.free_text)
    if evidence.lengths is not None:
        least, most, mean = evidence.lengths.min, evidence.lengths.max, evidence.lengths.mean
        found["shortest"], found["longest"] = min(1.0, log2(1 + least) / _LONG), min(1.0, log2(1 + most) / _LONG)
        found["length"] = min(1.0, log2(1 + mean) / _LONG)
        found["one length"] = float(least == most)
        found["length to 40"] = min(1.0, mean / 40)
        found[f"length {min(24, round(mean))}"] = 1.0


def _shapes(shapes: Sequence[Shape], sampled: int, found: dict[str, float]) -> None:
    """What share of the values has a form that is shared, and what such forms hold."""
    for shape in shapes:
        share, form = shape.count / sampled, shape.pattern
        digits, small, large = form.count("9"), form.count("a"), form.count("A")
        kinds = {
            "shape": True,
            "digits alone": digits == len(form),
            "letters alone": small + large == len(form),
            "both": bool(digits and small + large),
            "capital first": form[:1] == "A" and bool(small),
            "capitals": bool(large and not small),
            "small": bool(small and not large),
            "digit first": form[:1] == "9",
            "digit last": form[-1:] == "9",
            "letter first": form[:1] in ("a", "A"),
        }
        for what, holds in kinds.items():
            if holds:
                found[f"shape:{what}"] = found.get(f"shape:{what}", 0.0) + share
        for sign in _SIGNS.keys() & set(form):
            name = f"sign:{_SIGNS[sign]}"
            found[name] = found.get(name, 0.0) + share
    best = shapes[0].pattern
    found["commonest shape"] = shapes[0].count / sampled
    found["share of digits"] = best.count("9") / len(best)
    found["share of signs"] = sum(not char.isalnum() for char in best) / len(best)
