"""What tier 2 makes of the columns that the rules were not sure of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.classifier.domain.features import Features, features_of
from services.classifier.domain.model import Model, Numbers, Table
from services.classifier.domain.name_hints import NameReading
from services.classifier.domain.score import MOST_REASONS, Candidate, Sight, of_things
from services.classifier.domain.taxonomy import Taxonomy
from services.classifier.domain.verdict import Thresholds, organisation_class
from shared.contracts.asset import UNCLASSIFIED, ColumnVerdict, Reason

_HEARD = 0.2  # share of values from which a detector counts
_TEMPERATURE = {"backed": 1.4, "bare": 1.7, "against": 2.9, "nothing": 2.0}  # bench/classifier/README.md
FEWEST = 3  # values that must have been looked at
_LIKELY, _ORGANISATION = 0.3, "organisation"
_SECOND = 0.05  # what is less probable is not told
OPEN = frozenset({"unclassified", "abstained"})


class Bounds(NamedTuple):
    """What holds for the provider of a table: thresholds, and classes that are not looked for."""

    thresholds: Thresholds
    without: frozenset[str]


class Open(NamedTuple):
    """A column that the rules left open: where it stands in its table, what was seen of it, and what the rules said.

    `understood`: the share of its table's names that have a word that we know.
    """

    place: int
    sight: Sight
    reading: NameReading
    found: Sequence[Candidate]
    understood: float

    def features(self) -> Features:
        """What tier 2 is told of it."""
        sight, reading = self.sight, self.reading
        assert sight.column.evidence is not None
        words = {"mute": reading.mute, "unknown": reading.unknown, "silent": reading.silent, "thing": reading.thing}
        seen = features_of(sight.column, sight.column.evidence, sight.family, self.found, sight.tags, words)
        return {**seen, "names understood": self.understood}


def is_open(verdict: ColumnVerdict, sight: Sight, reading: NameReading) -> bool:
    """Were the rules unsure, for want of a name that says anything, and is there evidence to go by?

    A name that is understood and speaks for no class is an answer, unless something else, or a value, speaks for one. A foreign key takes
    the class of what it points to.
    """
    evidence = sight.column.evidence
    if verdict.state not in OPEN or evidence is None or evidence.sampled < FEWEST or sight.column.references:
        return False
    return reading.mute or reading.unknown or bool(verdict.reasons or sight.signals)


def table_of(verdicts: Sequence[ColumnVerdict], opens: Sequence[Open]) -> Table:
    """One table as the model reads it."""
    left = {one.place for one in opens}
    classes = tuple(None if place in left else verdict.class_name for place, verdict in enumerate(verdicts))
    return Table(classes, tuple(one.features() for one in opens))


def evened(rows: Numbers, opens: Sequence[Open], model: Model) -> Numbers:
    """The model's probabilities, by so much less sure as it is surer than right on tables of a kind that it did not learn from."""
    powers = [1.0 / _TEMPERATURE[standing(one, model.labels[best])] for one, best in zip(opens, rows.argmax(axis=1).tolist(), strict=True)]
    shares = rows ** np.array(powers, np.float32)[:, None]
    result: Numbers = shares / shares.sum(axis=1, keepdims=True)
    return result


def standing(one: Open, best: str) -> str:
    """How what the values were found to be stands to the class that the model gives."""
    if best == UNCLASSIFIED:
        return "nothing"
    seen = one.sight.column.evidence
    found = {signal.class_name for signal in one.sight.signals if seen and signal.hits >= _HEARD * seen.sampled}
    return "backed" if best in found else "against" if found else "bare"


def judged_again(verdict: ColumnVerdict, one: Open, row: Numbers, model: Model, taxonomy: Taxonomy, bounds: Bounds) -> ColumnVerdict:
    """The verdict with the model's word: a class where it is sure of it, or that it is a person's and likely this; else one is asked."""
    ordered = sorted(zip(row.tolist(), model.labels, strict=True), reverse=True)
    thresholds = bounds.thresholds
    looked_for = taxonomy.keys() - bounds.without - of_things(one.sight.tags)
    known = [(share, name) for share, name in ordered if name in looked_for and one.sight.family in taxonomy[name].families]
    share, best = known[0] if known else (0.0, UNCLASSIFIED)
    nothing = float(row[model.label_of[UNCLASSIFIED]])
    if best == UNCLASSIFIED or share < _LIKELY:
        return _nothing(verdict, nothing, model, thresholds)
    sure = share >= thresholds.classify or _alike(best, known, taxonomy) >= thresholds.classify
    runner_up = known[1][1] if len(known) > 1 and known[1][0] >= _SECOND else ""
    entry = taxonomy[organisation_class(best, one.sight, taxonomy)]
    update = {"confidence": round(share, 4), "tier": "model", "reasons": _reasons(verdict, share, best, runner_up, model)}
    if not sure:
        return verdict.model_copy(update={**update, "state": "abstained", "runner_up": entry.name})
    given = {"class_name": entry.name, "category": entry.category, "sensitivity": entry.sensitivity, "state": "classified"}
    return verdict.model_copy(update={**update, **given, "runner_up": runner_up})


def _alike(best: str, known: Sequence[tuple[float, str]], taxonomy: Taxonomy) -> float:
    """How likely it is some class of a person, where the best is one; of an organisation, where that is."""
    organisation = taxonomy[best].category == _ORGANISATION
    return sum(share for share, name in known if (taxonomy[name].category == _ORGANISATION) == organisation)


def _nothing(verdict: ColumnVerdict, nothing: float, model: Model, thresholds: Thresholds) -> ColumnVerdict:
    """Not likely enough for a class. What single values were found inside still asks for a person."""
    told = round(1.0 - nothing, 4)
    if verdict.state == "abstained" and (nothing < thresholds.classify or verdict.also):
        return verdict
    reason = Reason(rule=f"model:{model.version}", text=f"the model gives nothing {nothing:.2f}", weight=-round(nothing, 2))
    return verdict.model_copy(
        update={"state": "unclassified", "confidence": told, "tier": "model", "reasons": (reason, *verdict.reasons)[:MOST_REASONS]}
    )


def _reasons(verdict: ColumnVerdict, share: float, best: str, runner_up: str, model: Model) -> tuple[Reason, ...]:
    behind = f", behind it {runner_up}" if runner_up else ""
    told = Reason(rule=f"model:{model.version}", text=f"the model gives {best} {share:.2f}{behind}", weight=round(share, 2))
    return (told, *verdict.reasons)[:MOST_REASONS]
