"""When a scan is done, and where it waits: the rule by example."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.catalog.domain.progress import Counts, Scan, Waiting, before_scan, is_done, progress, seconds
from tests.catalog.story import SOURCE, START, TRACE

LATER = START + timedelta(seconds=100)


def scan(changed: int | None, *, followed: bool = False, failed: bool = False) -> Scan:
    manifest = None if changed is None else {"changed": changed, "seconds": 1.0}
    failure = {"code": "timeout", "cause": "the server did not answer"} if failed else None
    return Scan(
        "scan-1",
        SOURCE,
        START,
        START + timedelta(seconds=2) if manifest else None,
        START if failed else None,
        TRACE,
        manifest,
        failure,
        followed,
    )


@pytest.mark.parametrize(
    ("manifest", "counts", "expected"),
    [
        pytest.param(scan(2), Counts(2, 2, 2, 2), True, id="all tagged"),
        pytest.param(scan(None), Counts(2, 2, 2, 2), False, id="the manifest has not come"),
        pytest.param(scan(0), Counts(0, 0, 0, 0), True, id="nothing changed"),
        pytest.param(scan(2), Counts(2, 2, 2, 1), False, id="one waits for its tags"),
        pytest.param(scan(2), Counts(2, 2, 1, 2), False, id="tags were heard before the judgement that they rest on"),
        pytest.param(scan(2), Counts(1, 1, 1, 1), False, id="one was said but not heard of yet"),
        pytest.param(scan(2), Counts(2, 2, 1, 1, removed=1), True, id="removed on the way"),
        pytest.param(scan(2), Counts(2, 1, 1, 1, dead=1), True, id="put aside on the way"),
        pytest.param(scan(2), Counts(1, 1, 1, 1, dead=1, unseen=1), True, id="put aside before it was heard of"),
        pytest.param(scan(2), Counts(2, 1, 1, 1, superseded=1), True, id="a newer scan took it over"),
        pytest.param(scan(0), Counts(2, 2, 2, 1), False, id="overtaken: said by it and looked at by another since"),
        pytest.param(scan(9, followed=True), Counts(1, 1, 1, 1), True, id="compacted away since a later scan"),
    ],
)
def test_is_done(manifest: Scan, counts: Counts, expected: bool) -> None:
    assert is_done(manifest, counts) is expected


def waiting(**times: Any) -> Waiting:
    given = {"discovered_at": START, "classified_at": None, "judged_at": None, "service": None, "topic": None, "error_code": None}
    return Waiting(asset="acme/crm/shop.public.a", state="waiting", **(given | times))


@pytest.mark.parametrize(
    ("one", "stage", "service"),
    [
        pytest.param(waiting(), "classified", "classifier", id="found only"),
        pytest.param(waiting(classified_at=START), "judged", "compliance", id="classified"),
        pytest.param(waiting(classified_at=START, judged_at=START), "tagged", "tagger", id="judged"),
        pytest.param(waiting(judged_at=START), "tagged", "tagger", id="heard out of order"),
    ],
)
def test_what_an_asset_waits_for(one: Waiting, stage: str, service: str) -> None:
    told = one.at(START + timedelta(seconds=7))
    assert (told["stage"], told["service"], told["seconds"]) == (stage, service, 7.0)


def test_a_quiet_scan_is_stuck_and_says_where() -> None:
    """After the limit without a word the answer names the asset, the service and the seconds."""
    told = progress(scan(1), Counts(1, 0, 0, 0, discovered_at=START), [waiting()], now=LATER, stuck_after_seconds=60)
    assert (told["state"], told["done"], told["stuck"]) == ("flowing", False, True)
    assert told["waiting"][0]["service"] == "classifier"


def test_a_scan_that_moves_is_not_stuck() -> None:
    told = progress(scan(None), Counts(5, 2, 0, 0, discovered_at=LATER), [], now=LATER, stuck_after_seconds=60)
    assert (told["state"], told["total"], told["stuck"]) == ("scanning", None, False)


def test_a_failed_scan_brings_its_diagnosis() -> None:
    told = progress(scan(None, failed=True), Counts(0, 0, 0, 0), [], now=LATER, stuck_after_seconds=60)
    assert (told["state"], told["failed"], told["stuck"], told["diagnosis"]["code"]) == ("failed", True, False, "timeout")


def known(**more: Any) -> dict[str, Any]:
    times = dict.fromkeys(("connected_at", "connected_sequence", "unreachable", "unreachable_at", "unreachable_sequence"))
    return {"trace_id": TRACE, "registered_at": START, **times, **more}


@pytest.mark.parametrize(
    ("source", "state", "failed", "waits_for"),
    [
        pytest.param(None, "unknown", False, [], id="never heard of"),
        pytest.param(known(), "registered", False, ["connector"], id="registered"),
        pytest.param(known(connected_at=START, connected_sequence=1), "connected", False, ["discovery"], id="connected"),
        pytest.param(
            known(unreachable_at=START, unreachable_sequence=1, unreachable={"diagnosis": {"code": "wrong_password"}}),
            "unreachable", True, [], id="unreachable",
        ),
        pytest.param(
            known(connected_at=START, connected_sequence=2, unreachable_at=LATER, unreachable_sequence=1, unreachable={}),
            "connected", False, ["discovery"], id="the connector's newest word counts",
        ),
    ],
)  # fmt: skip
def test_before_a_scan(source: dict[str, Any] | None, state: str, failed: bool, waits_for: list[str]) -> None:
    told = before_scan(SOURCE, source, None, now=START, stuck_after_seconds=60)
    assert (told["state"], told["failed"], [one["service"] for one in told["waiting"]]) == (state, failed, waits_for)


def test_who_asks_now_is_not_told_what_was_found_out_before() -> None:
    """An old diagnosis, or an old silence, is no answer to a scan that was asked for since."""
    gone = known(unreachable_at=START, unreachable_sequence=1, unreachable={"diagnosis": {"code": "wrong_password"}})
    asked = START + timedelta(seconds=100)
    told = before_scan(SOURCE, gone, None, now=asked, stuck_after_seconds=60, asked_at=asked)
    assert (told["state"], told["failed"], told["stuck"]) == ("registered", False, False)
    waits = known(connected_at=START, connected_sequence=1)
    assert before_scan(SOURCE, waits, None, now=asked, stuck_after_seconds=60)["stuck"]
    assert not before_scan(SOURCE, waits, None, now=asked, stuck_after_seconds=60, asked_at=asked)["stuck"]


def test_a_refused_request_says_every_problem() -> None:
    problems = [{"field": "port", "message": "is not a number", "remedy": "Give 1 to 65535."}, {"field": "host", "message": "is missing"}]
    told = before_scan(SOURCE, None, {"at": LATER, "doc": {"problems": problems}}, now=LATER, stuck_after_seconds=60)
    assert told["state"] == "rejected"
    assert told["diagnosis"]["cause"] == "port: is not a number; host: is missing"


def test_seconds_count_from_the_registration_that_began_the_scan() -> None:
    """Each stage has the seconds until its last word."""
    at = [START + timedelta(seconds=s) for s in (3, 4, 5)]
    counts = Counts(1, 1, 1, 1, START + timedelta(seconds=2), *at)
    source = known(connected_at=START + timedelta(seconds=1))
    assert seconds(scan(1), counts, source) == {
        "connected": 1.0,
        "discovered": 2.0,
        "classified": 3.0,
        "judged": 4.0,
        "tagged": 5.0,
        "total": 5.0,
    }


def test_seconds_of_a_rescan_count_from_its_own_start() -> None:
    """The manifest says how long the scan took; the registration of long ago does not matter."""
    earlier = known(trace_id="another", registered_at=START - timedelta(days=9), connected_at=START - timedelta(days=9))
    counts = Counts(1, 1, 1, 1, START + timedelta(seconds=2), LATER, LATER, LATER)
    assert "connected" not in seconds(scan(1), counts, earlier)
    assert seconds(scan(1), counts, earlier)["total"] == 100.0
