"""Whoever hears requests asks the gate: by event nothing is open that is closed over HTTP."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import services
from shared.contracts.topics import TOPICS

REQUESTS = {topic.event.__name__ for topic in TOPICS if topic.request}


def heard() -> Iterator[tuple[str, str, set[str]]]:
    """Service, event, and what its handler is given, for each topic that a service hears."""
    for app in Path(next(iter(services.__path__))).glob("*/app.py"):
        for node in ast.walk(ast.parse(app.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "on":
                event, handler = node.args[:2]
                given = {each.arg or "" for each in handler.keywords} if isinstance(handler, ast.Call) else set()
                yield app.parent.name, ast.unparse(event), given


def test_every_handler_of_a_request_is_given_the_gate() -> None:
    """The catalog alone, which only tells that something was asked, hears them without."""
    found = list(heard())
    asked = {(service, event): given for service, event, given in found if event in REQUESTS}
    assert {("registry", "SourceSubmitted"), ("discovery", "ScanRequested"), ("classifier", "ClassificationReviewed")} <= asked.keys()
    assert not [place for place, given in asked.items() if "gate" not in given]
