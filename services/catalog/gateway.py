"""What the catalog touches outside its own schema: the offsets of its consumer groups, set back for a rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalGenerationError, KafkaError, RebalanceInProgressError, UnknownMemberIdError

from shared.bus.kafka import client_options
from shared.bus.topics import admin
from shared.contracts.topics import Topic, group_of, retry_topic_of
from shared.errors import Failed, Transient
from shared.settings import BusSettings

_IN_USE = (CommitFailedError, UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError)


class GroupInUse(Failed):
    """A catalog is still running and holds the group."""

    def __init__(self, group: str) -> None:
        super().__init__(
            "the catalog still hears its topics", why=group, remedy="Stop every catalog process, then try again.", code="group_in_use"
        )


async def rewind(settings: BusSettings, service: str, topics: Iterable[Topic]) -> int:
    """Set the groups of `service` back to the first record of each topic; returns the number of partitions.

    Raises GroupInUse where a member is alive: the broker refuses commits from outside then (asking for the groups' state beforehand
    is no way, aiokafka's question makes brokers of version 4 hang up). Raises Transient where no broker answers. Safe to repeat.
    """
    groups = {group_of(service, topic.name): (topic.name, retry_topic_of(service, topic.name)) for topic in topics}
    async with admin(settings) as client:
        places = await _places(client, {name for names in groups.values() for name in names})
    count = 0
    for group, names in groups.items():
        partitions = [place for name in names for place in places.get(name, ())]
        if partitions:
            await _rewind_group(settings, group, partitions)
        count += len(partitions)
    return count


async def _places(client: AIOKafkaAdminClient, names: set[str]) -> dict[str, list[TopicPartition]]:
    """The partitions of those topics that exist."""
    existing = sorted(names & set(await client.list_topics()))
    described = await client.describe_topics(existing) if existing else []
    return {one["topic"]: [TopicPartition(one["topic"], part["partition"]) for part in one["partitions"]] for one in described}


async def _rewind_group(settings: BusSettings, group: str, partitions: list[TopicPartition]) -> None:
    async with _consumer(settings, group) as consumer:
        consumer.assign(partitions)
        first = await consumer.beginning_offsets(partitions)
        try:
            await consumer.commit(first)
        except _IN_USE as error:
            raise GroupInUse(group) from error


@asynccontextmanager
async def _consumer(settings: BusSettings, group: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**client_options(settings, "pursight-rebuild"), group_id=group, enable_auto_commit=False)
    try:
        await consumer.start()
        yield consumer
    except _IN_USE:
        raise
    except KafkaError as error:
        raise Transient("Kafka does not answer", why=type(error).__name__, code="kafka_away") from error
    finally:
        with suppress(KafkaError):
            await consumer.stop()
