"""What the counted values say: each detector's hits become a signed weight for the class it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

from services.classifier.domain.taxonomy import DataClass, Taxonomy
from shared.contracts.asset import ColumnEvidence, Match

Z_95 = 1.96  # standard normal quantile: we quote the lower end of a 95 % interval
STRENGTHS: Mapping[str, float] = {"certain": 8.5, "strong": 7.0, "medium": 4.2, "weak": 2.4}
_NOTHING, _EVERYTHING = 0.15, 0.75  # lower bounds of the share between which a weight grows from none to all of it
_CHECKSUM_FAILS = 0.5  # fewer valid than this among the checked is chance
_HALF = 0.5
RARE = 0.3  # shares below are rare hits
_SENTENCE = 5.0  # words per value from which text is taken for sentences
_ENOUGH = 10  # values that must have been looked at before silence speaks


class Signal(NamedTuple):
    """One detector's word on one column. `share` is the lower bound of the true share of values that it stands for."""

    detector: str
    class_name: str
    weight: float
    share: float
    hits: int
    strength: str
    rare: bool
    inside: bool
    alone: bool
    text: str


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector stands for. `against`: classes that its hits rule out; `rare`: one hit in a thousand is worth telling;
    `inside`: it looks within longer text and says nothing about the column as a whole; `lenient`: the form still counts where the
    check fails (numbers made up for tests are of no real telephone); `alone`: a weak one counts where the column's name says nothing;
    `enough`: the share of values from which it speaks for all of them (few firms are called with their legal form, and no people);
    `unless`: detectors of what may stand between: where such a list or check finds any, or such a form fits half of the values more than
    this one, it says nothing, unless it fits most of them (people with firms between them are people).
    """

    class_name: str
    strength: str
    against: tuple[str, ...]
    rare: bool
    inside: bool
    lenient: bool
    alone: bool
    enough: float
    unless: tuple[str, ...]

    def share(self, hits: int, sampled: int) -> float:
        """The share of values that so many hits stand for: the lower bound of what was seen."""
        return min(1.0, lower_bound(hits, sampled) * _EVERYTHING / self.enough)


Detections = Mapping[str, Detection]


def detections_from(document: Mapping[str, Any], taxonomy: Taxonomy) -> Detections:
    """The detectors of a `detectors.yaml`. Raises ValueError where one names a class or a strength that does not exist."""
    found = {
        name: Detection(
            class_name=fields.get("class", ""),
            strength=fields["strength"],
            against=tuple(fields.get("against", ())),
            rare=fields.get("rare", False),
            inside=fields.get("inside", False),
            lenient=fields.get("lenient", False),
            alone=fields.get("alone", False),
            enough=fields.get("enough", _EVERYTHING),
            unless=tuple(fields.get("unless", ())),
        )
        for name, fields in document["detectors"].items()
    }
    for name, detection in found.items():
        named = {detection.class_name, *detection.against} - {""}
        if not named <= taxonomy.keys() or detection.strength not in STRENGTHS:
            raise ValueError(f"detector {name}: unknown class or strength")
    return found


@lru_cache(maxsize=65_536)
def lower_bound(hits: int, sampled: int) -> float:
    """Lower Wilson bound of the true share, 0.0 to 1.0; 0.0 when nothing was sampled.

    Ten hits of ten say less than a thousand of a thousand, and a plain ratio would hide that:

    >>> round(lower_bound(10, 10), 2), round(lower_bound(1000, 1000), 3)
    (0.72, 0.996)

    Counts beyond the sample are cut to it. Source: Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    if sampled <= 0:
        return 0.0
    p = min(hits, sampled) / sampled
    z2 = Z_95**2
    centre = p + z2 / (2 * sampled)
    margin = Z_95 * sqrt(p * (1 - p) / sampled + z2 / (4 * sampled**2))
    return max(0.0, (centre - margin) / (1 + z2 / sampled))


def growth(share: float) -> float:
    """How much of a detector's weight a share earns: 0.0 to 1.0, never falling as the share grows."""
    return min(1.0, max(0.0, (share - _NOTHING) / (_EVERYTHING - _NOTHING)))


def signals_of(evidence: ColumnEvidence, detections: Detections) -> tuple[Signal, ...]:
    """What each known detector says, in the order of the evidence. Detectors that we do not know are passed over."""
    return tuple(
        signal
        for match in evidence.matches
        if (detection := detections.get(match.detector))
        and detection.class_name
        and not _is_outdone(match, detection, evidence)
        and (signal := _signal(match, detection, evidence.sampled))
    )


