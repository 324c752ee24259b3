"""Circuit and health by themselves: when a source is dialled again, and what is said of how it does."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from services.connector.domain.health import DAY_SECONDS, Checks, Known, Past, Seen, Span, health, recommendations, worth_saying_of
from shared.db.circuit import BUDGET, LONGEST_SECONDS, OPENS_AFTER, REFILL_SECONDS, TRIAL_SECONDS, Circuit, asked, failed, pressed

FINE = Checks([0.01] * 5, 5, 0, True)


def test_the_circuit_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    """Closed, open, half open, and back: closed by an answer, opened again by a failure."""
    circuit, now = Circuit(), 1000.0
    for _ in range(OPENS_AFTER):
        assert (circuit.state, asked(circuit, now).wait_seconds) == ("closed", 0.0)
        circuit = failed(circuit, now, lasting=False, dice=0.5)
    assert (circuit.state, circuit.failures) == ("open", OPENS_AFTER)
    assert asked(circuit, now).wait_seconds == circuit.until - now > 0
    tried = asked(circuit, circuit.until).circuit
    assert (tried.state, tried.failures) == ("half_open", OPENS_AFTER)
    assert asked(tried, circuit.until).wait_seconds == TRIAL_SECONDS  # nobody beside it
    assert asked(tried, tried.until).wait_seconds == 0  # who was let through never came back
    assert failed(tried, circuit.until, lasting=False, dice=0.0).state == "open"


def test_what_only_a_person_can_repair_opens_at_once_and_is_asked_seldom() -> None:
    circuit = failed(Circuit(), 1000.0, lasting=True, dice=0.0)
    assert (circuit.state, circuit.until) == ("open", 1150.0)
    assert asked(pressed(circuit, 1001.0), 1001.0).wait_seconds == 0


def test_delays_are_chance_under_a_growing_cap() -> None:
    """Full jitter: uniform from nothing to the cap, which doubles up to five minutes; the mean is half of it."""
    dice, circuit, caps = random.Random(7), Circuit(), [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    for cap in caps:
        waits = [failed(circuit, 1000.0, lasting=False, dice=dice.random()).until - 1000.0 for _ in range(400)]
        assert max(waits) <= cap
        assert 0.4 * cap < sum(waits) / len(waits) < 0.6 * cap
        circuit = replace(failed(circuit, 1000.0, lasting=False, dice=0.5), retries=BUDGET)


@given(some.lists(some.tuples(some.floats(0, 0.999), some.floats(0, 30)), min_size=30, max_size=120))
def test_the_budget_bounds_the_retries_whatever_the_dice_say(rolls: list[tuple[float, float]]) -> None:
    """Dialled as soon as it may be: never more than the budget and what came back since, from the first failure on."""
    circuit, start = failed(Circuit(), 1000.0, lasting=False, dice=0.0), 1000.0
    now, tries = start, 1
    for dice, late in rolls:
        now = max(now, circuit.until) + late
        circuit = failed(asked(circuit, now).circuit, now, lasting=False, dice=dice)
        tries += 1
        assert tries <= BUDGET + 2 + (now - start) / REFILL_SECONDS
        assert circuit.until - now <= max(LONGEST_SECONDS, REFILL_SECONDS)


@pytest.mark.parametrize(
    ("seen", "status", "codes"),
    [
        (Seen(FINE), "healthy", set()),
        (Seen(Checks([2.0] * 5, 5, 0, True)), "degraded", {"slow"}),
        (Seen(Checks([0.01] * 5, 10, 5, True)), "degraded", {"shaky"}),
        (Seen(Checks([0.01], 3, 1, False)), "down", set()),
        (Seen(FINE, known=Known(certificate_ends=3 * DAY_SECONDS)), "healthy", {"tls_ends_soon"}),
        (Seen(FINE, known=Known(certificate_ends=DAY_SECONDS), now=DAY_SECONDS), "degraded", {"tls_ends_soon"}),
        (Seen(FINE, known=Known(connections=90, max_connections=100)), "healthy", {"connections_scarce"}),
        (Seen(FINE, Past(all=Span(100, 0, 1.0, 100, 400, 3.0)), Known(database_bytes=400)), "healthy", {"grows_fast"}),
        (Seen(FINE, Past(all=Span(1000, 11, 1.0))), "healthy", {"slo_missed"}),
        (Seen(FINE, Past(all=Span(1000, 11, 1.0)), slo=0.98), "healthy", set()),
        (Seen(FINE, Past(all=Span(10, 1, 1.0))), "healthy", set()),  # too few to say
    ],
)
def test_health_comes_with_what_to_do(seen: Seen, status: str, codes: set[str]) -> None:
    """Down is down; slow, shaky or with an expired certificate is degraded; each recommendation is a sentence."""
    found = health("a/b", 1, seen)
    assert (found.status, {each.code for each in recommendations(seen)}) == (status, codes)
    assert len(found.advice) == len(codes)
    assert all(": " in each and each.endswith(".") for each in found.advice)


@pytest.mark.parametrize(
    ("day", "before", "trend"),
    [
        (Span(100, 0, 1.0), Span(600, 0, 6.0), "steady"),
        (Span(100, 0, 5.0), Span(600, 0, 6.0), "worse"),
        (Span(100, 10, 0.9), Span(600, 0, 6.0), "worse"),
        (Span(100, 0, 1.0), Span(600, 0, 30.0), "better"),
        (Span(100, 0, 1.0), Span(600, 90, 6.0), "better"),
        (Span(100, 0, 0.2), Span(600, 0, 0.6), "steady"),  # twice as slow, but by a millisecond
        (Span(5, 0, 1.0), Span(600, 0, 6.0), "unknown"),
    ],
)
def test_a_trend_sets_the_last_day_beside_the_week_before(day: Span, before: Span, trend: str) -> None:
    assert Past(day, before).trend == trend


def test_only_what_a_reader_would_act_on_is_worth_saying() -> None:
    """Numbers that move by themselves are not; status, circuit, trend and advice are."""
    first = worth_saying_of(health("a/b", 1, Seen(FINE)))
    assert worth_saying_of(health("a/b", 9, Seen(Checks([0.02] * 5, 6, 0, True), known=Known(database_bytes=7), now=9.0))) == first
    assert worth_saying_of(health("a/b", 1, Seen(FINE, circuit="open"))) != first
    assert worth_saying_of(health("a/b", 1, Seen(FINE, known=Known(certificate_ends=1.0)))) != first
