"""Rules proposed from what people decided: words that only their columns have, with what such a rule would say besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from services.classifier.domain.lexicon import Lexicon, split
from services.classifier.domain.rulefile import RuleFile, changes
from services.classifier.domain.tables import Judge
from shared.contracts.asset import SchemaDiscovered

MOST = 20
_SHORTEST = 3
Place = tuple[str, str]  # asset, column
NAME = "suggested"


class Suggestion(NamedTuple):
    """A word that stands for a class. `confirmed`: columns that people gave the class; `besides`: others that the rule would give it,
    each a false positive until somebody looks."""

    class_name: str
    word: str
    confirmed: tuple[Place, ...]
    besides: tuple[Place, ...]


def suggestions(
    judge: Judge, decided: Mapping[Place, str], tables: Sequence[SchemaDiscovered], with_rules: Callable[[RuleFile], Judge]
) -> list[Suggestion]:
    """At most `MOST`, those that most decided columns support first. `decided`: columns to the classes that people gave them."""
    found: dict[tuple[str, str], list[Place]] = {}
    for place, class_name in sorted(decided.items()):
        for word in new_words(place[1], judge.ruleset.lexicon):
            found.setdefault((class_name, word), []).append(place)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST]
    return [
        Suggestion(name, word, tuple(places), tuple(_besides(judge, with_rules(rule_of(name, word)), tables, name, decided)))
        for (name, word), places in ordered
    ]


def _besides(old: Judge, new: Judge, tables: Sequence[SchemaDiscovered], class_name: str, decided: Mapping[Place, str]) -> Iterator[Place]:
    for change in changes(old, new, tables):
        place = (change.asset, change.column)
        if change.after == class_name and decided.get(place) != class_name:
            yield place


def rule_of(class_name: str, *words: str) -> RuleFile:
    """The rule set that says: these words mean this class."""
    return RuleFile(name=NAME, version="1", words={word: [word] for word in words}, names={class_name: {"strong": list(words)}})


def new_words(name: str, lexicon: Lexicon) -> list[str]:
    """The words of a name that the rules do not know."""
    known = lexicon.words
    return [w for w in dict.fromkeys(split(name)) if len(w) >= _SHORTEST and w not in known and lexicon.segment(w) == (w,)]
