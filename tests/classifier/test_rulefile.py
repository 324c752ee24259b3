"""Rule sets of one's own: laid over the shipped rules, tested by themselves, compared on what the last scans found."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.classifier.commands.rules import app, rules_of
from services.classifier.domain.rulefile import RuleFile, changes, failures, pattern_failures
from services.classifier.domain.suggesting import suggestions
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway.packs import load_ruleset, read_rules
from shared.errors import UsageError
from tests.classifier.house import House
from tests.classifier.tables import column, seen, table

EXAMPLE = Path(__file__).parents[2] / "examples" / "acme.rules.yaml"


def rules(**fields: object) -> RuleFile:
    return RuleFile.model_validate({"name": "acme", "version": "1", **fields})


def test_the_example_passes_its_own_tests() -> None:
    """The file that the docs show is right."""
    done = CliRunner().invoke(app, ["test", str(EXAMPLE), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["failures"]) == (0, [])


def test_a_test_that_fails_says_why() -> None:
    """Wanted, got, and what spoke for it."""
    wrong = rules(tests=[{"table": "crm.people", "columns": {"email": "phone"}}])
    (failure,) = failures(wrong.tests, load_ruleset(over=wrong), Thresholds())
    assert failure[:3] == ("crm.people.email", "phone", "email")
    assert "the name says: email" in failure.why


def test_words_of_ones_own_win(judge: Judge) -> None:
    """Also over a word that means something else to the shipped rules; the shipped rules stay as they are."""
    own = Judge(load_ruleset(over=rules(words={"passport": ["gondola"]}, things=["email"])), Thresholds())
    made = table("people", ["gondola", "email"])
    assert [verdict.class_name for verdict in own.judge([made])[0].columns] == ["passport", "email"]
    assert [verdict.class_name for verdict in judge.judge([made])[0].columns] == ["none", "email"]


def test_lists_decide_and_say_so(judge: Judge) -> None:
    """What is denied wins over what is allowed; both are told as the reason."""
    listed = rules(allow=["public.people.*"], deny={"*.people.NICK": "password"})
    email, nick = Judge(load_ruleset(over=listed), Thresholds()).judge([table("people", ["email", "nick"])])[0].columns
    assert (email.class_name, email.reasons[0].rule) == ("none", "list:allow")
    assert (nick.class_name, nick.sensitivity, nick.reasons[0].rule) == ("password", "restricted", "list:deny")


def test_a_folder_of_rule_files_is_laid_over_by_name(tmp_path: Path) -> None:
    """The last one names the rule set; another file is another digest."""
    (tmp_path / "a.rules.yaml").write_text("{name: first, version: '1', words: {passport: [gondola]}}")
    (tmp_path / "b.rules.yaml").write_text("{name: second, version: '2', words: {passport: [trireme]}}")
    found = load_ruleset(tmp_path)
    assert found.label.startswith("second@2+")
    assert found.lexicon.words["gondola"] == found.lexicon.words["trireme"]
    assert found.digest != load_ruleset().digest


def test_what_would_change_is_told(judge: Judge) -> None:
    """Only columns that come out otherwise."""
    other = Judge(load_ruleset(over=rules(words={"passport": ["gondola"]})), Thresholds())
    found = list(changes(judge, other, [table("boats", ["gondola", "email"])]))
    assert [change[1:] for change in found] == [("gondola", "none", "passport")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{name: a, version: '1', wordz: {}}", "wordz", id="an unknown field"),
        pytest.param("{name: A B, version: '1'}", "name", id="a name that is none"),
        pytest.param("{name: a, version: '1', deny: {x.y.z: nothing}}", "nothing", id="a list of an unknown class"),
        pytest.param("{name: a, version: '1', names: {nothing: {strong: [email]}}}", "nothing", id="phrases of an unknown class"),
        pytest.param("{", "ParserError", id="no YAML"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    """By field, before anything is judged."""
    file = tmp_path / "x.rules.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_ruleset(over=read_rules(file))
    assert said in caught.value.line()
    assert "\n" not in caught.value.line()


def test_limits_hold_for_one_provider_only() -> None:
    """Its thresholds and the classes that are not looked for there; sources of others are judged as before."""
    limits = {"mongodb": {"thresholds": {"classify": 0.2, "abstain": 0.1}, "without": ["email"]}}
    judge = Judge(load_ruleset(over=rules(providers=limits)), Thresholds())
    here = table("people", ["email", "emergency_number"])
    there = here.model_copy(update={"spec": here.spec.model_copy(update={"engine": "mongodb"})})
    one, other = judge.judge([here, there])
    assert [column.class_name for column in one.columns] == ["email", "none"]
    assert [column.class_name for column in other.columns] == ["none", "phone"]


@pytest.mark.parametrize("wrong", [{"without": ["no_such_class"]}, {"thresholds": {"clasify": 0.2}}])
def test_limits_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    """A class or a threshold that does not exist is told, with the provider."""
    with pytest.raises(UsageError, match="provider s3: unknown") as told:
        load_ruleset(over=rules(providers={"s3": wrong}))
    assert told.value.code == "invalid_rules"


LOYALTY = {
    "classes": {"loyalty_no": {"category": "personal", "sensitivity": "internal", "shape": "code", "group": "person"}},
    "patterns": {"loyalty": {"pattern": "LC-[0-9]{8}", "class": "loyalty_no", "fits": ["LC-00112233"], "fits_not": ["LC-1", "00112233"]}},
}


def test_a_pattern_of_ones_own_stands_for_its_class() -> None:
    """It travels with the rule set, and what discovery counted by it labels columns whose names say nothing."""
    ruleset = load_ruleset(over=rules(**LOYALTY))
    (told,) = ruleset.published().patterns
    assert (told.name, told.pattern) == ("own_loyalty", "LC-[0-9]{8}")
    (found,) = Judge(ruleset, Thresholds()).judge([table("t", [column("c1", seen(200, own_loyalty=198))])])
    assert found.columns[0].class_name == "loyalty_no"
    assert not list(pattern_failures(rules(**LOYALTY)))


def test_a_pattern_that_fits_what_it_must_not_fails_its_test() -> None:
    """Both ways: what it must fit, and what it must not."""
    wrong = {**LOYALTY, "patterns": {"loyalty": {"pattern": "LC-.*", "class": "loyalty_no", "fits": ["lc-1"], "fits_not": ["LC-1"]}}}
    assert [(one.column, one.got) for one in pattern_failures(rules(**wrong))] == [
        ("patterns.loyalty: lc-1", "fits not"),
        ("patterns.loyalty: LC-1", "fits"),
    ]


@pytest.mark.parametrize("pattern", ["(?=a)b", "a*", "(a"])
def test_a_pattern_that_cannot_be_read_is_refused(pattern: str) -> None:
    """With its name, when the file is read; nothing of it is published."""
    with pytest.raises(UsageError, match="pattern own_bad") as told:
        load_ruleset(over=rules(patterns={"bad": {"pattern": pattern, "class": "email"}}))
    assert told.value.code == "invalid_rules"


async def test_diff_judges_what_the_last_scans_found(house: House, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from what is stored, without a source; exit code 3 where something would change."""
    await house.discover(table("kunden", ["email", "treuestufe"]))
    monkeypatch.setenv("PURSIGHT_DATABASE_URL", fresh_database_url)
    done = await asyncio.to_thread(CliRunner().invoke, app, ["diff", str(EXAMPLE), "--json"])
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert told["assets"] == 1
    assert told["changes"] == [
        {"asset": "acme/crm/shop.public.kunden", "column": "treuestufe", "before": "none", "after": "loyalty_tier"},
    ]


