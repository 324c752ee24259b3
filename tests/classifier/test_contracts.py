"""Data contracts as context: a claim that is weighed with names and values, told with its reason, and taken back with the contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.classifier import handlers
from services.classifier.domain.promised import Contracts, Promise, Promises, Told, told_by
from services.classifier.domain.tables import Judge
from shared.contracts.asset import ColumnEvidence, ColumnVerdict, SchemaDiscovered
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


def promises_of(given: dict[str, Any], one: SchemaDiscovered) -> Promises:
    return Contracts(told_by("acme/gadgets", given)).of(one)


def judged(judge: Judge, given: dict[str, Any], evidence: ColumnEvidence | None = None) -> ColumnVerdict:
    one = table("gadgets", [column("wobble", evidence)])
    return judge.judge([one], promises=[promises_of(given, one)])[0].columns[0]


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
        assert not promises_of({**contract(classification="email"), **other}, one)
    placed = {**contract(classification="email"), "servers": [{"host": "db.example", "database": "shop"}]}
    assert not promises_of(placed, one)
    assert promises_of(placed, one.model_copy(update={"spec": one.spec.model_copy(update={"host": "db.example"})}))
    assert "hunter2" not in str(told_by("acme/gadgets", contract()))


def test_who_names_more_of_the_table_speaks_and_of_several_contracts_the_first() -> None:
    """The object with the schema in its name goes before the one without, wherever it stands; contracts go by name."""
    one = table("gadgets", ["wobble", "Knob"])
    said = [{"name": "GADGETS", "properties": [{"name": "wobble", "description": "bare"}]}, *contract(description="placed")["schema"]]
    first = {**contract(), "schema": said}
    second = {**contract(description="later"), "schema": [{"name": "gadgets", "properties": [{"name": "knob", "description": "twist"}]}]}
    found = Contracts([*told_by("acme/b", second), *told_by("acme/a", first), *told_by("other/a", first)]).of(one)
    assert {name: (promise.contract, promise.prose) for name, promise in found.items()} == {
        "wobble": ("acme/a", "placed"),
        "Knob": ("acme/b", "twist"),
    }


class Counted(frozenset[str]):
    """Claims that count how often anybody asks whose they are."""

    asked = 0

    def __iter__(self) -> Iterator[str]:
        Counted.asked += 1
        return super().__iter__()


def test_a_table_costs_what_is_said_of_it_and_not_how_many_contracts_there_are() -> None:
    """With a contract for each of 200 tables, 200 questions are asked, not 40,000."""
    names = [f"gadgets_{number}" for number in range(200)]
    told = [
        each._replace(claims=Counted(each.claims))
        for name in names
        for each in told_by(
            f"acme/{name}", {**contract(), "schema": [{"name": name, "properties": [{"name": "wobble", "description": "x"}]}]}
        )
    ]
    contracts = Contracts(told)
    assert all(contracts.of(table(name, ["wobble"])) for name in names)
    assert 0 < Counted.asked <= 200


async def test_a_batch_reads_what_is_about_its_tables_and_no_more(house: House) -> None:
    """Of contracts on other tables, sources and tenants nothing is fetched; a contract unsettles what it may mean. NUL does no harm."""
    given = {"gadgets": contract(description="\0odd"), "a": contract(), "b": {**contract(), "servers": [{"server": "erp"}]}}
    given |= {f"c{number}": {**contract(), "schema": [{"name": f"t{number}", "properties": []}]} for number in range(20)}
    given["a"]["schema"] = [{"name": "other"}, {"name": "also\0"}]
    await house.discover(table("gadgets", ["wobble"]), table("widgets", ["wobble"]))
    async with house.classifier.store.unit() as unit:
        for name, document in given.items():
            await unit.keep_contract(f"acme/{name}", told_by(f"acme/{name}", document))
    async with house.classifier.store.unit() as unit:
        fetched = await unit.bus.connection.fetch("select asset from asset where judged_by = ''")
        assert [row["asset"] for row in fetched] == ["acme/crm/shop.public.gadgets"]
        found = await unit.contracts([table("gadgets", ["wobble"]), table("widgets", ["wobble"])])
    assert [told.contract for several in found._told.values() for told in several] == ["acme/gadgets"]
    assert found.of(table("gadgets", ["wobble"]))["wobble"].prose == "\0odd"


@pytest.mark.parametrize("odd", [{"description": 42}, {"tags": [1]}, {"tags": "pii"}, {"classification": ["pii"]}])
def test_what_an_earlier_version_kept_as_it_was_written_says_nothing_odd(odd: dict[str, Any]) -> None:
    """Objects that a migration took out of whole contracts may hold anything; only texts are read."""
    kept = Told("acme/gadgets", frozenset({"source crm"}), "gadgets", [{"name": "wobble", "businessName": "x", **odd}])
    assert Contracts([kept]).of(table("gadgets", ["wobble"]))["wobble"] == Promise("acme/gadgets", (), "x")


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
