"""When a source that failed may be dialled again: one budget of retries and one circuit for each source, shared by every worker.

Closed: dials go. After several failures in a row, or one that only a person can end, the circuit opens and nobody dials until its time is
over. Then it is half open: one dial is tried, and its outcome closes the circuit or opens it for longer. Each retry takes one from a
budget that fills up slowly, so that a source that fails now and then is not asked for ever more often.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.contracts.connection import CircuitState as State

OPENS_AFTER = 5  # failures in a row
BUDGET, REFILL_SECONDS = 10.0, 60.0  # retries at most; one comes back in this time
FIRST_SECONDS, LONGEST_SECONDS = 2.0, 300.0
TRIAL_SECONDS = 60.0  # what the one dial of a half open circuit has, before another one may try
LASTING_SECONDS = 300.0  # nothing changes until a person acts, so it is asked seldom


@dataclass(frozen=True, slots=True)
class Circuit:
    """`failures` in a row; `retries` left at `at`, below 0 where the next one is paid in advance; `until`: an open circuit lets nobody
    through before, and a half open one nobody beside the dial that was let through. `code`: of the last failure. Times are seconds
    since 1970."""

    state: State = "closed"
    failures: int = 0
    retries: float = BUDGET
    at: float = 0.0
    until: float = 0.0
    code: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer to: may I dial? `wait_seconds` says how long not; 0 lets through, and then `circuit` is what to store."""

    circuit: Circuit
    wait_seconds: float = 0.0


def asked(circuit: Circuit, now: float) -> Asked:
    """May a dial be made now? An open circuit whose time is over lets exactly this one through, and the next one where it never came back.

    >>> asked(Circuit("open", 5, until=100.0), 90.0).wait_seconds, asked(Circuit("open", 5, until=100.0), 100.0).circuit.state
    (10.0, 'half_open')
    """
    if circuit.state == "closed":
        return Asked(circuit)
    if now < circuit.until:
        return Asked(circuit, circuit.until - now)
    return Asked(replace(circuit, state="half_open", retries=_retries(circuit, now), at=now, until=now + TRIAL_SECONDS))


def failed(circuit: Circuit, now: float, *, lasting: bool, dice: float, code: str = "") -> Circuit:
    """The dial failed: when the next one may come is in `until`. `dice` in [0, 1) makes the delay: all of it is chance (full jitter)."""
    failures, left = circuit.failures + 1, _retries(circuit, now)
    cap = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 20))
    wait = LASTING_SECONDS * (0.5 + dice / 2) if lasting else cap * dice
    if left < 1.0:
        wait = max(wait, (1.0 - left) * REFILL_SECONDS)
    opens = lasting or circuit.state != "closed" or failures >= OPENS_AFTER or left < 1.0
    return Circuit("open" if opens else "closed", failures, left - 1.0, now, now + wait, code)


def pressed(circuit: Circuit, now: float) -> Circuit:
    """A person asks: the next dial goes through at once, whatever failed before; the budget stays what it is."""
    state: State = "closed" if circuit.state == "closed" else "half_open"
    return replace(circuit, state=state, retries=_retries(circuit, now), at=now, until=0.0)


def _retries(circuit: Circuit, now: float) -> float:
    """What is left by now; a clock that was set back refills nothing."""
    return min(BUDGET, circuit.retries + max(0.0, now - circuit.at) / REFILL_SECONDS) if circuit.at else BUDGET
