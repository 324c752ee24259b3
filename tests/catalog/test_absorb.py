"""What is kept of each event: no topic is forgotten, and what is said of it is a line for people."""

from __future__ import annotations

import pytest

from services.catalog.domain.absorb import TAKES, gone_of, rows_of, topics_heard
from services.catalog.domain.keep import array, storable, worst
from services.catalog.domain.rows import Asset, Told
from shared.contracts.base import Contract
from shared.contracts.examples import EXAMPLES
from shared.contracts.scan import EventDeadLettered
from shared.contracts.source import SourceSubmitted
from shared.contracts.topics import BY_EVENT
from tests.catalog import story
from tests.catalog.story import SOURCE

HEARD = [example for example in EXAMPLES if BY_EVENT[type(example)] in topics_heard()]


def test_every_topic_that_names_the_catalog_is_taken() -> None:
    """The table of topics and the table of takers say the same."""
    assert {topic.name for topic in topics_heard()} == set(TAKES)


@pytest.mark.parametrize("event", [pytest.param(event, id=BY_EVENT[type(event)].name) for event in HEARD])
def test_every_event_becomes_a_line_of_the_timeline(event: Contract) -> None:
    """One event, one line: who said it, in which trace, in words."""
    told = [row for row in rows_of([story.heard(event, "acme/crm")]) if isinstance(row, Told)]
    assert len(told) == 1
    assert told[0].trace_id == story.TRACE
    assert 5 < len(told[0].summary) <= 300
    says = event.service if isinstance(event, EventDeadLettered) else BY_EVENT[type(event)].said_by[0]
    assert told[0].service == says


def test_a_request_is_on_the_timeline_without_a_word_of_its_own() -> None:
    """Only that it came: id, time, trace and the source its key names, whatever its sender wrote into it."""
    asked = SourceSubmitted.model_validate({"name": "crm", "password": "hunter2", "asset": "hunter2"})
    request = story.heard(asked, SOURCE)._replace(id="i" * 500 + "\x00")
    (row,) = rows_of([request])
    assert isinstance(row, Told)
    assert (row.subject, row.type, row.service, row.trace_id) == (SOURCE, "source.submitted", "upstream", story.TRACE)
    assert len(row.event_id) == 200
    assert "hunter2" not in str(row)
    assert rows_of([story.heard(asked, key) for key in ("", "crm", "postgresql://jo:hunter2@db/shop")]) == []


def test_tags_of_an_asset_stand_in_its_timeline() -> None:
    """The key of tags.derived is its target; a person looks at the asset."""
    assert rows_of([story.tagged("customers")])[-1].subject == story.key_of("customers")  # type: ignore[union-attr]


def test_a_tombstone_is_the_last_word_only_where_nothing_follows() -> None:
    """A key that is said again after its tombstone is there."""
    gone, back = story.tombstone(story.SchemaDiscovered, story.key_of("a")), story.discovered("a", ["id"], sequence=3)
    assert gone_of([gone]) == [story.key_of("a")]
    assert gone_of([gone, back]) == []


def test_evidence_is_not_kept() -> None:
    """The read model holds names, verdicts and three counts of a column, no shapes and no lengths."""
    asset = next(row for row in rows_of([story.heard(_example("schema.discovered"), "k")]) if isinstance(row, Asset))
    assert '"sampled":200' in asset.doc
    assert "shapes" not in asset.doc
    assert "matches" not in asset.doc


def _example(topic: str) -> Contract:
    return next(event for event in EXAMPLES if BY_EVENT[type(event)].name == topic)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([], "internal", id="nothing known is not public"),
        pytest.param(["public", "restricted", "internal"], "restricted", id="the worst counts"),
        pytest.param(["top secret"], "internal", id="a word we do not know is internal"),
        pytest.param(["public"], "public", id="public only where all are"),
    ],
)
def test_worst(given: list[str], expected: str) -> None:
    assert worst(given) == expected


def test_a_null_character_is_replaced() -> None:
    """PostgreSQL has no room for it, and one odd name must not stop a batch."""
    assert storable('{"a":"x\\u0000y"}') == '{"a":"x\\ufffdy"}'


def test_arrays_are_quoted() -> None:
    assert array(['a"b', "c\\d", "{e}"]) == '{"a\\"b","c\\\\d","{e}"}'
