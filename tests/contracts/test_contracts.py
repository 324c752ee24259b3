"""The contracts: every topic has an example that travels unchanged, every name comes back, every break is seen."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.base import Contract
from shared.contracts.compatibility import incompatibilities
from shared.contracts.envelope import event_id
from shared.contracts.examples import BY_EVENT
from shared.contracts.names import AssetName, SourceName, encode, source_of
from shared.contracts.topics import SERVICES, TOPICS, Topic
from shared.docs.schemas import all_schemas

PART = st.text(min_size=1, max_size=300).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_an_example_travels_unchanged(topic: Topic) -> None:
    """Writing and reading an event gives an equal event, and the same bytes again."""
    example: Contract = BY_EVENT[topic.event]
    read = topic.event.model_validate_json(example.to_json())
    assert (read, read.to_json()) == (example, example.to_json())


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_said_and_heard_by_somebody_known(topic: Topic) -> None:
    """The table names only services of ours and parties outside."""
    assert set(topic.said_by) | set(topic.heard_by) <= {*SERVICES, "upstream", "people", "downstream", "on call"}
    assert topic.event.__doc__


def test_readers_ignore_unknown_fields_and_words() -> None:
    """A newer writer's field and a newer word do not stop an older reader."""
    for topic in TOPICS:
        body = json.loads(BY_EVENT[topic.event].to_json()) | {"from_the_future": 1}
        topic.event.model_validate(body)
    removed = next(t for t in TOPICS if t.name == "asset.removed")
    assert removed.event.model_validate({**json.loads(BY_EVENT[removed.event].to_json()), "reason": "new word"})


@given(PART, PART, PART, PART, PART, PART)
def test_any_name_comes_back(tenant: str, source: str, database: str, schema: str, table: str, column: str) -> None:
    """Dots, slashes, quotes, emoji: encoding then parsing is the identity."""
    name = AssetName(tenant, source, database, schema, table)
    assert AssetName.parse(name.key) == name
    assert name.column(column).partition("#")[::2] == (name.key, encode(column))
    assert source_of(name.key) == name.source_key == SourceName(tenant, source).key
    assert SourceName.parse(name.source_key) == SourceName(tenant, source)


@given(PART, PART, PART)
def test_different_names_have_different_keys(a: str, b: str, c: str) -> None:
    """No two assets share a key."""
    one, other = AssetName(a, b, c, a, b), AssetName(b, c, a, b, c)
    assert (one == other) == (one.key == other.key)


@pytest.mark.parametrize("bad", ["", "a", "a/b", "a/b/c", "a/b/c.d", "a//c.d.e", "a/b/c..e", "a/b/c.d.e.f"])
def test_what_is_no_asset_key_is_refused(bad: str) -> None:
    """The parser accepts nothing but three parts of which the last has three."""
    with pytest.raises(ValueError, match="asset key"):
        AssetName.parse(bad)


def test_event_ids_depend_on_everything_they_are_made_of() -> None:
    """Any part changed gives another id; none changed, the same."""
    parts: tuple[Any, ...] = ("s", "cause", "topic", "key", 0)
    ids = {event_id(*parts), event_id(*parts)}
    for place in range(5):
        ids.add(event_id(*(*parts[:place], 9 if place == 4 else "other", *parts[place + 1 :])))
    assert len(ids) == 6


def broken(change: Any) -> list[str]:
    old = all_schemas()["asset.removed.v1"]
    new = copy.deepcopy(old)
    change(new)
    return incompatibilities(old, new)


def test_an_optional_field_breaks_nobody() -> None:
    """Adding what may be left out is safe both ways."""
    assert broken(lambda schema: schema["properties"].update(note={"type": "string", "default": ""})) == []


@pytest.mark.parametrize(
    ("change", "side"),
    [
        pytest.param(lambda s: s["required"].append("scan_id"), "new readers, old events", id="a field became required"),
        pytest.param(lambda s: s["required"].remove("asset"), "old readers, new events", id="a required field may be missing"),
        pytest.param(lambda s: s["properties"].update(sequence={"type": "string"}), "new readers, old events", id="a type changed"),
        pytest.param(lambda s: s["properties"]["sequence"].update(minimum=5), "new readers, old events", id="a bound got tighter"),
        pytest.param(lambda s: s["properties"]["sequence"].update(minimum=0), "old readers, new events", id="a bound got looser"),
        pytest.param(lambda s: s["properties"]["reason"].update(enum=["dropped"]), "new readers, old events", id="an enum was closed"),
    ],
)
def test_each_planted_break_is_seen(change: Any, side: str) -> None:
    """What breaks readers or writers of the other age is reported on the right side."""
    assert any(text.startswith(side) for text in broken(change))


def test_the_frozen_schemas_are_compatible_with_themselves() -> None:
    """No schema is said to break itself."""
    assert all(not incompatibilities(schema, schema) for schema in all_schemas().values())
