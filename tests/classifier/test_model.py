"""Tier 2: what the rules are not sure of, by a model of plain numbers; trained, judged, taken into force, rolled back."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from services.classifier.app import Reload
from services.classifier.commands import models
from services.classifier.domain.model import Model, Table
from services.classifier.domain.rulefile import RuleFile
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway.packs import FOLDER, MODEL, load_model, load_ruleset, read_model
from services.classifier.settings import ClassifierSettings
from services.classifier.training import fit
from services.classifier.training.tables import examples, written
from shared.contracts.asset import Column, SchemaDiscovered
from shared.errors import UsageError
from shared.evidence.count import count_column
from shared.evidence.detectors import BY_NAME
from tests.classifier.house import House
from tests.classifier.tables import table

PEOPLE = {
    "first": ["Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "John", "Karen", "Dennis", "Margaret"],
    "last": ["Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Allen", "Backus", "Jones", "Ritchie", "Hamilton"],
    "mail": [f"{name}@example.org" for name in "grace alan ed barb don fran john karen dennis margaret".split()],  # noqa: SIM905
    "town": ["Boston", "Manchester", "Rotterdam", "Chicago", "Milwaukee", "Denver", "Philadelphia", "Leeds", "Dallas", "Dublin"],
    "state": ["open", "closed"] * 5,
    "count": [str(number) for number in range(40, 50)],
}


def numbered(*kinds: str) -> SchemaDiscovered:
    """A table whose columns are called c1 to cn."""
    return table(
        "t", [Column(name=f"c{at}", position=at, type="text", evidence=count_column(PEOPLE[k] * 6)) for at, k in enumerate(kinds, 1)]
    )


def test_columns_without_names_are_told_by_values_and_neighbours(both: Judge) -> None:
    """Given name, family name, e-mail and city; a status and a count are nothing. Each says why, in counts, and which tier it was."""
    (found,) = both.judge([numbered("first", "last", "mail", "town", "state", "count")])
    assert [column.class_name for column in found.columns] == ["first_name", "last_name", "email", "city", "none", "none"]
    assert [column.tier for column in found.columns][1:3] == ["model", "rules"]
    assert found.columns[1].reasons[0].rule == f"model:{both.model.version}"  # type: ignore[union-attr]
    told = str([column.reasons for column in found.columns])
    assert not any(value in told for kind in ("first", "last", "mail", "town") for value in PEOPLE[kind])


def test_what_the_rules_are_sure_of_is_not_asked_again(judge: Judge, both: Judge) -> None:
    """Names that are understood, and tables without values, are judged as without a model."""
    tables = [table("kunden", ["vorname", "nachname", "telefon", "farbe", "c5"]), table("x", ["zorb", "qux"])]
    assert judge.judge(tables) == both.judge(tables)


def test_a_column_on_a_list_is_not_asked(judge: Judge, model: Model) -> None:
    """A person's list stands above both tiers."""
    ruleset = load_ruleset(over=RuleFile(name="own", version="1", allow=["public.t.c1"]))
    (found,) = Judge(ruleset, Thresholds(), model).judge([numbered("first", "last")])
    assert (found.columns[0].class_name, found.columns[0].reasons[0].rule) == ("none", "list:allow")
    assert found.columns[1].tier == "model"


def test_the_model_is_part_of_what_judged(judge: Judge, both: Judge) -> None:
    """Another model, another mark: what is stored is judged again."""
    assert judge.mark != both.mark


def test_the_model_that_ships_speaks_of_our_classes_and_evidence(both: Judge, model: Model) -> None:
    """Every label is a class of ours; every detector that it knows exists."""
    assert all(both.ruleset.knows(label) for label in model.labels)
    assert {name.partition(":")[2] for name in model.names if name.startswith("found:")} <= BY_NAME.keys()


def test_a_table_alone_and_among_others_is_judged_the_same(model: Model) -> None:
    """Neighbours are those of the same table only."""
    one, other = Table((None, "email"), ({"type:text": 1.0, "words": 0.1},)), Table(("iban", None), ({"type:integer": 1.0},))
    together = model.judge([one, other])
    assert np.allclose(together, np.vstack((model.judge([one]), model.judge([other]))), atol=1e-5)
    assert np.allclose(together.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("broken", ["pickle", "cut", "text", "nan"])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, broken: str, model: Model) -> None:
    """Pickles are never read; half a file, another file and numbers that are none are told."""
    body = (FOLDER / MODEL).read_bytes()
    if broken == "pickle":
        file = io.BytesIO()
        np.savez(file, names=np.array([{"a": 1}], dtype=object))
        body = file.getvalue()
    elif broken == "nan":
        file = io.BytesIO()
        np.savez(file, **{**np.load(io.BytesIO(body)), "alone_out": np.full_like(model.alone.out, np.nan)})
        body = file.getvalue()
    (tmp_path / MODEL).write_bytes({"cut": body[:1000], "text": b"no model"}.get(broken, body))
    with pytest.raises(UsageError, match="is no model"):
        load_model(tmp_path)