async def test_a_suggestion_tells_what_it_would_label_besides(
    house: House, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From what a person said, as a rule set that can be tested; columns nobody looked at are its false positives."""
    people = table("kunden", ["zorbnr", "farbe"])
    await house.discover(people, table("boats", ["zorb_paint", "email"]))
    await house.review(people.asset, "zorbnr", "relabel", "passport")
    monkeypatch.setenv("PURSIGHT_DATABASE_URL", fresh_database_url)
    done = await asyncio.to_thread(CliRunner().invoke, app, ["suggest", "--json"])
    (told,) = json.loads(done.stdout)["suggestions"]
    assert (told["class_name"], told["word"]) == ("passport", "zorbnr")
    assert told["besides"] == []


def test_a_word_shared_with_others_is_told_with_them(judge: Judge) -> None:
    """What is not confirmed is counted against the rule."""
    people, boats = table("people", ["zorb"]), table("boats", ["zorb_paint"])
    (found,) = suggestions(
        judge, {(people.asset, "zorb"): "passport"}, [people, boats], lambda over: Judge(load_ruleset(over=over), Thresholds())
    )
    assert (found.class_name, found.word, found.besides) == ("passport", "zorb", ((boats.asset, "zorb_paint"),))


def test_publish_puts_a_tested_file_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose tests fail stays out."""
    monkeypatch.setenv("PURSIGHT_RULE_PACKS", str(tmp_path / "rules"))
    bad = tmp_path / "bad.rules.yaml"
    bad.write_text("{name: bad, version: '1', tests: [{table: a.b, columns: {email: phone}}]}")
    assert CliRunner().invoke(app, ["publish", str(EXAMPLE)]).exit_code == 0
    assert CliRunner().invoke(app, ["publish", str(bad)]).exit_code == 1
    assert [path.name for path in (tmp_path / "rules").iterdir()] == [EXAMPLE.name]
    assert load_ruleset(tmp_path / "rules").name == "acme"


def test_what_is_wrong_in_a_file_is_told_by_its_line(tmp_path: Path) -> None:
    """Every problem at once, and a text that is no YAML by where it ends to be one."""
    file = tmp_path / "acme.rules.yaml"
    file.write_text("name: ACME\nversion: 1\nwerds: {}\nwords:\n  a: 3\n")
    with pytest.raises(UsageError) as told:
        rules_of(file)
    line = told.value.line()
    for words in (
        "line 1: name does not have the form",
        "line 2: version is not text",
        "line 3: werds is no field",
        "line 5: words.a is not",
    ):
        assert words in line, line
    file.write_text("name: acme\nversion: 'x")
    with pytest.raises(UsageError, match=r"acme\.rules\.yaml is neither YAML nor JSON: line 2"):
        rules_of(file)
