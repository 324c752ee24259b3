"""The classifier's doors on a real PostgreSQL: state, events and jobs in one transaction, each fact once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.classifier import app, handlers
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.handlers import Classifier
from shared.access.actor import Actor
from shared.contracts.asset import AssetClassified, AssetRemoved
from shared.contracts.source import SourceRemoved
from tests.classifier.house import NEWER, PEOPLE, House, at_once
from tests.classifier.tables import column, received, seen, table


async def test_a_table_becomes_one_event_with_a_verdict_per_column(house: House) -> None:
    """Every column has a verdict, in order; the event says what it is based on."""
    await house.discover(PEOPLE)
    (said,) = await house.said()
    event = AssetClassified.model_validate(said)
    assert [c.class_name for c in event.columns] == ["first_name", "last_name", "phone", "none"]
    assert (event.sequence, event.based_on, event.ruleset) == (1, 1, house.classifier.judge.ruleset.label)


async def test_redelivery_and_older_facts_say_nothing(house: House) -> None:
    """The same delivery twice, the same fact under another id, and an older fact change nothing."""
    again = received(NEWER, key=NEWER.asset)
    for _ in range(2):
        await handlers.on_schema_discovered([again], classifier=house.classifier)
    await house.discover(NEWER)
    await house.discover(PEOPLE)
    assert len(await house.said()) == 1


async def test_of_several_facts_in_a_batch_the_newest_is_judged(house: House) -> None:
    """One event per asset and batch, whatever the order."""
    await house.discover(NEWER, PEOPLE)
    said = await house.said()
    assert [event["based_on"] for event in said if event] == [2]


async def test_the_event_before_is_told(house: House) -> None:
    """A column's verdict tells the class that it had before."""
    await house.discover(PEOPLE)
    await house.discover(NEWER)
    last = (await house.said())[-1]
    assert last is not None
    assert [c.get("before", "") for c in last["columns"]] == ["first_name", "last_name", "phone", ""]
    assert last["sequence"] == 2


async def test_removal_clears_the_topic_and_keeps_the_number(house: House) -> None:
    """After a removal there is a tombstone, older facts are ignored, a newer one goes on counting."""
    await house.discover(PEOPLE)
    gone = AssetRemoved(asset=PEOPLE.asset, source=PEOPLE.source, sequence=2)
    await handlers.on_asset_removed([received(gone, key=PEOPLE.asset)], classifier=house.classifier)
    await handlers.on_schema_discovered([received(PEOPLE, key=PEOPLE.asset, tombstone=True)], classifier=house.classifier)
    await house.discover(NEWER)
    assert (await house.said())[1:] == [None]
    assert await house.pool.fetchval("select body is null and removed from asset")
    await house.discover(PEOPLE.model_copy(update={"sequence": 3}))
    last = (await house.said())[-1]
    assert last is not None
    assert last["sequence"] == 2
    assert "before" not in last["columns"][0]


async def test_a_removal_older_than_the_table_is_ignored(house: House) -> None:
    """Topics have no common order: a table that came back before its removal is heard stays."""
    await house.discover(PEOPLE.model_copy(update={"sequence": 5}))
    gone = AssetRemoved(asset=PEOPLE.asset, source=PEOPLE.source, sequence=4)
    await handlers.on_asset_removed([received(gone, key=PEOPLE.asset)], classifier=house.classifier)
    assert None not in await house.said()


