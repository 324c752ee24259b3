"""Health of a source from its last checks, and when to look again. Only a change is worth an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from shared.contracts.connection import SourceConnected, SourceHealth

KEPT = 20  # latencies
_SLOW_SECONDS = 1.0
_MANY_ERRORS = 0.2
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 2.0, 300.0
_RETRIES_FOR_LASTING = 300.0  # nothing changes until a person acts, so it is asked seldom


@dataclass(frozen=True, slots=True)
class Checks:
    """What was seen lately. `latencies` are seconds of the last answers; `failures` of `checks` did not answer."""

    latencies: Sequence[float]
    checks: int
    failures: int
    reachable: bool


def health(source: str, sequence: int, seen: Checks) -> SourceHealth:
    """The state of a source, with advice where there is any."""
    p50, p95 = percentile(seen.latencies, 0.5), percentile(seen.latencies, 0.95)
    errors = seen.failures / seen.checks if seen.checks else 0.0
    return SourceHealth(
        source=source,
        sequence=sequence,
        status=_status(seen, p95, errors),
        latency_p50_seconds=p50,
        latency_p95_seconds=p95,
        error_rate=round(errors, 4),
        uptime=round(1.0 - errors, 4),
        advice=_advice(seen, p95, errors),
    )


def _status(seen: Checks, p95: float | None, errors: float) -> Literal["healthy", "degraded", "down"]:
    if not seen.reachable:
        return "down"
    return "degraded" if (p95 or 0.0) > _SLOW_SECONDS or errors > _MANY_ERRORS else "healthy"


def _advice(seen: Checks, p95: float | None, errors: float) -> tuple[str, ...]:
    advice = []
    if (p95 or 0.0) > _SLOW_SECONDS:
        advice.append("Answers are slow: look at the server's load or the network between.")
    if seen.reachable and errors > _MANY_ERRORS:
        advice.append("Checks fail now and then: look at connection limits and the network.")
    return tuple(advice)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile, None of nothing.

    >>> percentile([0.3, 0.1, 0.2], 0.5)
    0.2
    """
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 6)


def retry_seconds(attempts: int, *, lasting: bool) -> float:
    """How long to wait after this many failures in a row: doubling to five minutes; at once five minutes where only a person can help."""
    if lasting:
        return _RETRIES_FOR_LASTING
    return min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 20))


def worth_saying(event: SourceConnected) -> str:
    """A digest of what a reader would act on: numbers that move by themselves (sizes, latencies, lag) are left out."""
    server = event.server.model_copy(
        update={"round_trip_seconds": 0.0, "clock_skew_seconds": 0.0, "database_bytes": 0, "replica_lag_seconds": None}
    )
    privileges = event.privileges.model_copy(update={"tables_visible": 0, "tables_readable": 0, "schemas_visible": 0})
    codes = tuple(sorted(warning.code for warning in event.warnings if warning.code != "clock_skew"))
    steady = event.model_copy(update={"server": server, "privileges": privileges, "sequence": 1, "warnings": ()})
    return sha256(steady.to_json() + repr(codes).encode()).hexdigest()
