"""A person's word on a column: it holds over the rules, a rejection until the evidence is another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from services.classifier.domain.column_types import family_of
from services.classifier.domain.evidence import lower_bound
from services.classifier.domain.lexicon import split
from services.classifier.domain.meaning import text_of
from services.classifier.domain.rulesets import Ruleset
from shared.contracts.asset import UNCLASSIFIED, ClassificationReviewed, Column, ColumnVerdict, Reason

Likes = Mapping[str, str]
"""Digests of reviewed columns to what people said of them, where they all said the same; and their names as `words_of` has them."""
_OF_ITS_LIKE, _SURE = 0.95, 9.0
DECISIONS = ("confirm", "reject", "relabel")
_GRADES = (0.02, 0.3, 0.7)  # lower bounds of shares between which evidence counts as another


@dataclass(frozen=True, slots=True)
class Review:
    """What a person decided on one column, the class that was meant, and the evidence that was there at that time.

    `words`, `alike` and `meaning`: its name as one word, what makes another column its like, and what the words of its name mean.
    """

    column: str
    decision: str
    class_name: str
    reviewer: str
    evidence: str
    words: str = ""
    alike: str = ""
    meaning: str = ""


def words_of(name: str) -> str:
    """A column's name in any style, as one word: columns of one name may be alike.

    >>> words_of("TEL_PRIVAT") == words_of("telPrivat")
    True
    """
    return "".join(split(name))


def alike_digest(column: Column, verdict: ColumnVerdict, about: frozenset[str]) -> str:
    """What makes two columns alike: name, family of types, evidence, what was said of both, and what their tables are `about`."""
    told = (words_of(column.name), family_of(column.type), _counted(column), verdict.class_name, verdict.runner_up, verdict.state)
    return sha256("\x1f".join((*told, *sorted(about))).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def evidence_digest(column: Column) -> str:
    """What a rejection rests on: type and, per detector, the rough share of hits. Another sample of the same data keeps it."""
    return sha256(f"{column.type}|{_counted(column)}".encode()).hexdigest()[:16]


def _counted(column: Column) -> str:
    evidence = column.evidence
    matches = [] if evidence is None else sorted((m.detector, _grade(m.matched, evidence.sampled)) for m in evidence.matches)
    return "|".join(f"{detector}={grade}" for detector, grade in matches if grade)


def _grade(hits: int, sampled: int) -> int:
    share = lower_bound(hits, sampled)
    return sum(share >= limit for limit in _GRADES)


def review_from(
    request: ClassificationReviewed, column: Column, verdict: ColumnVerdict, ruleset: Ruleset, about: frozenset[str]
) -> Review | str:
    """The review that a request makes, or one line that says why it cannot be taken. `verdict`: without any review.

    Confirming what the rules were unsure of confirms their best guess; confirming with another class is a relabel.
    """
    if request.decision not in DECISIONS:
        return f"a decision is one of {', '.join(DECISIONS)}"
    if not ruleset.knows(request.class_name):
        return f"class {request.class_name} is not in the taxonomy"
    named = "" if request.class_name == UNCLASSIFIED else request.class_name
    if request.decision == "relabel" and not named:
        return "a relabel names a class; to say that there is none, reject"
    class_name = UNCLASSIFIED if request.decision == "reject" else named or _guess(verdict)
    if request.decision == "confirm" and class_name == UNCLASSIFIED:
        return "there is no class to confirm; relabel names one"
    alike = alike_digest(column, verdict, about)
    meaning = text_of(column.name, ruleset.lexicon)
    words = words_of(column.name)
    return Review(column.name, request.decision, class_name, request.reviewer, evidence_digest(column), words, alike, meaning)


def _guess(verdict: ColumnVerdict) -> str:
    return verdict.class_name if verdict.class_name != UNCLASSIFIED else verdict.runner_up or UNCLASSIFIED


def apply_reviews(
    columns: Sequence[Column], verdicts: Sequence[ColumnVerdict], reviews: Mapping[str, Review], ruleset: Ruleset
) -> tuple[ColumnVerdict, ...]:
    """The verdicts with every review that still holds put over what the rules said."""
    if not reviews:
        return tuple(verdicts)
    return tuple(
        _reviewed(column, verdict, review, ruleset) if (review := reviews.get(column.name)) else verdict
        for column, verdict in zip(columns, verdicts, strict=True)
    )


def _reviewed(column: Column, verdict: ColumnVerdict, review: Review, ruleset: Ruleset) -> ColumnVerdict:
    if review.class_name == UNCLASSIFIED:
        return _rejected(verdict, ruleset) if review.evidence == evidence_digest(column) else verdict
    if review.class_name not in ruleset.taxonomy:  # a later rule set does not know the class any more: the rules speak again
        return verdict
    reason = Reason(rule="review", text=f"a person said: {review.class_name}", weight=_SURE)
    return _by_person(verdict, review.class_name, ruleset, "confirmed", reason)


def _rejected(verdict: ColumnVerdict, ruleset: Ruleset) -> ColumnVerdict:
    reason = Reason(rule="review", text="a person said: it is not", weight=-_SURE)
    return _by_person(verdict, UNCLASSIFIED, ruleset, "rejected", reason).model_copy(update={"also": ()})


def _by_person(
    verdict: ColumnVerdict, class_name: str, ruleset: Ruleset, state: str, reason: Reason, confidence: float = 1.0
) -> ColumnVerdict:
    """What a person said of a column, or of one like it, in place of what the rules said."""
    entry = ruleset.taxonomy.get(class_name)
    return verdict.model_copy(
        update={
            "class_name": class_name,
            "category": entry.category if entry else "",
            "sensitivity": entry.sensitivity if entry else "internal",
            "confidence": confidence,
            "tier": "person",
            "state": state,
            "reasons": (reason, *verdict.reasons[:5]),
            "runner_up": "",
        }
    )


def apply_likes(
    columns: Sequence[Column],
    verdicts: Sequence[ColumnVerdict],
    reviewed: Collection[str],
    likes: Likes,
    ruleset: Ruleset,
    about: frozenset[str],
) -> tuple[ColumnVerdict, ...]:
    """The verdicts with what people said of columns like these; their own review (`reviewed`: names) goes before."""
    if not likes:
        return tuple(verdicts)
    return tuple(
        _as_alike(column, verdict, likes, ruleset, about) if column.name not in reviewed else verdict
        for column, verdict in zip(columns, verdicts, strict=True)
    )


def _as_alike(column: Column, verdict: ColumnVerdict, likes: Likes, ruleset: Ruleset, about: frozenset[str]) -> ColumnVerdict:
    class_name = likes.get(alike_digest(column, verdict, about)) if words_of(column.name) in likes else None
    if class_name is None or not ruleset.knows(class_name):
        return verdict
    none = class_name == UNCLASSIFIED
    text = f"a person said of a column like it: {'it is not' if none else class_name}"
    reason = Reason(rule="review:alike", text=text, weight=-_SURE if none else _SURE)
    return _by_person(verdict, class_name, ruleset, "unclassified" if none else "classified", reason, _OF_ITS_LIKE)


def with_before(verdicts: Sequence[ColumnVerdict], before: Mapping[str, str]) -> tuple[ColumnVerdict, ...]:
    """Each verdict with the class that the previous one gave, where there was one."""
    if not before:
        return tuple(verdicts)
    return tuple(verdict.model_copy(update={"before": before[verdict.name]}) if verdict.name in before else verdict for verdict in verdicts)
