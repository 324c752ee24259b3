"""The AsyncAPI 3.0 document: a channel per topic, CloudEvents headers, Kafka bindings, the frozen schemas, the examples."""

from __future__ import annotations

import json
from typing import Any

import yaml

from shared.contracts.examples import BY_EVENT
from shared.contracts.topics import OUTSIDE, TOPICS, Topic, group_of
from shared.docs.schemas import all_schemas

TEXT = {"type": "string"}
HEADERS: dict[str, Any] = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {**TEXT, "format": "uuid", "description": "deterministic; may come again, then with equal bytes"},
        "ce_type": {**TEXT, "description": "the topic's name"},
        "ce_source": {**TEXT, "examples": ["/pursight/discovery"]},
        "ce_time": {**TEXT, "format": "date-time"},
        "ce_tenant": TEXT,
        "ce_causationid": {**TEXT, "description": "id of the event that led to this one"},
        "content-type": {"type": "string", "const": "application/json"},
        "traceparent": {**TEXT, "description": "W3C trace context"},
    },
}
KEYS = {
    "source": "tenant/source",
    "asset": "tenant/source/database.schema.table",
    "resource": "tenant/asset:… or tenant/resource:…",
    "name": "name of the rule set, pack or contract",
    "tenant": "tenant",
    "request": "tenant/job",
}


def document() -> str:
    """The whole document as YAML."""
    content = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "PurSight",
            "version": "1.0.0",
            "description": "Column evidence, regulation control, cloud resource tag, in one traceable stream.",
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": "localhost:9092", "protocol": "kafka", "description": "KAFKA_BOOTSTRAP_SERVERS"}},
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": dict(_operations()),
        "components": {"messages": {topic.event.__name__: _message(topic) for topic in TOPICS}, "schemas": {"Headers": HEADERS}},
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=140)


def _channel(topic: Topic) -> dict[str, Any]:
    kafka: dict[str, Any] = {
        "topic": topic.name,
        "partitions": topic.partitions,
        "topicConfiguration": {
            "cleanup.policy": [topic.settings["cleanup.policy"]],
            "max.message.bytes": int(topic.settings["max.message.bytes"]),
            **({"retention.ms": int(topic.settings["retention.ms"])} if "retention.ms" in topic.settings else {}),
            **({"delete.retention.ms": int(topic.settings["delete.retention.ms"])} if topic.compacted else {}),
        },
        "bindingVersion": "0.5.0",
    }
    return {
        "address": topic.name,
        "description": _first_line(topic),
        "messages": {topic.event.__name__: {"$ref": f"#/components/messages/{topic.event.__name__}"}},
        "bindings": {"kafka": kafka},
    }


def _first_line(topic: Topic) -> str:
    return (topic.event.__doc__ or "").strip().splitlines()[0]


def _message(topic: Topic) -> dict[str, Any]:
    schema = all_schemas()[f"{topic.name}.v1"]
    return {
        "name": topic.name,
        "title": topic.event.__name__,
        "summary": _first_line(topic),
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": _inline(schema),
        "bindings": {"kafka": {"key": {"type": "string", "description": KEYS[topic.key]}, "bindingVersion": "0.5.0"}},
        "examples": [{"name": "example", "payload": json.loads(BY_EVENT[topic.event].to_json())}],
    }


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its `$defs` put in place: a reference inside a payload would point into the AsyncAPI document."""
    definitions = schema.get("$defs", {})

    def put(node: Any) -> Any:
        if isinstance(node, list):
            return [put(item) for item in node]
        if not isinstance(node, dict):
            return node
        if ref := node.get("$ref"):
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return put({**definitions[ref.rsplit("/", 1)[1]], **rest})
        return {key: put(value) for key, value in node.items() if key not in ("$defs", "$schema", "$id", "discriminator")}

    return dict(put(schema))


def _operations() -> list[tuple[str, dict[str, Any]]]:
    """Who sends and who receives; a receiving service with its consumer group."""
    found: list[tuple[str, dict[str, Any]]] = []
    for topic in TOPICS:
        channel = {"$ref": f"#/channels/{topic.name.replace('/', '~1')}"}
        for sender in topic.said_by:
            found.append((f"{_word(sender)}.sends.{topic.name}", {"action": "send", "channel": channel}))
        for reader in topic.heard_by:
            group = (
                {}
                if reader in OUTSIDE
                else {
                    "bindings": {"kafka": {"groupId": {"type": "string", "const": group_of(reader, topic.name)}, "bindingVersion": "0.5.0"}}
                }
            )
            found.append((f"{_word(reader)}.receives.{topic.name}", {"action": "receive", "channel": channel, **group}))
    return found


def _word(name: str) -> str:
    return name.replace(" ", "_")
