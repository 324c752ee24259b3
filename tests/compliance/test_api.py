"""The HTTP edge on a real PostgreSQL: policies, violations, waivers, reports."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from io import StringIO

import httpx
import pytest

from services.compliance import api
from services.compliance.api import waiver
from services.compliance.store import Views
from shared.errors import Denied
from shared.settings import Machine
from shared.web.auth import SignIns
from shared.web.server import edge_app
from tests.compliance.examples import GOOD, SOURCE, asset, column
from tests.compliance.test_handlers import PEOPLE, Line, line
from tests.compliance.test_policy import PACK

__all__ = ["line"]
TOKEN = "test-token"


@pytest.fixture
async def client(line: Line) -> AsyncIterator[httpx.AsyncClient]:
    """A signed-in client; two tables are judged, one of them holds cards on an open line."""
    posture = GOOD.model_copy(update={"tls_in_transit": False, "encrypted_at_rest": None})
    pan = column("pan", "card_pan", "card_pan")
    await line.classified(asset(PEOPLE, posture=posture), asset(pan, PEOPLE, table="payments", posture=posture, comment=""))
    app = edge_app(api.routes(line.store, Views(line.pool), line.assessor), token=TOKEN)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {TOKEN}"}) as signed_in:
        yield signed_in


async def test_policies_are_listed_and_shown(client: httpx.AsyncClient) -> None:
    """Found by name or by framework, with what each control reads."""
    listed = (await client.get("/policies")).json()["policies"]
    assert [policy["name"] for policy in listed] == ["ccpa", "gdpr", "hipaa", "pci-dss", "soc2"]
    shown = (await client.get("/policies/PCI DSS 4.0")).json()
    assert {control["id"]: control["facts"] for control in shown["controls"]}["3.5.1"] == ["plain.pan", "asset.stores", "holds.pan"]
    assert (await client.get("/policies/iso")).status_code == 404


async def test_violations_are_filtered_and_sorted(client: httpx.AsyncClient) -> None:
    """Worst first; each filter narrows."""
    everything = (await client.get("/violations")).json()
    assert everything["total"] == len(everything["violations"])
    assert everything["violations"][0]["control"] == "pci-dss:3.5.1"
    severities = [row["severity"] for row in everything["violations"]]
    assert severities == sorted(severities, key=["critical", "high", "medium", "low"].index)
    gdpr = (await client.get("/violations", params={"framework": "GDPR", "severity": "medium", "source": SOURCE})).json()["violations"]
    assert {(row["framework"], row["severity"]) for row in gdpr} == {("GDPR", "medium")}
    assert (await client.get("/violations", params={"source": "default/other"})).json() == {"violations": [], "total": 0}
    grouped = (await client.get("/violations", params={"group": "control", "framework": "soc2"})).json()["violations"]
    assert {row["control"]: row["tables"] for row in grouped}["soc2:CC6.7"] == 2


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"severity": "awful"}, "unknown_severity"),
        ({"state": "gone"}, "unknown_state"),
        ({"framework": "iso"}, "unknown_framework"),
        ({"limit": "-1"}, "not_a_number"),
    ],
)
async def test_a_wrong_filter_is_explained(client: httpx.AsyncClient, params: dict[str, str], code: str) -> None:
    """Never an empty list for a misspelt word."""
    answer = await client.get("/violations", params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_another_tenants_violation_is_not_there(client: httpx.AsyncClient, line: Line) -> None:
    """Neither to look at nor to waive; the refusal goes to the ledger; who may look only is told what lacks."""
    first = (await client.get("/violations")).json()["violations"][0]
    path, waiver = f"/violations/{first['violation']}", {"reason": "long enough to be one", "days": 3}
    denied: list[Denied] = []

    async def keep(error: Denied) -> None:
        denied.append(error)

    own = first["asset"].partition("/")[0]
    machines = {
        name: Machine(sha256=sha256(name.encode()).hexdigest(), roles=roles, tenant=tenant)
        for name, roles, tenant in (("stranger", ("admin",), "other"), ("viewer", ("viewer",), own), ("steward", ("steward",), own))
    }
    app = edge_app(api.routes(line.store, Views(line.pool), line.assessor), token="t", signs=SignIns("t", machines=machines), record=keep)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as http:
        codes = {}
        for who in machines:
            headers = {"Authorization": f"Bearer {who}"}
            shown, waived = await http.get(path, headers=headers), await http.post(f"{path}/waive", headers=headers, json=waiver)
            codes[who] = (shown.status_code, waived.status_code)
            listed = (await http.get("/violations", headers=headers)).json()["total"]
            found = (await http.get("/reports/gdpr", headers=headers)).json()["controls"]
            assert (listed > 0, any(control["fail"] for control in found)) == (who != "stranger", who != "stranger")
    assert codes == {"stranger": (404, 404), "viewer": (200, 403), "steward": (200, 200)}
    assert [(each.actor, each.action) for each in denied] == [
        ("machine:stranger", "violation.read"),
        ("machine:stranger", "violation.read"),
        ("machine:viewer", "violation.waive"),
    ]


async def test_a_violation_is_waived_and_shown(client: httpx.AsyncClient, line: Line) -> None:
    """With owner, reason and end; it leaves the open list and says so on the bus."""
    first = (await client.get("/violations")).json()["violations"][0]
    path = f"/violations/{first['violation']}"
    await line.said()
    answer = await client.post(f"{path}/waive", json={"reason": "numbers are test cards", "days": 30, "owner": "payments-team"})
    assert (answer.status_code, answer.json()["waived_by"]) == (200, "token:local for payments-team")
    shown = (await client.get(path)).json()
    assert (shown["state"], shown["waived_reason"]) == ("waived", "numbers are test cards")
    assert await line.topics() == ["violation.waived", "audit.recorded", "compliance.evaluated"]
    assert first["violation"] not in [row["violation"] for row in (await client.get("/violations")).json()["violations"]]
    assert (await client.get("/violations", params={"state": "waived"})).json()["total"] == 1
    assert (await client.post(f"{path}/unwaive", json={"reason": ""})).json()["code"] == "waiver_reason"
    reason = {"reason": "real numbers were found"}
    assert (await client.post(f"{path}/unwaive", json=reason)).json()["state"] == "open"
    ended = await line.said()
    assert [topic for topic, _ in ended] == ["audit.recorded", "compliance.evaluated", "violation.opened"]
    assert "violation.unwaive" in str(ended[0][1])
    again = await client.post(f"{path}/unwaive", json=reason)
    assert (again.status_code, again.json()["code"]) == (409, "violation_not_waived")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"days": 3}, "waiver_reason", id="no reason"),
        pytest.param({"reason": "because of it all"}, "waiver_expiry", id="no end"),
        pytest.param({"reason": "because of it all", "expires": "2020-01-01"}, "waiver_expiry", id="in the past"),
        pytest.param({"reason": "because of it all", "days": 4000}, "waiver_expiry", id="for ever"),
        pytest.param([], "not_an_object", id="no object"),
    ],
)
async def test_a_waiver_without_reason_or_end_is_refused(client: httpx.AsyncClient, body: object, code: str) -> None:
    """An exception has an owner, a reason and an end."""
    first = (await client.get("/violations")).json()["violations"][0]
    answer = await client.post(f"/violations/{first['violation']}/waive", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert (await client.post("/violations/nonsense/waive", json=body)).json()["code"] == "not_an_id"


@pytest.mark.parametrize(
    ("given", "end"),
    [
        pytest.param("2026-12-31", "2026-12-31T23:59:59+00:00", id="a day: its end"),
        pytest.param("2026-12-31T18:00", "2026-12-31T18:00:00+00:00", id="a moment"),
        pytest.param("2026-12-31T18:00+02:00", "2026-12-31T16:00:00+00:00", id="elsewhere"),
    ],
)
def test_a_waiver_ends_when_a_person_means(given: str, end: str) -> None:
    assert waiver({"reason": "because of it all", "expires": given}, datetime(2026, 12, 31, tzinfo=UTC))[1].isoformat() == end


async def test_a_report_as_json_and_as_a_table(client: httpx.AsyncClient) -> None:
    """The same numbers for machines and for spreadsheets."""
    report = (await client.get("/reports/soc2")).json()
    rows = {row["control"]: row for row in report["controls"]}
    assert (rows["CC6.7"]["fail"], rows["CC6.7"]["pass"], rows["CC2.1"]["fail"]) == (2, 0, 1)
    text = (await client.get("/reports/soc2", params={"format": "csv"})).text
    table = {row["control"]: row for row in csv.DictReader(StringIO(text))}
    assert table["CC6.7"]["fail"] == "2"
    assert table["CC2.1"]["tables"] == f"{SOURCE}/shop.public.payments"


async def test_a_pack_is_tried_without_being_kept(client: httpx.AsyncClient, line: Line) -> None:
    """It says what would be found on the stored assets; nothing is said on the bus."""
    await line.said()
    found = (await client.post("/policies/test", json={"pack": PACK})).json()
    assert (found["policy"], found["assets"], found["pass"], found["fail"]) == ("house@1.0.0", 2, 1, 1)
    assert found["examples"][0]["message"] == "public.payments has no comment."
    wrong = await client.post("/policies/test", json={"pack": PACK.replace("asset.documented\n", "asset.documentd\n"), "file": "h.yaml"})
    assert wrong.json()["faults"] == [
        {"file": "h.yaml", "line": 11, "message": "asset.documentd is not a fact; did you mean asset.documented?"}
    ]
    assert await line.topics() == []


async def test_without_a_token_nothing_is_told(client: httpx.AsyncClient) -> None:
    """Every route asks who is there."""
    del client.headers["Authorization"]
    for path in ("/policies", "/violations", "/reports/gdpr"):
        assert (await client.get(path)).status_code == 401