async def test_a_removed_source_is_forgotten_by_a_job(house: House) -> None:
    """Everything heard before the removal goes, what came later under the same name stays."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    other = table("later", ["name"])
    await handlers.on_schema_discovered([received(PEOPLE, key=PEOPLE.asset, time=at)], classifier=house.classifier)
    later = received(other, key=other.asset, time=at + timedelta(hours=2))
    await handlers.on_schema_discovered([later], classifier=house.classifier)
    removed = received(SourceRemoved(source=PEOPLE.source, version=1), key=PEOPLE.source, time=at + timedelta(hours=1))
    await handlers.on_source_removed([removed], classifier=house.classifier)
    job = await house.job(handlers.FORGET)
    assert job is not None
    await handlers.forget(job, classifier=house.classifier)
    kept = await house.pool.fetch("select asset from asset where not removed")
    assert [row[0] for row in kept] == [other.asset]


async def test_a_persons_word_takes_effectat_once_and_is_audited(house: House) -> None:
    """A relabel says the asset again with the new class, and the ledger hears who did it."""
    await house.discover(PEOPLE)
    await house.review(PEOPLE.asset, "farbe", "relabel", "ethnicity")
    assert (await house.labels())["farbe"] == "ethnicity"
    (entry,) = await house.said("audit.recorded")
    assert entry is not None
    told = ("person:ana for ana", "allowed", "classification.review", "relabel: ethnicity")
    assert (entry["actor"], entry["result"], entry["action"], entry["detail"]) == told


@pytest.mark.parametrize(
    "who", [Actor("person:vi", "acme", frozenset({"viewer"})), Actor("person:st", "other", frozenset({"steward"})), None]
)
async def test_a_word_of_who_may_not_review_changes_nothing(house: House, who: Actor | None) -> None:
    """Without the role, of another tenant, or of nobody: nothing is said of the asset, and the ledger hears of it."""
    await house.discover(PEOPLE)
    await house.review(PEOPLE.asset, "farbe", "relabel", "ethnicity", who=who)
    assert len(await house.said()) == 1
    (entry,) = await house.said("audit.recorded")
    assert entry is not None
    assert (entry["result"], entry["detail"]) == ("denied", "relabel: lacks the permission classification.review")


async def test_a_rejection_sticks_until_the_evidence_changes(house: House) -> None:
    """Rescans with the same evidence keep it; new evidence lets the rules speak again."""
    same, other = seen(200, phone=(190, 6, 6)), seen(200, email=200)
    first = table("kunden", [column("kontakt_telefon", same)])
    await house.discover(first)
    await house.review(first.asset, "kontakt_telefon", "reject")
    assert (await house.labels())["kontakt_telefon"] == "none"
    await house.discover(table("kunden", [column("kontakt_telefon", seen(200, phone=(188, 6, 6)))], sequence=2))
    assert (await house.labels())["kontakt_telefon"] == "none"
    await house.discover(table("kunden", [column("kontakt_telefon", other)], sequence=3))
    assert (await house.labels())["kontakt_telefon"] != "none"


async def test_a_persons_word_holds_for_likes(house: House) -> None:
    """Columns of the same name, evidence and verdict in tables about the same: known ones by a job, new ones when they come.

    One in a table about something else, one of another tenant and one with other evidence stay as they are; a word against it ends it.
    """
    other = table("boats", ["zorbNr"])
    strange = table("clients", [column("zorb_nr", seen(200, uuid=200))])
    await house.discover(table("kunden", ["zorb_nr"]), table("clientes", ["zorbNr"]), other, strange)
    before = len(await house.said())
    await house.review("acme/crm/shop.public.kunden", "zorb_nr", "relabel", "passport")
    await house.work(handlers.LIKES)
    said = {event["table"]: event["columns"][0] for event in (await house.said())[before:] if event}
    assert {name: told["class_name"] for name, told in said.items()} == {"kunden": "passport", "clientes": "passport"}
    assert (said["clientes"]["tier"], said["clientes"]["reasons"][0]["rule"]) == ("person", "review:alike")
    await house.discover(table("customers", ["ZORB_NR"]))
    assert await house.labels() == {"ZORB_NR": "passport"}
    await house.review("acme/crm/shop.public.customers", "ZORB_NR", "reject")
    await house.work(handlers.LIKES)
    assert (await house.said())[-1]["columns"][0].get("class_name", "none") == "none"  # type: ignore[index]


@pytest.mark.parametrize(
    ("asset", "name", "decision", "class_name", "detail"),
    [
        pytest.param("acme/crm/shop.public.nowhere", "farbe", "reject", "none", "no such asset", id="unknown asset"),
        pytest.param(PEOPLE.asset, "nothing", "reject", "none", "no such column", id="unknown column"),
        pytest.param(PEOPLE.asset, "farbe", "relabel", "no_such_class", "class no_such_class is not in the taxonomy", id="unknown class"),
        pytest.param(PEOPLE.asset, "farbe", "confirm", "none", "there is no class to confirm; relabel names one", id="nothing to confirm"),
    ],
)
async def test_a_review_that_cannot_be_taken_is_audited(
    house: House, asset: str, name: str, decision: str, class_name: str, detail: str
) -> None:
    """It is dropped with its reason, and says nothing about the asset."""
    await house.discover(PEOPLE)
    await house.review(asset, name, decision, class_name)
    (entry,) = await house.said("audit.recorded")
    assert entry is not None
    assert (entry["result"], entry["detail"]) == ("failed", f"{decision}: {detail}")
    assert len(await house.said()) == 1


async def test_a_foreign_key_inherits_also_when_its_target_comes_later(house: House) -> None:
    """The column that references an e-mail is judged again once the e-mail is known."""
    people = table("leute", [column("x1", seen(200, email=200), unique=True)])
    letters = table("briefe", [column("an", references=f"{people.asset}#x1")])
    await house.discover(letters)
    assert await house.labels() == {"an": "none"}
    await house.discover(people)
    job = await house.job(handlers.REJUDGE)
    assert job is not None
    await handlers.rejudge(job, classifier=house.classifier)
    assert await house.labels() == {"an": "email"}
    state = (await house.said())[-1]
    assert state is not None
    assert state["columns"][0]["state"] == "inherited"


async def test_new_rules_judge_again_from_what_is_stored_and_say_only_changes(house: House, judge: Judge) -> None:
    """With other thresholds everything is judged again; only the table that comes out differently is said."""
    sure, unsure = table("kunden", [column("email", seen(200, email=200))]), table("b", ["login_qux_foo_bazz"])
    await house.discover(sure, unsure)
    stricter = Judge(judge.ruleset, Thresholds(classify=0.3, abstain=0.2))
    house.classifier = Classifier(house.classifier.store, stricter, house.jobs, at_once)
    await app.announce(house.classifier)
    job = await house.job(handlers.REJUDGE)
    assert job is not None
    await handlers.rejudge(job, classifier=house.classifier)
    assert [event["asset"] for event in (await house.said())[2:] if event] == [unsure.asset]
    assert await house.classifier.store.stale(stricter.mark, "", 10) == []


async def test_the_rule_set_is_said_once(house: House) -> None:
    """A second start with the same rules says nothing."""
    await app.announce(house.classifier)
    await app.announce(house.classifier)
    (said,) = await house.said("ruleset.published")
    assert said is not None
    assert said["digest"] == house.classifier.judge.ruleset.digest


async def test_uncertain_columns_queue_for_a_person(house: House) -> None:
    """The queue holds columns that the rules abstained from, with their reasons."""
    doubtful = table("sachen", ["contact_number"])
    await house.discover(PEOPLE, table("kunden2", ["name", "login_qux_foo_bazz"]), doubtful)
    found, total = await house.classifier.store.uncertain(None, 10, 0)
    assert total == len(found)
    assert all(c["state"] == "abstained" and c["reasons"] for entry in found for c in entry["columns"])
