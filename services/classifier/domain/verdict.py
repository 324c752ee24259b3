"""Candidates in, one verdict out. Pure: no clock, no network, no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.classifier.domain.promised import Promise
from services.classifier.domain.score import MOST_REASONS, Candidate, Sight
from services.classifier.domain.taxonomy import RANK, DataClass, Taxonomy
from shared.contracts.asset import UNCLASSIFIED, Column, ColumnVerdict, Reason

State = Literal["classified", "unclassified", "abstained", "confirmed", "rejected", "inherited"]
_TIE = 0.4  # log odds; closer than this, two classes of different categories tie
_WORTH_NAMING = 0.2
UNTOLD = 0.04  # how likely a column holds something though nothing tells so: on schemas that the rules were not made for, one in 25 does
_STAYS_PERSONAL = frozenset({"email", "full_name"})  # a supplier's e-mail is mostly a person's
_MOST_ALSO = 5
_OF_PEOPLE = frozenset({"first_name", "last_name"})  # beside them a place is a person's, though the schema is of a museum or an airport


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From `classify` on a label is given, from `abstain` on a person is asked, below nothing is said. Both 0.0 to 1.0."""

    classify: float = 0.7
    abstain: float = 0.45

    @classmethod
    def by(cls, told: Mapping[str, float], otherwise: Thresholds) -> Thresholds:
        """Those that are told, for the rest the others; one never asks from above where it labels."""
        classify = told.get("classify", otherwise.classify)
        return cls(classify, min(told.get("abstain", otherwise.abstain), classify))


def decide(sight: Sight, found: Sequence[Candidate], taxonomy: Taxonomy, thresholds: Thresholds) -> ColumnVerdict:
    """The verdict on one column, from its candidates, best first."""
    inside = _inside(sight, taxonomy)
    if not found:
        return _nothing(sight.column, inside, taxonomy)
    best, rest = found[0], found[1:]
    chosen = organisation_class(best.class_name, sight, taxonomy)
    state = _state(best, rest, taxonomy, thresholds)
    also = _also(best, rest, inside, thresholds) if state == "classified" else inside
    if state == "classified":
        return _labelled(sight.column, taxonomy[chosen], best, rest, also, chosen != best.class_name)
    return _withheld(sight.column, state, best, chosen, inside, taxonomy)


def _state(best: Candidate, rest: Sequence[Candidate], taxonomy: Taxonomy, thresholds: Thresholds) -> State:
    if best.confidence < thresholds.abstain:
        return "unclassified"
    if best.confidence < thresholds.classify or _is_tie(best, rest, taxonomy):
        return "abstained"
    return "classified"


def _is_tie(best: Candidate, rest: Sequence[Candidate], taxonomy: Taxonomy) -> bool:
    if not rest or best.score - rest[0].score >= _TIE:
        return False
    one, other = taxonomy[best.class_name], taxonomy[rest[0].class_name]
    return one.category != other.category and one.name != other.organisation and other.name != one.organisation


def _also(best: Candidate, rest: Sequence[Candidate], inside: tuple[str, ...], thresholds: Thresholds) -> tuple[str, ...]:
    further = [candidate.class_name for candidate in rest if candidate.confidence >= thresholds.classify]
    names = dict.fromkeys((*inside, *further))
    return tuple(name for name in names if name != best.class_name)[:_MOST_ALSO]


def _inside(sight: Sight, taxonomy: Taxonomy) -> tuple[str, ...]:
    """Classes of which single values were found: unmistakable ones, in text, however rare; the gravest first."""
    if sight.family not in ("text", "json"):
        return ()
    rare = {signal.class_name for signal in sight.signals if signal.rare}
    return tuple(sorted(rare, key=lambda name: (-RANK[taxonomy[name].sensitivity], name)))[:_MOST_ALSO]


def _labelled(
    column: Column, entry: DataClass, best: Candidate, rest: Sequence[Candidate], also: tuple[str, ...], shifted: bool
) -> ColumnVerdict:
    reasons = best.reasons()
    if shifted:
        told = Reason(rule="context:organisation", text=f"it is an organisation's, not a person's {best.class_name}", weight=0.0)
        reasons = (told, *reasons)
    return ColumnVerdict(
        name=column.name,
        type=column.type,
        class_name=entry.name,
        category=entry.category,
        sensitivity=entry.sensitivity,
        confidence=best.confidence,
        tier="rules",
        state="classified",
        reasons=reasons[:MOST_REASONS],
        also=also,
        runner_up=rest[0].class_name if rest and rest[0].confidence >= _WORTH_NAMING else "",
        before="",
    )


def _withheld(column: Column, state: State, best: Candidate, chosen: str, inside: tuple[str, ...], taxonomy: Taxonomy) -> ColumnVerdict:
    if state == "unclassified" and inside:
        return _nothing(column, inside, taxonomy)
    worth = best.confidence >= _WORTH_NAMING
    return ColumnVerdict(
        name=column.name,
        type=column.type,
        class_name=UNCLASSIFIED,
        category="",
        sensitivity="internal",
        confidence=best.confidence if worth else UNTOLD,
        tier="rules" if worth else "none",
        state=state,
        reasons=best.reasons() if worth else (),
        also=inside,
        runner_up=chosen if worth else "",
        before="",
    )


def _nothing(column: Column, inside: tuple[str, ...], taxonomy: Taxonomy) -> ColumnVerdict:
    """Nothing speaks for a class of the whole column; single values of grave classes are for a person to look at."""
    grave = bool(inside) and RANK[taxonomy[inside[0]].sensitivity] >= RANK["restricted"]
    told = tuple(Reason(rule=f"present-rare:{name}", text=f"a few values are {name}", weight=0.5) for name in inside)
    return ColumnVerdict(
        name=column.name,
        type=column.type,
        class_name=UNCLASSIFIED,
        category="",
        sensitivity="internal",
        confidence=UNTOLD,
        tier="rules" if inside else "none",
        state="abstained" if grave else "unclassified",
        reasons=told,
        also=inside,
        runner_up=inside[0] if inside else "",
        before="",
    )


def doubted(verdict: ColumnVerdict, promise: Promise, found: Sequence[Candidate]) -> ColumnVerdict:
    """Where a contract's claim came to nothing, what speaks against it is told; one that the column is to be guarded has a person asked."""
    if verdict.state != "unclassified":
        return verdict
    reasons = verdict.reasons or (found[0].reasons() if found else ())
    if not promise.grave:
        return verdict.model_copy(update={"reasons": reasons})
    text = f"the contract {promise.contract} says {promise.grave}, and nothing tells what it is"
    told = Reason(rule="contract:guarded", text=text, weight=0.0)
    return verdict.model_copy(update={"state": "abstained", "tier": "rules", "reasons": (told, *reasons)[:MOST_REASONS]})


def organisation_class(name: str, sight: Sight, taxonomy: Taxonomy) -> str:
    """The class itself, or its organisation's counterpart where column or table speak of an organisation and of no person."""
    other = taxonomy[name].organisation
    if not other:
        return name
    if "own:person" in sight.tags:
        return name
    if "own:organisation" in sight.tags:
        return other
    placed = taxonomy[name].group in ("place", "address") or name == "phone"
    of_table = "table:organisation" in sight.tags and name not in _STAYS_PERSONAL
    if placed and "site" in sight.tags and not ("open" in sight.tags and sight.tags & _OF_PEOPLE):
        return other
    return other if of_table and (placed or "person" not in sight.tags) else name
