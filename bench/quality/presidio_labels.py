"""Presidio's batch analyzer over columns: JSON lists of values on stdin, one JSON list of {entity: share of values} on stdout."""

from __future__ import annotations

import json
import sys
from collections import Counter

import spacy
from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine

LEAST_SCORE = 0.35  # patterns without context words reach it


class BlankEngine(SpacyNlpEngine):
    """No model: names of people and places are not looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.nlp = {"en": spacy.blank("en")}


def main() -> None:
    """Of each column, which entity was found in what share of its values."""
    columns = json.load(sys.stdin)
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers()
    batch = BatchAnalyzerEngine(analyzer_engine=AnalyzerEngine(registry=registry, nlp_engine=BlankEngine(), supported_languages=["en"]))
    answers = []
    for values in columns:
        counted: Counter[str] = Counter()
        for found in batch.analyze_iterator(values, language="en", batch_size=200) if values else ():
            counted.update({result.entity_type for result in found if result.score >= LEAST_SCORE})
        answers.append({entity: count / len(values) for entity, count in counted.items()})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
