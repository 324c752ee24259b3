"""Health of a source from its checks: status, trend, what to do. Only a change is worth an event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from shared.contracts.cautions import SOON_DAYS, caution
from shared.contracts.connection import CircuitState, Diagnosis, SourceConnected, SourceHealth

KEPT = 20  # latencies
SHORT_HOURS, LONG_HOURS = 24, 7 * 24  # a trend sets the last day beside the days before it
KEPT_DAYS = 30
DAY_SECONDS = 86_400.0
_SLOW_SECONDS = 1.0
_MANY_ERRORS = 0.2
_SLOWER, _FASTER, _NOTICEABLE_SECONDS = 1.5, 0.67, 0.01
_MORE_ERRORS = 0.05
_MOVING = ("clock_skew", "cloud_facts_unknown")  # warnings that come and go by themselves
_ENOUGH = 20  # checks on each side of a trend
_FULL = 0.8  # of the server's connections
_FAST_GROWTH = 0.05  # of the size, a day

Trend = Literal["better", "steady", "worse", "unknown"]


@dataclass(frozen=True, slots=True)
class Checks:
    """What was seen lately. `latencies` are seconds of the last answers; `failures` of `checks` did not answer."""

    latencies: Sequence[float]
    checks: int
    failures: int
    reachable: bool


@dataclass(frozen=True, slots=True)
class Span:
    """What the history says of a stretch of time. `seconds` is the sum of all answers' latencies; `first_bytes` the size at its begin."""

    checks: int = 0
    failures: int = 0
    seconds: float = 0.0
    first_bytes: int | None = None
    last_bytes: int | None = None
    days: float = 0.0

    @property
    def uptime(self) -> float:
        return 1.0 - self.failures / self.checks if self.checks else 1.0

    @property
    def mean(self) -> float:
        answered = self.checks - self.failures
        return self.seconds / answered if answered else 0.0

    @property
    def growth_per_day(self) -> int | None:
        """Bytes; None where the stretch is shorter than a day or the size is not known."""
        if self.first_bytes is None or self.last_bytes is None or self.days < 1.0:
            return None
        return round((self.last_bytes - self.first_bytes) / self.days)


@dataclass(frozen=True, slots=True)
class Past:
    """The history at a glance: the last day, the days before it, and all that is kept."""

    day: Span = Span()
    before: Span = Span()
    all: Span = Span()

    @property
    def trend(self) -> Trend:
        """Latency and errors of the last day beside those of the days before."""
        if min(self.day.checks, self.before.checks) < _ENOUGH:
            return "unknown"
        errors = self.before.uptime - self.day.uptime
        slower = self.day.mean - self.before.mean
        if errors > _MORE_ERRORS or (slower > _NOTICEABLE_SECONDS and self.day.mean > _SLOWER * self.before.mean):
            return "worse"
        if errors < -_MORE_ERRORS or (-slower > _NOTICEABLE_SECONDS and self.day.mean < _FASTER * self.before.mean):
            return "better"
        return "steady"


@dataclass(frozen=True, slots=True)
class Known:
    """What the last full look found besides. Times are seconds since 1970; None: does not apply, or is not known."""

    database_bytes: int | None = None
    connections: int | None = None
    max_connections: int = 0
    pool_used: float | None = None
    certificate_ends: float | None = None
    token_since: float | None = None
    tls_version: str = ""
    tls_issuer: str = ""
    pooler: str = ""

    @property
    def connections_used(self) -> float | None:
        """The share of the server's connections that somebody has."""
        return None if self.connections is None or not self.max_connections else self.connections / self.max_connections

    def certificate_days(self, now: float) -> float | None:
        return None if self.certificate_ends is None else (self.certificate_ends - now) / DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Seen:
    """All that health is judged by, at `now`, in seconds since 1970."""

    checks: Checks
    past: Past = Past()
    known: Known = Known()
    circuit: CircuitState = "closed"
    now: float = 0.0
    why: Diagnosis | None = None  # it does not answer
    slo: float = 0.99  # the share of checks that should be answered

    @property
    def budget_left(self) -> float | None:
        """Of the failures that the objective allows, what is left; None where too little is known.

        >>> Seen(Checks([], 0, 0, True), Past(all=Span(checks=1000, failures=5)), slo=0.99).budget_left
        0.5
        """
        if self.past.all.checks < _ENOUGH:
            return None
        return round(1.0 - (1.0 - self.past.all.uptime) / (1.0 - self.slo), 4)


