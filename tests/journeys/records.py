"""Every record on every topic, read by a plain client from the first to the last, and the law of their ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.bus.topics import wanted_topics


async def all_records(bootstrap: str, *topics: str) -> list[Any]:
    """What is there now, partition by partition. Without `topics`, of all."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=8 << 20)
    await consumer.start()
    try:
        wanted = [topic for topic in wanted_topics() if not topics or topic.name in topics]
        places = [TopicPartition(topic.name, number) for topic in wanted for number in range(topic.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[Any] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
        return found
    finally:
        await consumer.stop()


def different_bytes(records: Sequence[Any]) -> list[str]:
    """Ids that came with more than one key, body or set of headers on one topic: there must be none."""
    said: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for record in records:
        id = dict(record.headers).get("ce_id")
        if id:
            said[record.topic, id.decode("utf-8", "replace")].add(repr((record.key, record.value, record.headers)).encode())
    return [f"{topic} {id}" for (topic, id), bodies in said.items() if len(bodies) > 1]


def repeated(records: Sequence[Any]) -> int:
    """How many records came again with an id that was there before."""
    ids = [(record.topic, dict(record.headers).get("ce_id")) for record in records]
    return len(ids) - len(set(ids))
