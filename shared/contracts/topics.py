"""THE table: every topic with its event, key, producers, readers, partitions and retention.

Broker settings, Strimzi manifests, AsyncAPI, access lists and the reference page are generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from shared.contracts import asset, audit, compliance, connection, rules, scan, source, tags
from shared.contracts.base import Contract

MAX_EVENT_BYTES = 4 * 1024 * 1024  # one event, one table
MAX_PRODUCER_BYTES = MAX_EVENT_BYTES + 512 * 1024  # headers and framing on top
MANY, SOME, FEW = 12, 6, 3  # partitions: streams of assets, of sources, of people's requests

SERVICES = ("registry", "connector", "discovery", "classifier", "compliance", "tagger", "catalog")
KeyKind = Literal["source", "asset", "resource", "name", "tenant", "request"]
OUTSIDE = frozenset({"upstream", "people", "downstream", "on call"})


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `request`: may be wrong and is answered, keeps order behind an unknown error, bytes are secret.

    `read_back`: who says it reads it as well, without a group.
    """

    name: str
    event: type[Contract]
    key: KeyKind
    said_by: tuple[str, ...]
    heard_by: tuple[str, ...]
    partitions: int
    retention: timedelta | None = timedelta(days=7)
    compacted: bool = False
    request: bool = False
    read_back: bool = False

    @property
    def readers(self) -> tuple[str, ...]:
        """The services among `heard_by`."""
        return tuple(name for name in self.heard_by if name in SERVICES)

    @property
    def settings(self) -> dict[str, str]:
        """The broker's settings for this topic. Compacted topics keep tombstones for a week, so that a slow reader sees them."""
        common = {"max.message.bytes": str(MAX_PRODUCER_BYTES), "compression.type": "producer"}
        if self.compacted:
            return common | {"cleanup.policy": "compact", "delete.retention.ms": _ms(timedelta(days=7))}
        return common | {"cleanup.policy": "delete", "retention.ms": _ms(self.retention) if self.retention else "-1"}


def _ms(span: timedelta) -> str:
    return str(int(span.total_seconds() * 1000))


_MONTH, _YEAR = timedelta(days=30), timedelta(days=400)
_UP, _DOWN = "upstream", "downstream"

TOPICS: tuple[Topic, ...] = (
    Topic("source.submitted", source.SourceSubmitted, "source", (_UP,), ("registry", "catalog"), FEW, request=True),
    Topic("source.withdrawn", source.SourceWithdrawn, "source", (_UP,), ("registry",), FEW, request=True),
    Topic("source.registered", source.SourceRegistered, "source", ("registry",), ("connector", "catalog"), SOME, compacted=True),
    Topic("source.rejected", source.SourceRejected, "source", ("registry",), (_UP, "catalog"), FEW),
    Topic("source.removed", source.SourceRemoved, "source", ("registry",), SERVICES[1:], FEW, _MONTH),
    Topic(
        "source.connected",
        connection.SourceConnected,
        "source",
        ("connector",),
        ("discovery", "compliance", "catalog"),
        SOME,
        compacted=True,
    ),
    Topic("source.unreachable", connection.SourceUnreachable, "source", ("connector",), ("catalog", "on call"), FEW, _MONTH),
    Topic("source.failed_over", connection.SourceFailedOver, "source", ("connector",), ("discovery", "catalog", "on call"), FEW, _MONTH),
    Topic("source.health", connection.SourceHealth, "source", ("connector",), ("catalog", "on call"), FEW),
    Topic("scan.requested", scan.ScanRequested, "source", ("registry", "people", _UP), ("discovery",), FEW, request=True),
    Topic("schema.discovered", asset.SchemaDiscovered, "asset", ("discovery",), ("classifier", "catalog"), MANY, compacted=True),
    Topic("asset.removed", asset.AssetRemoved, "asset", ("discovery",), ("classifier", "compliance", "tagger", "catalog"), MANY, _MONTH),
    Topic("scan.paced", scan.ScanPaced, "source", ("discovery",), ("catalog", _UP), FEW),
    Topic("scan.completed", scan.ScanCompleted, "source", ("discovery",), ("tagger", "catalog", _UP), SOME, _MONTH),
    Topic("scan.failed", scan.ScanFailed, "source", ("discovery",), ("catalog", _UP), FEW, _MONTH),
    Topic("ruleset.published", rules.RulesetPublished, "name", ("classifier",), ("discovery", "catalog"), 1, compacted=True),
    Topic("policy.published", rules.PolicyPublished, "name", ("compliance",), ("catalog",), 1, compacted=True),
    Topic("classification.reviewed", asset.ClassificationReviewed, "asset", ("people", _UP), ("classifier", "catalog"), FEW, request=True),
    Topic("asset.classified", asset.AssetClassified, "asset", ("classifier",), ("compliance", "catalog", _DOWN), MANY, compacted=True),
    Topic("contract.published", rules.ContractPublished, "name", (_UP, "tagger"), ("classifier", "tagger", "catalog"), FEW, compacted=True),
    Topic("contract.rejected", rules.ContractRejected, "name", ("tagger",), (_UP, "on call", "catalog"), FEW, _MONTH),
    Topic("contract.compared", rules.ContractCompared, "asset", ("tagger",), ("catalog", "on call", _DOWN), SOME, compacted=True),
    Topic(
        "compliance.evaluated",
        compliance.ComplianceEvaluated,
        "asset",
        ("compliance",),
        ("tagger", "catalog", _DOWN),
        MANY,
        compacted=True,
    ),
    Topic("violation.opened", compliance.ViolationOpened, "asset", ("compliance",), ("on call", "catalog"), SOME, _YEAR),
    Topic("violation.resolved", compliance.ViolationResolved, "asset", ("compliance",), ("on call", "catalog"), SOME, _YEAR),
    Topic("violation.waived", compliance.ViolationWaived, "asset", ("compliance",), ("on call", "catalog"), SOME, _YEAR),
    Topic("job.submitted", tags.JobSubmitted, "request", (_UP,), ("tagger",), FEW, request=True),
    Topic("job.rejected", tags.JobRejected, "request", ("tagger",), (_UP, "catalog"), FEW, _MONTH),
    Topic("tags.derived", tags.TagsDerived, "resource", ("tagger",), ("catalog", _DOWN), MANY, compacted=True),
    Topic("tags.applied", tags.TagsApplied, "resource", ("tagger",), ("catalog", _DOWN), SOME, _MONTH),
    Topic("tags.failed", tags.TagsFailed, "resource", ("tagger",), ("catalog", "on call"), SOME, _MONTH),
    Topic("event.dead_lettered", scan.EventDeadLettered, "source", SERVICES, ("catalog", "on call"), FEW, _MONTH),
    Topic("audit.recorded", audit.AuditRecorded, "tenant", SERVICES, ("registry",), FEW, _YEAR),
    Topic("audit.anchored", audit.AuditAnchored, "tenant", ("registry",), ("on call",), 1, compacted=True, read_back=True),
)

BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}
BY_EVENT: dict[type[Contract], Topic] = {topic.event: topic for topic in TOPICS}


def group_of(service: str, topic: str) -> str:
    """The consumer group with which `service` hears `topic`."""
    return f"pursight.{service}.{topic}"


def retry_topic_of(service: str, topic: str) -> str:
    """Where replays of this one group's dead letters go; nobody else hears them."""
    return f"{group_of(service, topic)}.retry"