def _signal(match: Match, detection: Detection, sampled: int) -> Signal | None:
    checked = match.checked > 0
    fails = checked and match.valid < min(_CHECKSUM_FAILS, detection.enough) * match.checked
    if fails and not detection.lenient:
        return None
    hits = match.matched if detection.lenient else estimated_hits(match)
    if hits == 0:
        return None
    strength = "medium" if fails else detection.strength
    share = detection.share(hits, sampled)
    text = _told(match, sampled)
    return Signal(
        detector=match.detector,
        class_name=detection.class_name,
        weight=0.0 if detection.inside else STRENGTHS[strength] * growth(share),
        share=share,
        hits=hits,
        strength=strength,
        rare=detection.inside or (detection.rare and hits < RARE * sampled),
        inside=detection.inside,
        alone=detection.alone,
        text=text,
    )


def _is_outdone(match: Match, detection: Detection, evidence: ColumnEvidence) -> bool:
    hits, sampled = estimated_hits(match), evidence.sampled
    if not detection.unless or hits >= _EVERYTHING * sampled:
        return False
    others = [other for other in evidence.matches if other.detector in detection.unless]
    return any(other.valid if other.checked else other.matched - hits >= _HALF * sampled for other in others)


def estimated_hits(match: Match) -> int:
    """Values that pass: where only some of those that fit met the checksum, its share stands for all of them."""
    return match.matched if match.checked == 0 else match.matched * match.valid // match.checked


def _told(match: Match, sampled: int) -> str:
    if not match.checked:
        return f"{match.matched} of {sampled} values have the form of {match.detector}"
    return f"{match.matched} of {sampled} values may be {match.detector} by their form, {match.valid} of the {match.checked} checked are"


def is_text(evidence: ColumnEvidence) -> bool:
    """Are the values sentences, not single entries?"""
    return evidence.free_text or evidence.words >= _SENTENCE


def ruled_out(evidence: ColumnEvidence, detections: Detections) -> dict[str, tuple[str, float]]:
    """Classes that other detectors speak against: class to (detector, share), the largest share each."""
    found: dict[str, tuple[str, float]] = {}
    for match in evidence.matches:
        detection = detections.get(match.detector)
        if detection is None or not detection.against or _is_outdone(match, detection, evidence):
            continue
        share = detection.share(estimated_hits(match), evidence.sampled)
        for name in detection.against:
            if share > found.get(name, ("", 0.0))[1]:
                found[name] = (match.detector, share)
    return found


def objections(entry: DataClass, evidence: ColumnEvidence, supported: bool, *, unique: bool) -> Iterator[tuple[str, str, float]]:
    """What the values say against one class, as (rule, text, weight below zero). `supported`: a detector of the class was heard."""
    sampled = evidence.sampled
    if entry.expects and not supported and sampled >= _ENOUGH:
        yield "evidence:silent", f"none of {sampled} values looks like it", -5.0
    if entry.lengths and evidence.lengths and sampled >= 3:
        low, high = entry.lengths
        if not low <= evidence.lengths.mean <= high:
            yield "lengths", f"values are {evidence.lengths.mean:.0f} characters long on average", -3.0
    if entry.diverse and sampled >= 20 and evidence.distinct:
        if evidence.distinct <= 2:
            yield "distinct", f"only {evidence.distinct} different values among {sampled}", -3.5
        elif evidence.distinct < 0.03 * sampled:
            yield "distinct", f"only {evidence.distinct} different values among {sampled}", -1.0
    elif not entry.diverse and unique and sampled >= 20 and entry.group in {"person", "place", "special"}:
        yield "distinct", "every value is different", -2.0
    yield from _shape_objections(entry, evidence)


_NEVER_DIGITS = frozenset(
    {"first_name", "last_name", "middle_name", "full_name", "city", "card_holder", "gender", "religion", "ethnicity", "nationality"}
)
_ALWAYS_DIGITS = frozenset(
    {"phone", "card_pan", "card_cvv", "iban", "birth_date", "bank_account", "tax_id", "national_id", "card_expiry", "imei"}
)


def _shape_objections(entry: DataClass, evidence: ColumnEvidence) -> Iterator[tuple[str, str, float]]:
    if not evidence.shapes or not (entry.name in _NEVER_DIGITS or entry.name in _ALWAYS_DIGITS):
        return
    told = sum(shape.count for shape in evidence.shapes)
    with_digits = sum(shape.count for shape in evidence.shapes if "9" in shape.pattern)
    if entry.name in _NEVER_DIGITS and with_digits > 0.5 * told:
        yield "shapes", f"{with_digits} of {told} values hold digits", -3.0
    if entry.name in _ALWAYS_DIGITS and with_digits < 0.1 * told:
        yield "shapes", f"{told - with_digits} of {told} values hold no digit", -3.0
