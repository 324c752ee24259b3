"""Tier 3: what the words of a name come close to, where rules and model left a column open: what people confirmed, or what a class means.

It sees words of names alone, never values. The vectors come from elsewhere; here it is decided what their nearness is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.classifier.domain.lexicon import Lexicon
from services.classifier.domain.name_hints import NameReading
from services.classifier.domain.score import Candidate, Sight, Sign, candidates
from services.classifier.domain.second import OPEN, Bounds
from services.classifier.domain.taxonomy import Taxonomy
from services.classifier.domain.verdict import decide
from shared.contracts.asset import UNCLASSIFIED, ColumnVerdict

MEANING_VERSION = "1"  # raise it when a number below changes: verdicts are judged again
_CONFIRMED, _AGREED = 0.8, 0.05  # cosine: this near to what a person confirmed; others so close behind must say the same
_DESCRIBED, _APART = 0.65, 0.1  # this near to what a class is called, and so much nearer than to any other
_OF_A_PERSON, _OF_A_CLASS = 6.2, 5.8  # log odds, as of a name that says it
_WORTH = 0.05  # confidence from which what the rules saw is worth another look


class Near(NamedTuple):
    """Something that a text comes close to. `nearness`: cosine, up to 1.0; `confirmed`: by a person, else by description."""

    class_name: str
    nearness: float
    confirmed: bool


class Asked(NamedTuple):
    """A column that may be looked at a third time: where it stands in its table, the words of its name, what was seen of it."""

    place: int
    text: str
    sight: Sight


Meanings = Mapping[str, Sequence[Near]]
"""Texts to what they come close to, the nearest first; texts that nobody has read yet are not in it."""
Descriptions = tuple[tuple[str, str], ...]
"""Classes, the one for none among them, each with what it is called in other words."""


def descriptions_from(document: Mapping[str, Any], taxonomy: Taxonomy) -> Descriptions:
    """Those of a `meanings.yaml`; of classes that the taxonomy does not have, none."""
    return tuple((name, text) for name, texts in document.items() if name in taxonomy or name == UNCLASSIFIED for text in texts)


def text_of(name: str, lexicon: Lexicon) -> str:
    """The words of a name in any style and language, as far as they are known by what they mean; `""` where it has none."""
    return " ".join(dict.fromkeys(lexicon.meant(name)))


def is_asked(verdict: ColumnVerdict, reading: NameReading, sight: Sight) -> bool:
    """Is the column open, and has its name words that are unknown or that were not enough? Keys have no meaning of their own."""
    column = sight.column
    if verdict.state not in OPEN or reading.mute or column.references or column.primary_key:
        return False
    return reading.unknown or verdict.state == "abstained" or verdict.confidence >= _WORTH


def meant_again(verdict: ColumnVerdict, one: Asked, near: Sequence[Near], taxonomy: Taxonomy, bounds: Bounds) -> ColumnVerdict:
    """The verdict with the word of what its name comes close to; the one before where that is nothing, or values speak against it."""
    found = sign_of(near)
    if found is None or found[0] not in taxonomy.keys() - bounds.without or one.sight.family not in taxonomy[found[0]].families:
        return verdict
    name, sign = found
    every = candidates(one.sight._replace(hints=(), comments=()), taxonomy, {name: [sign]})
    now = decide(one.sight, [one for one in every if one.class_name not in bounds.without], taxonomy, bounds.thresholds)
    if now.state == "unclassified" or not _leads(name, every):
        return verdict
    return now.model_copy(update={"tier": "transformer"})


def _leads(name: str, every: Sequence[Candidate]) -> bool:
    return bool(every) and every[0].class_name == name


def sign_of(near: Sequence[Near]) -> tuple[str, Sign] | None:
    """The class that a name comes close to, and what that is worth. People are heard first, also where they said that it is nothing."""
    confirmed = [one for one in near if one.confirmed and one.nearness >= _CONFIRMED]
    if confirmed:
        best = max(confirmed, key=lambda one: one.nearness)
        others = {one.class_name for one in confirmed if best.nearness - one.nearness < _AGREED}
        told = f"a person said so of a column whose name means nearly the same: {best.nearness:.2f}"
        return (best.class_name, Sign("meaning:confirmed", told, _OF_A_PERSON)) if len(others) == 1 else None
    described = sorted((one for one in near if not one.confirmed), key=lambda one: -one.nearness)
    if not described or described[0].nearness < _DESCRIBED:
        return None
    best = described[0]
    behind = next((one.nearness for one in described if one.class_name != best.class_name), 0.0)
    told = f"its name means nearly what {best.class_name} does: {best.nearness:.2f}, what is next {behind:.2f}"
    return (best.class_name, Sign("meaning:described", told, _OF_A_CLASS)) if best.nearness - behind >= _APART else None
