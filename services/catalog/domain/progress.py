"""When is a scan done, how far has it come, and where is it stuck? Counts and times in, an answer out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

Record = dict[str, Any]

# Who takes the line on after each topic: a dead letter here ends the way of its asset.
LINE: tuple[tuple[str, str], ...] = (
    ("classifier", "schema.discovered"),
    ("compliance", "asset.classified"),
    ("tagger", "compliance.evaluated"),
    ("catalog", "schema.discovered"),
    ("catalog", "tags.derived"),
)
LINE_ENDS = [f"{service} {topic}" for service, topic in LINE]
STAGES = ("found", "classified", "judged", "tagged")


class Scan(NamedTuple):
    """A scan as heard so far. `doc` is its manifest, `failure` a diagnosis; `followed`: a later scan of the source has completed."""

    scan_id: str
    source: str
    first_at: datetime
    completed_at: datetime | None
    failed_at: datetime | None
    trace_id: str
    doc: Record | None
    failure: Record | None
    followed: bool

    @property
    def changed(self) -> int:
        """Assets that the manifest says were said."""
        return int((self.doc or {}).get("changed", 0))


class Counts(NamedTuple):
    """Steps of one scan. `unseen`: put aside before the catalog heard of them; they count as dead, too."""

    found: int
    classified: int
    judged: int
    tagged: int
    discovered_at: datetime | None = None
    classified_at: datetime | None = None
    judged_at: datetime | None = None
    tagged_at: datetime | None = None
    removed: int = 0
    superseded: int = 0
    dead: int = 0
    unseen: int = 0

    @property
    def ended(self) -> int:
        """Assets whose way through the line is over."""
        return self.tagged + self.removed + self.superseded + self.dead

    @property
    def last_at(self) -> datetime | None:
        times = [at for at in (self.discovered_at, self.classified_at, self.judged_at, self.tagged_at) if at]
        return max(times, default=None)


class Waiting(NamedTuple):
    """An asset that has not come to its tags yet; `service`, `topic` and `error_code` where it was put aside."""

    asset: str
    discovered_at: datetime | None
    classified_at: datetime | None
    judged_at: datetime | None
    service: str | None
    topic: str | None
    error_code: str | None
    state: str

    def at(self, now: datetime) -> Record:
        """Which stage it waits for, whose work that is, since when, for how many seconds."""
        stage, service, since = self._stage()
        seconds = max(0.0, (now - since).total_seconds()) if since else 0.0
        told: Record = {"asset": self.asset, "stage": stage, "service": service, "since": since, "seconds": round(seconds, 1)}
        if self.state == "dead":
            told |= {"state": "dead", "service": self.service, "topic": self.topic, "error_code": self.error_code}
        return told

    def _stage(self) -> tuple[str, str, datetime | None]:
        if self.judged_at:
            return "tagged", "tagger", self.judged_at
        if self.classified_at:
            return "judged", "compliance", self.classified_at
        return "classified", "classifier", self.discovered_at


def is_done(scan: Scan, counts: Counts) -> bool:
    """The rule: the manifest came, and each changed asset is tags-derived, removed or put aside (or a later event took its place).

    What the manifest counts and no event names was compacted away, which only a later scan can cause; without one it is awaited. What an
    event names is awaited also where the manifest leaves it out: a scan that was overtaken counts only what no other looked at since.
    """
    if scan.completed_at is None:
        return False
    heard_of = counts.found + counts.unseen
    awaited = heard_of if scan.followed else max(scan.changed, heard_of)
    heard = scan.followed or counts.judged >= counts.tagged  # topics do not wait for each other: tags may be heard before their judgement
    return heard and counts.ended >= awaited


def progress(scan: Scan, counts: Counts, waiting: list[Waiting], *, now: datetime, stuck_after_seconds: float) -> Record:
    """The whole answer about one scan."""
    done = is_done(scan, counts)
    failed = scan.failed_at is not None and scan.completed_at is None
    quiet_since = max(at for at in (counts.last_at, scan.completed_at, scan.first_at) if at is not None)
    quiet_seconds = (now - quiet_since).total_seconds()
    state = "done" if done else "failed" if failed else "flowing" if scan.completed_at else "scanning"
    return {
        "source": scan.source,
        "scan_id": scan.scan_id,
        "trace_id": scan.trace_id,
        "state": state,
        "done": done,
        "failed": failed,
        "stuck": not done and not failed and quiet_seconds > stuck_after_seconds,
        "quiet_seconds": round(max(0.0, quiet_seconds), 1),
        "total": max(scan.changed, counts.found) if scan.completed_at else None,
        **{stage: getattr(counts, stage) for stage in STAGES},
        "removed": counts.removed,
        "superseded": counts.superseded,
        "dead": counts.dead,
        "waiting": [] if done else [one.at(now) for one in waiting if one.state == "waiting"],
        "dead_letters": [one.at(now) for one in waiting if one.state == "dead"],
        "diagnosis": scan.failure if failed else None,
        "manifest": scan.doc,
    }


def seconds(scan: Scan, counts: Counts, source: Record | None) -> dict[str, float]:
    """Seconds from the start of the scan until each stage said its last word: `{connected, discovered, classified, judged, tagged, total}`.

    The start is when the source was registered, where that began the scan (same trace); else when the scan began.
    """
    start, marks = _start(scan, source), {}
    if source and source["trace_id"] == scan.trace_id and source["connected_at"]:
        marks["connected"] = source["connected_at"]
    marks["discovered"] = scan.completed_at or counts.discovered_at
    marks |= {"classified": counts.classified_at, "judged": counts.judged_at, "tagged": counts.tagged_at}
    told = {stage: round(max(0.0, (at - start).total_seconds()), 3) for stage, at in marks.items() if at}
    return told | ({"total": max(told.values())} if told else {})


def _start(scan: Scan, source: Record | None) -> datetime:
    if source and scan.trace_id and source["trace_id"] == scan.trace_id:
        registered: datetime = source["registered_at"]
        return min(registered, scan.first_at)
    began = scan.completed_at.timestamp() - float((scan.doc or {}).get("seconds", 0.0)) if scan.completed_at else None
    return min(scan.first_at, datetime.fromtimestamp(began, tz=scan.first_at.tzinfo)) if began else scan.first_at


def before_scan(
    source: str,
    known: Record | None,
    rejected: Record | None,
    *,
    now: datetime,
    stuck_after_seconds: float,
    asked_at: datetime | None = None,
) -> Record:
    """The answer while no scan of the source has been heard of: refused, unknown, waiting for its connection, or unreachable.

    Who asks for a scan at `asked_at` waits since then, and is not told what was found out before.
    """
    state, diagnosis, since = _reach(known, rejected, asked_at)
    since = max((at for at in (since, asked_at) if at), default=None)
    quiet_seconds = max(0.0, (now - since).total_seconds()) if since else 0.0
    failed = state in ("unreachable", "rejected")
    waits_for = {"registered": "connector", "connected": "discovery"}.get(state)
    waiting = [{"asset": source, "stage": "found", "service": waits_for, "since": since, "seconds": round(quiet_seconds, 1)}]
    return {
        "source": source,
        "scan_id": "",
        "trace_id": known["trace_id"] if known else "",
        "state": state,
        "done": False,
        "failed": failed,
        "stuck": waits_for is not None and quiet_seconds > stuck_after_seconds,
        "quiet_seconds": round(quiet_seconds, 1),
        "total": None,
        **dict.fromkeys((*STAGES, "removed", "superseded", "dead"), 0),
        "waiting": waiting if waits_for else [],
        "dead_letters": [],
        "diagnosis": diagnosis,
        "manifest": None,
    }


def _reach(known: Record | None, rejected: Record | None, asked_at: datetime | None) -> tuple[str, Record | None, datetime | None]:
    if rejected and (known is None or rejected["at"] > known["registered_at"]):
        problems = rejected["doc"]["problems"]
        cause = "; ".join(f"{problem['field']}: {problem['message']}" for problem in problems)
        remedy = " ".join(problem.get("remedy", "") for problem in problems).strip()
        return "rejected", {"code": "rejected", "cause": cause, "remedy": remedy, "problems": problems}, rejected["at"]
    if known is None:
        return "unknown", None, None
    if is_unreachable(known) and (asked_at is None or known["unreachable_at"] >= asked_at):
        return "unreachable", known["unreachable"]["diagnosis"], known["unreachable_at"]
    if known["connected_at"]:
        return "connected", None, known["connected_at"]
    return "registered", None, known["registered_at"]


def is_unreachable(source: Record) -> bool:
    """Is the connector's newest word about this source that it cannot be reached?"""
    return (source["unreachable_sequence"] or 0) > (source["connected_sequence"] or 0)
