"""Which endpoint of a hybrid source is read: its primary, or the warm secondary. A pure machine: looks go in, a move comes out.

    primary ── `failures` bad looks in a row, secondary fit ──▶ secondary
    secondary ── the primary well for `failback_after_seconds` ──▶ primary      (failback: auto)
    secondary ── `failures` bad looks in a row, primary answers ──▶ primary

Fit is a secondary that answers and, while it only repeats the primary, was close enough behind it when the primary last answered.
Nobody returns to a primary that lost its role: where the secondary was promoted, it stays, and two servers that both take writes
are told to a person.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

from shared.contracts.connection import Diagnosis
from shared.contracts.source import ReplicaConfig

Role = Literal["primary", "secondary"]
State = Literal["primary", "primary_failing", "secondary", "secondary_failing", "returning", "two_primaries", "none"]

WORDS: dict[State, str] = {
    "primary": "reads from the primary",
    "primary_failing": "reads from the primary, which did not answer just now",
    "secondary": "reads from the secondary",
    "secondary_failing": "reads from the secondary, which did not answer just now",
    "returning": "reads from the secondary; the primary is well again and takes over when it has stayed so",
    "two_primaries": "reads from the secondary; both endpoints take writes, so nobody returns by itself",
    "none": "neither endpoint can be read from",
}
CAUSES = {
    found.code: found
    for found in (
        Diagnosis(
            code="primary_demoted",
            cause="the primary became a replica, and the secondary takes the writes",
            remedy="Exchange host and replica_config.secondary where this is to stay.",
            severity="warning",
        ),
        Diagnosis(code="primary_back", cause="the primary has been well for long enough", severity="info"),
        Diagnosis(code="by_person", cause="a person asked for it", severity="info"),
    )
}


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an endpoint. `code`: empty where it answered, else of the failure catalogue. Lag None: none, or not told."""

    code: str = ""
    is_replica: bool = False
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """When to move. `failures`: bad looks in a row."""

    failures: int
    max_lag_seconds: float
    failback: str
    failback_after_seconds: float

    @classmethod
    def of(cls, config: ReplicaConfig, failures: int) -> Rules:
        return cls(failures, config.max_lag_seconds, config.failback, config.failback_after_seconds)


@dataclass(frozen=True, slots=True)
class Position:
    """Where we are. `failing`: bad looks at the active endpoint in a row; `well_since`: since when the primary could take over again;
    `lag_before`: of the secondary, when the primary last answered."""

    active: Role = "primary"
    state: State = "primary"
    failing: int = 0
    well_since: float | None = None
    lag_before: float | None = None

    def shown(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name in ("active", "state")} | {"says": WORDS[self.state]}


class Move(NamedTuple):
    """Read from `to` from now on, because of `code`: one of `CAUSES`, or of the failure catalogue."""

    to: Role
    code: str


def step(was: Position, rules: Rules, primary: Look, secondary: Look, at: float) -> tuple[Position, Move | None]:
    """The next position, and the move that leads there, if any. `at` in seconds, of any clock that never goes back."""
    on = _on_primary if was.active == "primary" else _on_secondary
    return on(was, rules, primary, secondary, at)


def ordered(to: Role, target: Look) -> Move | None:
    """A person's wish, where the endpoint answers; hysteresis and lag are theirs to judge."""
    return None if target.code else Move(to, "by_person")


def moved(to: Role) -> Position:
    """Just arrived."""
    return Position(to, to)


def _on_primary(was: Position, rules: Rules, primary: Look, secondary: Look, _: float) -> tuple[Position, Move | None]:
    demoted = not primary.code and primary.is_replica and _takes_writes(secondary)
    if not primary.code and not demoted:
        return Position(lag_before=None if secondary.code else secondary.lag_seconds), None
    failing = was.failing + 1
    if failing < rules.failures:
        return replace(was, state="primary_failing", failing=failing), None
    if _fit(secondary, was.lag_before, rules):
        return moved("secondary"), Move("secondary", "primary_demoted" if demoted else primary.code)
    return replace(was, state="none" if primary.code else "primary_failing", failing=failing), None


def _on_secondary(was: Position, rules: Rules, primary: Look, secondary: Look, at: float) -> tuple[Position, Move | None]:
    if secondary.code:
        failing = was.failing + 1
        if failing >= rules.failures and not primary.code:
            return moved("primary"), Move("primary", secondary.code)
        return Position("secondary", "none" if primary.code else "secondary_failing", failing), None
    if primary.code:
        return moved("secondary"), None
    if _takes_writes(primary) and _takes_writes(secondary):
        return Position("secondary", "two_primaries"), None
    if primary.is_replica or rules.failback != "auto":
        return moved("secondary"), None
    since = at if was.well_since is None else was.well_since
    if at - since >= rules.failback_after_seconds:
        return moved("primary"), Move("primary", "primary_back")
    return Position("secondary", "returning", well_since=since), None


def _takes_writes(seen: Look) -> bool:
    return not seen.code and not seen.is_replica


def _fit(secondary: Look, lag_before: float | None, rules: Rules) -> bool:
    """A lag that nobody tells (no privilege to see it) does not count against a secondary that answers."""
    if secondary.code:
        return False
    lag = secondary.lag_seconds if lag_before is None else lag_before
    return not secondary.is_replica or lag is None or lag <= rules.max_lag_seconds
