"""A rule set: taxonomy, lexicon, phrases and detectors, frozen, with a version and a digest of everything that decides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from hashlib import sha256
from json import dumps
from typing import Any, NamedTuple

from services.classifier.domain import score
from services.classifier.domain.evidence import Detections, detections_from
from services.classifier.domain.lexicon import Lexicon, lexicon_from
from services.classifier.domain.name_hints import PhraseBook, phrases_from
from services.classifier.domain.taxonomy import Combination, Elsewhere, Taxonomy, combinations_from, names_from, taxonomy_from
from shared.contracts.asset import UNCLASSIFIED
from shared.contracts.rules import RulesetPublished, ValuePattern
from shared.evidence.own import patterns_of

PACKS = ("taxonomy", "lexicon", "names", "detectors")
NAME = "pursight"


class ColumnLists(NamedTuple):
    """Columns that a person decided once: those that hold nothing, and those that hold a class, by `schema.table.column`."""

    allow: tuple[re.Pattern[str], ...] = ()
    deny: tuple[tuple[re.Pattern[str], str], ...] = ()

    def says(self, column: str) -> str | None:
        """The class of a column, the one for none, or None where no list has it. What is denied wins."""
        for pattern, name in self.deny:
            if pattern.match(column):
                return name
        return UNCLASSIFIED if any(pattern.match(column) for pattern in self.allow) else None


class Limits(NamedTuple):
    """What holds for sources of one provider only: thresholds, and classes that are not looked for."""

    thresholds: Mapping[str, float]
    without: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What tier 1 knows. `digest` changes with any rule, word or weight."""

    name: str
    version: str
    digest: str
    taxonomy: Taxonomy
    lexicon: Lexicon
    book: PhraseBook
    detections: Detections
    combinations: tuple[Combination, ...]
    elsewhere: Elsewhere
    lists: ColumnLists
    thresholds: Mapping[str, float]
    providers: Mapping[str, Limits]
    patterns: tuple[ValuePattern, ...]
    speaking: frozenset[str]  # detectors that stand for a class
    telling: frozenset[str]  # those of them whose hits count without a name beside them

    @property
    def label(self) -> str:
        """How an event names the rules that judged."""
        return f"{self.name}@{self.version}"

    def published(self) -> RulesetPublished:
        """The event that says these rules are in force."""
        rules = self.book.size + len(self.detections)
        classes = tuple(sorted(self.taxonomy))
        return RulesetPublished(
            name=self.name, version=self.version, digest=self.digest, rules=rules, classes=classes, patterns=self.patterns
        )

    def names_of(self, class_name: str) -> dict[str, str]:
        """What other systems call a class: system to its usual name there."""
        return {system: classes[class_name][0] for system, classes in self.elsewhere.items() if class_name in classes}

    def knows(self, class_name: str) -> bool:
        """Is this a class, or the word for none?"""
        return class_name == UNCLASSIFIED or class_name in self.taxonomy


def ruleset_from(documents: Mapping[str, Any], *, name: str = NAME) -> Ruleset:
    """The rule set that these parsed packs (by the names of `PACKS`) make. Raises ValueError where they do not fit together."""
    taxonomy = taxonomy_from(documents["taxonomy"])
    book = phrases_from(documents["names"])
    lexicon = lexicon_from(documents["lexicon"])
    _check(documents["names"], taxonomy)
    detections = detections_from(documents["detectors"], taxonomy)
    digest = sha256(dumps([documents[pack] for pack in PACKS], sort_keys=True).encode() + score.WEIGHTS_VERSION.encode()).hexdigest()
    return Ruleset(
        name=name,
        version=f"{documents['names']['version']}+{digest[:8]}",
        digest=digest,
        taxonomy=taxonomy,
        lexicon=lexicon,
        book=book,
        detections=detections,
        combinations=combinations_from(documents["taxonomy"], taxonomy),
        elsewhere=names_from(documents["taxonomy"], taxonomy),
        lists=_lists(documents["taxonomy"].get("columns", {}), taxonomy),
        thresholds=documents["taxonomy"].get("thresholds", {}),
        patterns=_patterns(documents["taxonomy"].get("patterns", {})),
        providers=_providers(documents["taxonomy"].get("providers", {}), taxonomy),
        speaking=frozenset(name for name, entry in detections.items() if entry.class_name),
        telling=frozenset(name for name, entry in detections.items() if entry.strength != "weak" and entry.class_name),
    )


def _lists(document: Mapping[str, Any], taxonomy: Taxonomy) -> ColumnLists:
    allow, deny = document.get("allow", ()), document.get("deny", {})
    if unknown := sorted(set(deny.values()) - taxonomy.keys()):
        raise ValueError(f"a list names the unknown class {unknown[0]}")
    return ColumnLists(tuple(map(_glob, allow)), tuple((_glob(text), name) for text, name in deny.items()))


def _patterns(document: Mapping[str, str]) -> tuple[ValuePattern, ...]:
    patterns_of(document)
    return tuple(ValuePattern(name=name, pattern=pattern) for name, pattern in document.items())


def _providers(document: Mapping[str, Any], taxonomy: Taxonomy) -> dict[str, Limits]:
    found = {name: Limits(fields.get("thresholds", {}), frozenset(fields.get("without", ()))) for name, fields in document.items()}
    for name, limits in found.items():
        if unknown := sorted(limits.without - taxonomy.keys()):
            raise ValueError(f"provider {name}: unknown class {unknown[0]}")
        if unknown := sorted(limits.thresholds.keys() - {"classify", "abstain"}):
            raise ValueError(f"provider {name}: unknown threshold {unknown[0]}")
    return found


def _glob(text: str) -> re.Pattern[str]:
    return re.compile(translate(text.lower()))


def _check(names: Mapping[str, Any], taxonomy: Taxonomy) -> None:
    unknown = names.keys() - taxonomy.keys() - {"version"}
    if unknown:
        raise ValueError(f"names for unknown classes: {', '.join(sorted(unknown))}")
