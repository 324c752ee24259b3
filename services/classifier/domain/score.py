"""Signs for and against each class, added up as log odds. The sum of nothing is `PRIOR`; the logistic curve makes it a confidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import exp
from typing import NamedTuple

from services.classifier.domain.column_types import room_of
from services.classifier.domain.evidence import Signal, growth, is_text, objections
from services.classifier.domain.name_hints import Hint
from services.classifier.domain.taxonomy import DataClass, Taxonomy
from shared.contracts.asset import Column, Reason

# To be raised when a number below or in evidence.py, lexicon.py, name_hints.py or second.py changes: verdicts are judged again.
WEIGHTS_VERSION = "9"
PRIOR = -4.5
_HIGHEST = 5.0
_LONELY = -3.2  # a place name far from any person or address
_SURROGATE = -3.0
_BARRED = -6.0
_TYPES: Mapping[str, tuple[str, float]] = {"inet": ("ip_address", 6.5), "macaddr": ("mac_address", 6.5), "geo": ("coordinates", 2.0)}
TELLING: frozenset[str] = frozenset(_TYPES)  # types that say something by themselves
_COMPANIONS = frozenset({"person", "organisation", "contact", "name", "address", "online"})
_PEOPLES = frozenset({"person", "name", "contact", "government", "bank", "card", "address"})
_NO_PERSON = -6.0  # an animal has a birth date and a weight, a machine a temperature and a pulse
_OF_BODIES = frozenset(
    {
        "national_id",
        "passport",
        "first_name",
        "birth_date",
        "death_date",
        "age",
        "gender",
        "ethnicity",
        "photo",
        "observation",
        "diagnosis",
        "medication",
        "medical_procedure",
    }
)
_OF_MACHINES = frozenset({"observation", "diagnosis", "device_id", "age"})
_OF_CODES = frozenset(
    {
        "last_name",
        "salutation",
        "recording",
        "age",
        "gender",
        "ethnicity",
        "religion",
        "disability",
        "marital_status",
        "occupation",
        "education_record",
        "criminal_record",
        "photo",
        "observation",
        "diagnosis",
        "medication",
        "medical_procedure",
        "free_text",
    }
)
_OF_THINGS: Mapping[str, frozenset[str]] = {  # what each kind of thing has, too, though it is no person
    "animal": _OF_BODIES,
    "goods": frozenset(
        {"occupation", "last_name", "salutation", "age", "gender", "ethnicity", "photo", "recording", "observation", "diagnosis"}
    ),
    "software": frozenset(
        {"occupation", "age", "gender", "photo", "recording", "signature", "biometric", "diagnosis", "observation", "medical_procedure"}
    ),
    "fault": frozenset({"observation", "diagnosis", "medical_procedure", "photo"}),
    "ledger": frozenset({"balance", "income"}),
    "prepared": frozenset({"free_text", "salutation"}),
    "vacancy": frozenset({"occupation", "income", "education_record", "age"}),
    "site": frozenset({"coordinates", "age", "observation", "photo"}),
    "reference": _OF_CODES,
}
MOST_REASONS = 6
FREE_TEXT = "free_text"
_FOUND_INSIDE = 6.0
_SHORTEST_ROOM = 5  # characters without which a column holds a code, not a name, street or telephone number
_ROOMY = frozenset(
    {"first_name", "last_name", "full_name", "email", "phone", "street", "postal_address", "company_name", "session_id", "device_id"}
)
_DATED, _SHORTEST_DATE = frozenset({"birth_date", "death_date"}), 2  # one character says whether, not when
_PLACELESS = frozenset({"goods", "software", "ledger"})
_WHERE = frozenset({"street", "postal_address", "company_address"})
_ALONE, _IN_COMPANY = 1.9, 2.4  # factors of a weak detector's weight where the name says nothing at all: a person is asked, or it is enough


class Sign(NamedTuple):
    """One thing said for (above zero) or against a class, in log odds."""

    rule: str
    text: str
    weight: float


NOTHING: Mapping[str, Iterable[Sign]] = {}


class Candidate(NamedTuple):
    """One class with everything said for and against it. `score` is in log odds."""

    class_name: str
    score: float
    signs: tuple[Sign, ...]

    @property
    def confidence(self) -> float:
        return confidence(self.score)

    def reasons(self, most: int = MOST_REASONS) -> tuple[Reason, ...]:
        """The weightiest signs, as the event tells them."""
        ordered = sorted(self.signs, key=lambda sign: (-abs(sign.weight), sign.rule))
        return tuple(Reason(rule=sign.rule, text=sign.text, weight=round(sign.weight, 2)) for sign in ordered[:most])


class Sight(NamedTuple):
    """Everything known about one column, read once: what its name and comment say here, what its values say, what surrounds it."""

    column: Column
    family: str
    hints: tuple[Hint, ...]
    comments: tuple[Hint, ...]
    signals: tuple[Signal, ...]
    excluded: Mapping[str, tuple[str, float]]
    tags: frozenset[str]
    barred: frozenset[str]
    mute: bool = False  # the name says nothing at all

    @property
    def seen(self) -> bool:
        return self.column.evidence is not None and self.column.evidence.sampled > 0


def confidence(score: float) -> float:
    """The probability that log odds of `score` stand for, capped: rules are never sure.

    >>> confidence(0.0), confidence(100.0) < 1.0
    (0.5, True)
    """
    return round(1.0 / (1.0 + exp(-max(-_HIGHEST, min(_HIGHEST, score)))), 4)


def candidates(sight: Sight, taxonomy: Taxonomy, said: Mapping[str, Iterable[Sign]] = NOTHING) -> list[Candidate]:
    """Every class that anything speaks for, best first; equal ones by name. `said`: what speaks for classes besides."""
    found: dict[str, list[Sign]] = {name: list(signs) for name, signs in said.items()}
    _from_names(sight, taxonomy, found)
    _from_values(sight, taxonomy, found)
    judged = [_candidate(name, signs, sight, taxonomy[name]) for name, signs in found.items()]
    return sorted(judged, key=lambda candidate: (-candidate.score, candidate.class_name))


def _from_names(sight: Sight, taxonomy: Taxonomy, found: dict[str, list[Sign]]) -> None:
    for hint in sight.hints:
        if sight.family in taxonomy[hint.class_name].families:
            found.setdefault(hint.class_name, []).extend(named(hint, "name", 1.0))
    for hint in sight.comments:
        if sight.family in taxonomy[hint.class_name].families:
            share = 0.3 if hint.class_name in found else 1.0  # a comment that repeats the name adds little
            found.setdefault(hint.class_name, []).extend(named(hint, "comment", share))


def named(hint: Hint, rule: str, share: float) -> Iterable[Sign]:
    """What a hint speaks for, and what other words take from it."""
    said = hint.phrase.text.replace("@", "beside ")
    yield Sign(f"{rule}:{hint.class_name}", f"the {rule} says: {said}", hint.weight * share)
    if hint.against:
        yield Sign(f"{rule}:leftover", f"other words of the {rule} speak against it", -hint.against * share)


def _from_values(sight: Sight, taxonomy: Taxonomy, found: dict[str, list[Sign]]) -> None:
    typed = _TYPES.get(sight.family)
    if typed:
        found.setdefault(typed[0], []).append(Sign(f"type:{sight.family}", f"the column's type is {sight.family}", typed[1]))
    best: dict[str, Signal] = {}
    for signal in sight.signals:
        known = best.get(signal.class_name)
        if known is None or signal.weight > known.weight:
            best[signal.class_name] = signal
    for name, signal in best.items():
        lonely = signal.strength == "weak" and name not in found
        if sight.family not in taxonomy[name].families or (lonely and not (sight.mute and signal.alone)) or signal.weight == 0:
            continue
        factor = 1.0 if not lonely else _IN_COMPANY if sight.tags & _PEOPLES else _ALONE
        found.setdefault(name, []).append(Sign(f"evidence:{signal.detector}", signal.text, signal.weight * factor))
    _from_text(sight, found)


def _from_text(sight: Sight, found: dict[str, list[Sign]]) -> None:
    """Longer text is judged by what is inside it."""
    evidence = sight.column.evidence
    if evidence is None or not evidence.sampled or sight.family not in ("text", "json"):
        return
    inside = sorted({signal.class_name for signal in sight.signals if signal.rare and signal.strength != "weak"})
    addressed = any(hint.class_name in _WHERE for hint in sight.hints)  # a street is often called after a person
    if is_text(evidence) and inside and not addressed:
        found.setdefault(FREE_TEXT, []).append(Sign("evidence:inside", f"its text holds {', '.join(inside[:4])}", _FOUND_INSIDE))
    elif FREE_TEXT in found and not is_text(evidence):
        found[FREE_TEXT].append(Sign("evidence:short", "its values are no sentences", -3.0))
    elif FREE_TEXT in found and evidence.sampled >= 20:
        found[FREE_TEXT].append(Sign("evidence:inside", "nothing personal was found inside its text", -1.0))


def _candidate(name: str, signs: list[Sign], sight: Sight, entry: DataClass) -> Candidate:
    signs = [*signs, *_against(entry, sight)]
    score = PRIOR + sum(sign.weight for sign in signs)
    if not sight.seen:
        signs.append(Sign("evidence:none", "no values were looked at", 0.0))
    return Candidate(name, score, tuple(signs))


def _against(entry: DataClass, sight: Sight) -> Iterable[Sign]:
    column = sight.column
    if entry.name in sight.barred:
        yield Sign("name:barred", "the name speaks of something else", _BARRED)
    room = room_of(column.type)
    if room is not None and room < _least_room(entry):
        yield Sign("type:short", f"its type has room for {room} characters", _BARRED)
    surrogate = sight.family in ("integer", "uuid") and (column.primary_key or bool(column.references))
    if surrogate:
        yield Sign("key:surrogate", "the column is a key without meaning", _SURROGATE)
    if entry.name == "device_id" and sight.family == "integer" and not surrogate:
        yield Sign("key:surrogate", "a whole number is the key of a device, not its own", _SURROGATE)
    if entry.name in of_things(sight.tags):
        yield Sign("context:no_person", "the table is about animals, machines or things", _NO_PERSON)
    if entry.group == "place" and ("table:lookup" in sight.tags or not sight.tags & _COMPANIONS or _stands_anywhere(sight.tags)):
        yield Sign("context:alone", "no person and no address stands beside it", _LONELY)
    if column.evidence is None or not column.evidence.sampled or "encrypted" in sight.tags:  # what is encrypted looks like anything
        return
    supported = any(signal.class_name == entry.name and signal.share > 0.05 for signal in sight.signals)
    for rule, text, weight in objections(entry, column.evidence, supported, unique=column.unique or column.primary_key):
        yield Sign(rule, text, weight)
    sure = any(signal.class_name == entry.name and signal.strength != "weak" for signal in sight.signals)
    if entry.name in sight.excluded and not sure:
        detector, share = sight.excluded[entry.name]
        if growth(share):
            yield Sign(f"evidence:{detector}", f"values look like {detector}", -6.0 * growth(share))


def _stands_anywhere(tags: frozenset[str]) -> bool:
    """Is the table about things that have no address? Where they are sold or run is nobody's place."""
    return "address" not in tags and bool(tags & _PLACELESS or ("apparatus" in tags and "person" not in tags))


@lru_cache(maxsize=4096)
def of_things(tags: frozenset[str]) -> frozenset[str]:
    """The classes that are a thing's, in a table about such things, where no person is named beside it."""
    if "own:person" in tags:
        return frozenset()
    of_machines = _OF_MACHINES if "apparatus" in tags and "being" not in tags else frozenset[str]()
    return of_machines.union(*(classes for kind, classes in _OF_THINGS.items() if kind in tags))


def _least_room(entry: DataClass) -> float:
    """Characters that a column must have room for; none where a code of the same is as good."""
    if entry.name in _DATED:
        return _SHORTEST_DATE
    if entry.name in _ROOMY:
        return max(_SHORTEST_ROOM, entry.lengths[0] if entry.lengths else 0.0)
    return entry.lengths[0] if entry.lengths and entry.diverse else 0.0
