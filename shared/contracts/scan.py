"""Events about scans: asked for, completed, failed."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from shared.contracts.base import Contract, Known, Ratio, SourceKey
from shared.contracts.connection import Diagnosis
from shared.contracts.source import Scope


class ScanRequested(Contract):
    """A request: look at this source again. Without `scope`, all of it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    source: SourceKey
    scope: Scope = Scope()
    mode: Known[Literal["incremental", "full"]] = Field(default="incremental", description="full: say every asset again")
    priority: Known[Literal["person", "normal", "bulk"]] = "normal"
    reason: str = ""


class LeftOut(Contract):
    """Something a scan did not look at, and why."""

    what: str
    why: str
    count: int = Field(default=1, ge=1)
    names: tuple[str, ...] = Field(
        default=(), max_length=100, description="which, by the assets' keys: the first of them; of columns their types"
    )


class PaceChange(Contract):
    """A step down or up during a scan. `at_seconds` counts from when the scan began or went on, `rest` is the share of time in which
    nothing is asked."""

    at_seconds: float = Field(ge=0)
    concurrency: int = Field(ge=1)
    batch: int = Field(ge=1, description="tables whose samples are read at once")
    rest: Ratio = 0.0
    cause: str = Field(examples=["active_sessions", "replication_lag", "slow_statements", "throttled", "pool_wait", "quiet"])


class ScanPaced(PaceChange):
    """A scan that runs reads its source faster or slower from now on, because of what the server showed."""

    source: SourceKey
    scan_id: str
    trace_id: str = ""


class ScanCompleted(Contract):
    """The manifest: what was seen, said and left out. Not `complete`: parts were not looked at, and nothing in them is said gone."""

    source: SourceKey
    scan_id: str
    complete: bool
    scope: Scope = Scope()
    tables: int = Field(ge=0, description="assets seen")
    columns: int = Field(ge=0)
    changed: int = Field(ge=0, description="schema.discovered said by this scan")
    removed: int = Field(default=0, ge=0)
    unchanged: int = Field(default=0, ge=0)
    text_columns: int = Field(default=0, ge=0)
    text_columns_with_evidence: int = Field(default=0, ge=0)
    sampled_values: int = Field(default=0, ge=0)
    statements: int = Field(default=0, ge=0)
    bytes_read: int = Field(default=0, ge=0, description="of sampled values")
    pace: tuple[PaceChange, ...] = Field(default=(), max_length=100, description="the last changes of how fast the source was read")
    seconds: float = Field(default=0.0, ge=0)
    seconds_by_phase: dict[str, float] = Field(default_factory=dict)
    digest: str = Field(description="sha256 over the sorted keys and fingerprints of all assets seen")
    left_out: tuple[LeftOut, ...] = ()
    linked_traces: bool = Field(default=False, description="True: each asset has its own trace, linked to the scan's")
    trace_id: str = ""


class ScanFailed(Contract):
    """The scan ended early and removed nothing."""

    source: SourceKey
    scan_id: str
    diagnosis: Diagnosis
    progress: Ratio = 0.0
    trace_id: str = ""


class EventDeadLettered(Contract):
    """A service put one record aside. No bytes, no key of a request: only where it is and why."""

    service: str
    dead_letter: str = Field(description="group, topic, partition, offset")
    topic: str
    error_code: str
    attempts: int = Field(ge=1)
    asset: str = Field(default="", description="the record's key where it is a fact's, else empty")
    scan_id: str = ""
