"""Topics at the broker: made with real partitions and settings, compared with the contracts, checked before a service starts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.bus.kafka import MAX_RECORD_BYTES, client_options
from shared.contracts.topics import BY_NAME, SERVICES, TOPICS, retry_topic_of
from shared.errors import Transient, UsageError
from shared.settings import BusSettings

RETRY_PARTITIONS = 1
_CREATE_MS = 30_000
_KEPT = timedelta(days=30)  # a replay may wait that long for its service


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be."""

    name: str
    partitions: int
    settings: dict[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of one topic that is not as wanted; `found` empty: the topic is missing. `breaks`: a promise would not hold."""

    topic: str
    setting: str
    wanted: str
    found: str
    breaks: bool


def wanted_topics(services: Iterable[str] = SERVICES) -> list[Wanted]:
    """All topics of the contracts that one of `services` says or hears, and their groups' retry topics."""
    chosen = set(services)
    everything = chosen >= set(SERVICES)
    plain = [topic for topic in TOPICS if everything or chosen & {*topic.said_by, *topic.heard_by}]
    retry = {
        "max.message.bytes": str(MAX_RECORD_BYTES + 1024 * 1024),
        "cleanup.policy": "delete",
        "retention.ms": str(int(_KEPT.total_seconds() * 1000)),
    }
    return [Wanted(topic.name, topic.partitions, topic.settings) for topic in plain] + [
        Wanted(retry_topic_of(service, topic.name), RETRY_PARTITIONS, retry)
        for topic in TOPICS
        for service in topic.readers
        if service in chosen
    ]


@asynccontextmanager
async def admin(settings: BusSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client. Raises Transient where no broker answers."""
    client = AIOKafkaAdminClient(**client_options(settings, "pursight-topics"), request_timeout_ms=_CREATE_MS)
    try:
        await client.start()
    except KafkaError as error:
        await client.close()
        raise Transient("Kafka does not answer", why=type(error).__name__, code="kafka_away") from error
    try:
        yield client
    finally:
        await client.close()


async def _found(client: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, tuple[int, dict[str, str]]]:
    """Partitions and settings of those topics that exist."""
    existing = set(await client.list_topics()) & set(names)
    if not existing:
        return {}
    described = await client.describe_topics(sorted(existing))
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
    answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in sorted(existing)])
    configs = {resource[3]: {entry[0]: str(entry[1]) for entry in resource[4]} for answer in answers for resource in answer.resources}
    return {name: (partitions[name], configs.get(name, {})) for name in existing}


def _compare(wanted: Wanted, found: tuple[int, dict[str, str]] | None) -> list[Difference]:
    if found is None:
        return [Difference(wanted.name, "topic", "present", "", True)]
    partitions, config = found
    differing = [
        Difference(wanted.name, name, value, config.get(name, ""), _breaks(name, value, config.get(name, "")))
        for name, value in wanted.settings.items()
        if config.get(name, "") != value
    ]
    if partitions != wanted.partitions:
        differing.append(Difference(wanted.name, "partitions", str(wanted.partitions), str(partitions), False))
    return differing


def _breaks(name: str, wanted: str, found: str) -> bool:
    """A compacted topic that deletes forgets facts, a fact topic that compacts loses history, a small limit refuses events."""
    if name == "cleanup.policy":
        return True
    if name == "max.message.bytes":
        return not found.isdecimal() or int(found) < int(wanted)
    return False


async def diff(settings: BusSettings, services: Iterable[str] = SERVICES) -> list[Difference]:
    """What is not as wanted. Raises Transient where no broker answers."""
    wanted = wanted_topics(services)
    async with admin(settings) as client:
        found = await _found(client, [topic.name for topic in wanted])
    return [difference for topic in wanted for difference in _compare(topic, found.get(topic.name))]


async def apply(settings: BusSettings, services: Iterable[str] = SERVICES) -> list[str]:
    """Make missing topics and set differing settings; returns the names of the topics touched.

    The number of partitions of an existing topic is left alone, because the order per key would break. Several programs may do
    this at once. Raises UsageError where the broker refuses.
    """
    wanted = wanted_topics(services)
    async with admin(settings) as client:
        found = await _found(client, [topic.name for topic in wanted])
        missing = [topic for topic in wanted if topic.name not in found]
        changed = [
            topic
            for topic in wanted
            if topic.name in found and any(one.setting != "partitions" for one in _compare(topic, found[topic.name]))
        ]
        if missing:
            await _create(client, missing, settings.replication_factor)
        if changed:
            await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=topic.settings) for topic in changed])
    return [topic.name for topic in (*missing, *changed)]


async def _create(client: AIOKafkaAdminClient, topics: Sequence[Wanted], replication: int) -> None:
    new = [NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.settings) for topic in topics]
    answer = await client.create_topics(new, timeout_ms=_CREATE_MS)
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise UsageError(
                f"the topic {name} could not be made", why=error.__name__, remedy="See the broker's log.", code="topic_refused"
            )


async def check(settings: BusSettings, service: str) -> list[Difference]:
    """What a service looks at before it starts; returns harmless differences.

    Raises Transient where topics are missing (somebody may make them yet) and UsageError where a setting would break a promise.
    """
    differences = await diff(settings, [service])
    if missing := sorted(one.topic for one in differences if one.setting == "topic"):
        raise Transient(
            f"{len(missing)} topics are missing, such as {missing[0]}", remedy="Run `pursight topics apply`.", code="topics_missing"
        )
    if broken := [one for one in differences if one.breaks]:
        first = broken[0]
        raise UsageError(
            f"the topic {first.topic} cannot keep its promise",
            why=f"{first.setting} is {first.found}, it has to be {first.wanted}",
            remedy="Run `pursight topics apply`, or change it at the broker.",
            code="topic_breaks_promise",
        )
    return differences


def topic_of(name: str) -> str:
    """The contract's topic of a topic or of a group's retry topic."""
    if name in BY_NAME:
        return name
    return name.removesuffix(".retry").split(".", 2)[-1]
