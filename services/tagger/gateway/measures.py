"""What a shell's run measured, for those who watch: a file for Prometheus, and the job's own cloud."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.tagger.gateway.rest import Edge
from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.errors import UsageError
from shared.observe.names import BY_NAME, IN_CLOUDS

NAMESPACE = "PurSight"


def to_textfile(folder: Path, name: str, labels: Mapping[str, str], seconds: float) -> Path:
    """One file for each metric and job, whole or not at all, for the textfile collector of Prometheus's exporter. The last run's."""
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry, metric = CollectorRegistry(), BY_NAME[name]
    Gauge(metric.name, metric.help, metric.labels, registry=registry).labels(*(labels[each] for each in metric.labels)).set(seconds)
    path = folder / f"{name}-{sha256(labels['job'].encode()).hexdigest()[:12]}.prom"
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written", why=error.strerror or "", code="not_writable") from None
    return path


async def to_cloudwatch(sessions: AwsSessions, sign_in: AwsSignIn, name: str, labels: Mapping[str, str], seconds: float) -> None:
    """Needs cloudwatch:PutMetricData. Raises as any AWS client of ours."""
    dimensions = [{"Name": key, "Value": value} for key, value in labels.items()]
    data = [{"MetricName": IN_CLOUDS[name][0], "Value": seconds, "Unit": "Seconds", "Dimensions": dimensions}]
    async with sessions.client(sign_in, "cloudwatch") as cloudwatch:
        await cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)


async def to_monitoring(edge: Edge, project: str, name: str, labels: Mapping[str, str], seconds: float, now: datetime) -> None:
    """Needs monitoring.timeSeries.create. Raises as the edge does."""
    series: dict[str, Any] = {
        "metric": {"type": f"custom.googleapis.com/{IN_CLOUDS[name][1]}", "labels": dict(labels)},
        "resource": {"type": "global", "labels": {"project_id": project}},
        "points": [{"interval": {"endTime": now.isoformat()}, "value": {"doubleValue": seconds}}],
    }
    await edge.call("POST", f"/v3/projects/{project}/timeSeries", body={"timeSeries": [series]})