def test_the_same_seed_makes_the_same_tables() -> None:
    """What is learnt can be made again, on any day."""
    once, again = list(examples(3, 5)), list(examples(3, 5))
    assert once == again
    assert once != list(examples(3, 6))


def test_a_model_read_again_is_the_same(model: Model) -> None:
    """Equal models are equal files."""
    body = fit.written(model)
    assert read_model(body).digest == read_model(fit.written(read_model(body))).digest


def test_what_people_decided_is_learnt_and_some_of_it_kept(judge: Judge) -> None:
    """Columns nobody looked at are neighbours only; of tables that people looked at some are for judging."""
    learnt, test = fit.Lesson([], []), fit.Lesson([], [])
    seen = [
        (numbered("first", "town").model_copy(update={"asset": f"acme/crm/shop.public.t{at}"}), {"c2": "birth_place"}) for at in range(20)
    ]
    fit.learn_reviews(judge, seen, learnt, test)
    assert set(learnt.labels) == set(test.labels) == {"", "birth_place"}
    assert len(learnt.tables) > 4 * len(test.tables) > 0


@pytest.mark.parametrize(
    ("new", "better"),
    [((0.9, 0.80, 0.02), True), ((0.9, 0.75, 0.02), False), ((0.8, 0.9, 0.02), False), ((0.95, 0.9, 0.08), False)],
)
def test_a_model_that_is_worse_stays_out(new: tuple[float, float, float], better: bool) -> None:
    """Less right, less right of rare classes, or more sure than right: each is enough."""
    assert models._no_worse(fit.Score(*new, 100), fit.Score(0.9, 0.8, 0.03, 100)) is better


def test_training_that_gives_no_better_model_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few tables little is learnt: the model in force stays, and both figures are told."""
    monkeypatch.setenv("PURSIGHT_RULE_PACKS", str(tmp_path))
    monkeypatch.setattr(fit, "_EPOCHS", 2)
    done = CliRunner().invoke(models.app, ["train", "--tables", "60", "--no-reviews", "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["in_force"], list(tmp_path.iterdir())) == (1, False, [])
    assert told["new"]["macro_f1"] < told["old"]["macro_f1"]


def test_a_model_is_rolled_back_to_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, to the one that ships; behind it there is none."""
    monkeypatch.setenv("PURSIGHT_RULE_PACKS", str(tmp_path))
    first, second = (FOLDER / MODEL).read_bytes(), b"worse"
    models._put(tmp_path / MODEL, first, keep=True)
    models._put(tmp_path / MODEL, second, keep=True)
    assert CliRunner().invoke(models.app, ["rollback"]).exit_code == 0
    assert (tmp_path / MODEL).read_bytes() == first
    shown = json.loads(CliRunner().invoke(models.app, ["show", "--json"]).stdout)
    assert shown["file"] == str(tmp_path / MODEL)
    assert CliRunner().invoke(models.app, ["rollback"]).exit_code == 0
    assert list(tmp_path.iterdir()) == []
    assert isinstance(CliRunner().invoke(models.app, ["rollback"]).exception, UsageError)


async def test_what_people_decided_is_read_from_the_state(house: House, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels and rejections, table by table; where no state can be read, the reason why."""
    people = table("kunden", ["vorname", "farbe", "x1"])
    await house.discover(people, table("boats", ["x1"]))
    await house.review(people.asset, "farbe", "relabel", "ethnicity")
    await house.review(people.asset, "vorname", "reject")
    monkeypatch.setenv("PURSIGHT_DATABASE_URL", fresh_database_url)
    ((asked, classes),), note = await models._reviewed()
    assert (asked.asset, classes, note) == (people.asset, {"farbe": "ethnicity", "vorname": "none"}, "")
    monkeypatch.delenv("PURSIGHT_DATABASE_URL")
    monkeypatch.setenv("PURSIGHT_HOME", "/nonexistent")
    found, note = await models._reviewed()
    assert (found, note.partition(".")[0]) == ([], "the stack is not running")


async def test_rules_and_models_are_taken_up_without_a_restart(house: House, tmp_path: Path) -> None:
    """What comes into the folder holds at the next look, and what is known is judged again; what cannot be read changes nothing."""
    reload = Reload(house.classifier, ClassifierSettings(rule_packs=tmp_path))
    before = house.classifier.judge
    await reload()
    assert house.classifier.judge is before
    await house.discover(table("kunden", ["zorbnr"]))
    (tmp_path / "own.rules.yaml").write_text("{name: own, version: '1', words: {zorb: [zorbnr]}, names: {passport: {strong: [zorb]}}}")
    await reload()
    after = house.classifier.judge
    assert (after.ruleset.name, after.model is not None) == ("own", True)
    assert await house.job("rejudge") is not None
    (tmp_path / MODEL).write_bytes(b"no model")
    await reload()
    assert house.classifier.judge is after


@pytest.mark.parametrize(
    ("value", "case", "found"), [("Ada Byron", "capitals", "ADA BYRON"), ("x9", "capitals", "x9"), ("x9", "padded", "x9 ")]
)
def test_values_to_learn_from_are_written_as_people_do(value: str, case: str, found: str) -> None:
    """Words may be in capitals, but codes stay what they are."""
    assert written(value, case) == found
