"""Strimzi manifests: every topic, and a user per service that may write its own topics and read what it hears."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from shared.contracts.topics import SERVICES, TOPICS, Topic, group_of, retry_topic_of

API = "kafka.strimzi.io/v1"  # since Strimzi 0.49; the only one since 1.0
CLUSTER = {"strimzi.io/cluster": "pursight"}


def _dump(documents: Iterator[dict[str, Any]]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=False, width=140)


def topics() -> str:
    """A KafkaTopic for each topic and for each group's retry topic."""
    return _dump(_topics())


def _topics() -> Iterator[dict[str, Any]]:
    for topic in TOPICS:
        yield _topic(topic.name, topic.partitions, topic.settings)
        for service in topic.readers:
            settings = {"cleanup.policy": "delete", "max.message.bytes": topic.settings["max.message.bytes"]}
            yield _topic(retry_topic_of(service, topic.name), 1, settings)


def _topic(name: str, partitions: int, settings: dict[str, str]) -> dict[str, Any]:
    config = {key: int(value) if value.lstrip("-").isdigit() else value for key, value in settings.items()}
    return {
        "apiVersion": API,
        "kind": "KafkaTopic",
        "metadata": {"name": name.replace("_", "-"), "labels": CLUSTER},
        "spec": {"topicName": name, "partitions": partitions, "replicas": 3, "config": {**config, "min.insync.replicas": 2}},
    }


def users() -> str:
    """A KafkaUser for each service, with just the rights that the topic table gives it."""
    return _dump(_user(service) for service in SERVICES)


def _user(service: str) -> dict[str, Any]:
    writes = [_acl("topic", topic.name, _says(topic)) for topic in TOPICS if service in topic.said_by]
    reads = [acl for topic in TOPICS if service in topic.readers for acl in _reads(service, topic.name)]
    return {
        "apiVersion": API,
        "kind": "KafkaUser",
        "metadata": {"name": f"pursight-{service}", "labels": CLUSTER},
        "spec": {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": [*writes, *reads]}},
    }


def _says(topic: Topic) -> list[str]:
    return ["Write", "Describe", *(["Read"] if topic.read_back else [])]


def _reads(service: str, topic: str) -> Iterator[dict[str, Any]]:
    yield _acl("topic", topic, ["Read", "Describe"])
    yield _acl("topic", retry_topic_of(service, topic), ["Read", "Write", "Describe"])
    yield _acl("group", group_of(service, topic), ["Read"])


def _acl(kind: str, name: str, operations: list[str]) -> dict[str, Any]:
    return {"resource": {"type": kind, "name": name, "patternType": "literal"}, "operations": operations, "host": "*"}
