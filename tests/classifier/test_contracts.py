"""Data contracts as context: a claim that is weighed with names and values, told with its reason, and taken back with the contract."""

from __future__ import annotations

from typing import Any

import pytest

from services.classifier import handlers
from services.classifier.domain.promised import promises_of, reduced
from services.classifier.domain.tables import Judge
from shared.contracts.asset import ColumnEvidence, ColumnVerdict
from shared.contracts.rules import ContractPublished
from tests.classifier.house import House
from tests.classifier.tables import column, received, seen, table


def contract(**column: Any) -> dict[str, Any]:
    """A contract on `gadgets.wobble` of the source crm."""
    told = {"name": "wobble", **column}
    return {
        "id": "gadgets", "tenant": "acme", "servers": [{"server": "crm", "password": "hunter2"}],
        "schema": [{"name": "gadgets", "physicalName": "public.gadgets", "properties": [told, 7]}, "odd"],
    }  # fmt: skip


def judged(judge: Judge, given: dict[str, Any], evidence: ColumnEvidence | None = None) -> ColumnVerdict:
    one = table("gadgets", [column("wobble", evidence)])
    return judge.judge([one], promises=[promises_of({"acme/gadgets": given}, one)])[0].columns[0]


@pytest.mark.parametrize("said", [{"classification": "email"}, {"tags": ["classification:MICROSOFT.PERSONAL.EMAIL"]}])
def test_a_claim_alone_has_a_person_asked(judge: Judge, said: dict[str, Any]) -> None:
    """By our name or another system's: likely, not sure; with values that agree it is, with values that do not it is not."""
    alone = judged(judge, contract(**said))
    assert (alone.state, alone.runner_up) == ("abstained", "email")
    assert {reason.rule for reason in alone.reasons} >= {"contract:email", "evidence:none"}
    agreed = judged(judge, contract(**said), seen(100, email=100))
    assert (agreed.class_name, agreed.state) == ("email", "classified")
    refused = judged(judge, contract(**said), seen(100, uuid=100))
    assert refused.class_name == "none"
    assert any(reason.weight < 0 for reason in refused.reasons)


def test_prose_and_words_that_name_no_class(judge: Judge) -> None:
    """What a description says counts as a comment; PII over nothing that is found asks; public says nothing."""
    told = judged(judge, contract(businessName="date of birth of the patient"))
    assert told.class_name == "birth_date" or told.runner_up == "birth_date"
    assert any(reason.rule == "contract:birth_date" for reason in told.reasons)
    guarded = judged(judge, contract(classification="PII"))
    assert (guarded.state, guarded.reasons[0].rule) == ("abstained", "contract:guarded")
    assert judged(judge, contract(classification="public")).state == "unclassified"


def test_whose_contract_it_is(judge: Judge) -> None:
    """Another tenant's, another source's, another table's says nothing here; what is not read is not kept."""
    one = table("gadgets", ["wobble"])
    for other in ({"tenant": "else"}, {"servers": [{"server": "erp"}]}, {"schema": [{"name": "other"}]}, {"schema": 3}):
        assert not promises_of({"c": {**contract(classification="email"), **other}}, one)
    assert "hunter2" not in str(reduced(contract()))


async def test_a_contract_is_heard_and_taken_back(house: House) -> None:
    """Assets that are known are judged again by a job, without a look at the source; a tombstone takes it back."""
    await house.discover(table("gadgets", [column("wobble", seen(100, email=60))]))
    before = await house.labels()
    event = ContractPublished.model_validate(contract(classification="email"))
    await handlers.on_contract_published([received(event, key="acme/gadgets")], classifier=house.classifier)
    await house.work("rejudge")
    assert await house.labels() == {"wobble": "email"}
    await handlers.on_contract_published([received(event, key="acme/gadgets", tombstone=True)], classifier=house.classifier)
    await house.work("rejudge")
    assert await house.labels() == before
