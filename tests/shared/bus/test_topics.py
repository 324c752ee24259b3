"""Topics at the broker, and a broker that is away."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.bus import edge, topics
from shared.bus.runtime import Bus
from shared.cli.topics import applied
from shared.contracts.topics import BY_NAME, retry_topic_of
from shared.errors import Transient, UsageError
from shared.settings import BusSettings


async def alter(settings: BusSettings, topic: str, **configs: str) -> None:
    named = {name.replace("_", "."): value for name, value in configs.items()}
    async with topics.admin(settings) as client:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=BY_NAME[topic].settings | named)
        await client.alter_configs([resource])


async def test_a_broken_promise_is_refused_a_difference_is_told_and_apply_mends_both(topics_made: BusSettings) -> None:
    """A compacted topic that deletes would forget facts: refused. Another retention is a difference. `apply` sets both right."""
    await topics.apply(topics_made)
    await alter(topics_made, "ruleset.published", cleanup_policy="delete")
    await seen(topics_made, [("cleanup.policy", True)])
    with pytest.raises(UsageError, match="cannot keep its promise"):
        await topics.check(topics_made, "classifier")
    await alter(topics_made, "ruleset.published", delete_retention_ms="1000")
    await seen(topics_made, [("delete.retention.ms", False)])
    await topics.check(topics_made, "classifier")
    assert "ruleset.published" in await applied(topics_made)
    await seen(topics_made, [])
    async with asyncio.timeout(20), aclosing(edge.tail(topics_made, ["audit.recorded"], from_start=True)) as said:
        entry = (await anext(said)).event
    assert (entry.action, entry.result, entry.actor.partition(":")[0]) == ("topics.apply", "allowed", "operator")
    assert "ruleset.published" in entry.detail


async def seen(settings: BusSettings, expected: list[tuple[str, bool]]) -> None:
    """Wait until the broker tells its new settings: it spreads them in its own time."""
    async with asyncio.timeout(20):
        while True:
            found = [one for one in await topics.diff(settings, ["classifier"]) if one.topic == "ruleset.published"]
            if [(one.setting, one.breaks) for one in found if one.setting != "max.message.bytes"] == expected:
                return
            await asyncio.sleep(0.2)


def test_every_topic_and_every_groups_retry_topic_is_wanted() -> None:
    """One retry topic for each service and topic that it hears."""
    wanted = {topic.name for topic in topics.wanted_topics()}
    assert set(BY_NAME) < wanted
    assert retry_topic_of("tagger", "compliance.evaluated") in wanted
    assert topics.topic_of(retry_topic_of("tagger", "compliance.evaluated")) == "compliance.evaluated"
    assert all(topics.topic_of(name) in BY_NAME for name in wanted)


async def test_a_broker_that_is_away_makes_the_service_unready_not_dead(rig: Any) -> None:
    """Nobody listens: start returns, readiness says so, stop works."""
    settings = BusSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(Transient):
        await topics.diff(settings)
    bus = Bus("discovery", settings=settings, pool=await rig.pool("discovery"), schema="discovery")
    await bus.start(wait=0.5)
    assert any("Kafka" in problem or "starting" in problem for problem in bus.ready())
    await bus.stop()