def health(source: str, sequence: int, found: Seen) -> SourceHealth:
    """The state of a source, with advice where there is any."""
    seen, past, known = found.checks, found.past, found.known
    p50, p95 = percentile(seen.latencies, 0.5), percentile(seen.latencies, 0.95)
    errors = seen.failures / seen.checks if seen.checks else 0.0
    used, days, since = known.connections_used, known.certificate_days(found.now), known.token_since
    return SourceHealth(
        source=source,
        sequence=sequence,
        status=_status(seen, p95, errors, days),
        latency_p50_seconds=p50,
        latency_p95_seconds=p95,
        error_rate=round(errors, 4),
        uptime=round(past.all.uptime if past.all.checks else 1.0 - errors, 4),
        slo=found.slo,
        error_budget_left=found.budget_left,
        trend=past.trend,
        circuit=found.circuit,
        database_bytes=known.database_bytes,
        growth_bytes_per_day=past.all.growth_per_day,
        connections_used=None if used is None else round(min(1.0, used), 4),
        pool_used=known.pool_used,
        certificate_days=None if days is None else round(days, 1),
        token_age_seconds=None if since is None else round(max(0.0, found.now - since), 1),
        advice=tuple(map(_in_words, recommendations(found))),
    )


def _status(seen: Checks, p95: float | None, errors: float, days: float | None) -> Literal["healthy", "degraded", "down"]:
    if not seen.reachable:
        return "down"
    ended = days is not None and days <= 0
    return "degraded" if (p95 or 0.0) > _SLOW_SECONDS or errors > _MANY_ERRORS or ended else "healthy"


def recommendations(all_seen: Seen) -> tuple[Diagnosis, ...]:
    """What somebody should do about it, the most urgent first."""
    seen, past, known = all_seen.checks, all_seen.past, all_seen.known
    p95 = percentile(seen.latencies, 0.95) or 0.0
    errors = seen.failures / seen.checks if seen.checks else 0.0
    found = [*([all_seen.why] if all_seen.why else []), *_ending(known.certificate_days(all_seen.now))]
    if p95 > _SLOW_SECONDS:
        found.append(caution("slow"))
    if seen.reachable and errors > _MANY_ERRORS:
        found.append(caution("shaky"))
    if (all_seen.budget_left or 0.0) < 0.0:
        found.append(caution("slo_missed"))
    if past.trend == "worse":
        found.append(caution("worse"))
    if (known.connections_used or 0.0) > _FULL:
        found.append(caution("connections_scarce"))
    growth, size = past.all.growth_per_day, known.database_bytes
    if growth and size and growth > _FAST_GROWTH * size:
        found.append(caution("grows_fast"))
    return tuple(found)


def _ending(days: float | None) -> Iterator[Diagnosis]:
    """In words that stay the same from day to day: a change is an event."""
    if days is not None and days <= SOON_DAYS:
        yield caution("tls_ends_soon", "the server's certificate has ended" if days <= 0 else "")


def _in_words(found: Diagnosis) -> str:
    return f"{found.cause[:1].upper()}{found.cause[1:]}: {found.remedy[:1].lower()}{found.remedy[1:]}"


def worth_saying_of(now: SourceHealth) -> str:
    """What of its health a reader would act on: status, circuit, trend and advice, not numbers that move by themselves."""
    return sha256(repr((now.status, now.circuit, now.trend, now.advice)).encode()).hexdigest()[:16]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile, None of nothing.

    >>> percentile([0.3, 0.1, 0.2], 0.5)
    0.2
    """
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 6)


def worth_saying(event: SourceConnected) -> str:
    """A digest of what a reader would act on: numbers that move by themselves (sizes, latencies, lag) are left out."""
    server = event.server.model_copy(
        update={"round_trip_seconds": 0.0, "clock_skew_seconds": 0.0, "database_bytes": 0, "connections": None, "replica_lag_seconds": None}
    )
    privileges = event.privileges.model_copy(update={"tables_visible": 0, "tables_readable": 0, "schemas_visible": 0})
    codes = tuple(sorted(warning.code for warning in event.warnings if warning.code not in _MOVING))
    steady = event.model_copy(update={"server": server, "privileges": privileges, "sequence": 1, "warnings": ()})
    return sha256(steady.to_json() + repr(codes).encode()).hexdigest()
