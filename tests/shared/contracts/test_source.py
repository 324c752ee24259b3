"""What a data source is: every problem by field, both spellings, no secret ever repeated."""

from __future__ import annotations

import pytest

from shared.contracts.judging.source import changed_fields, judge

GOOD = {"name": "crm", "engine": "postgresql", "host": "db.example", "database": "shop", "username": "scan", "password_secret": "env:CRM"}


def codes(document: dict[str, object]) -> set[tuple[str, str]]:
    return {(problem.field, problem.code) for problem in judge(document).problems}


def test_a_good_source_has_no_problem() -> None:
    """A complete document becomes a source, nothing noted."""
    judged = judge(GOOD)
    assert judged.spec
    assert judged.spec.key == "default/crm"
    assert (judged.problems, judged.notes) == ((), ())


def test_every_problem_is_told_at_once() -> None:
    """One pass names the missing, the misspelt and the impossible."""
    found = codes({"engine": "oracle", "hots": "x", "port": 0, "schedule": "often"})
    assert {
        ("name", "missing"),
        ("database", "missing"),
        ("hots", "unknown_field"),
        ("port", "invalid"),
        ("engine", "invalid"),
        ("schedule", "not_a_schedule"),
    } <= found


def test_how_a_source_is_scanned_is_held_to_its_words() -> None:
    """A misspelt limit would be none."""
    assert codes({**GOOD, "pace": "fast", "scan_budget": {"secnds": 3, "bytes": -1}}) == {
        ("pace", "invalid"),
        ("scan_budget.secnds", "unknown_field"),
        ("scan_budget.bytes", "invalid"),
    }
    assert codes({**GOOD, "pace": "conservative", "scan_budget": {"seconds": 3}}) == set()


@pytest.mark.parametrize("field", ["name", "tenant", "host", "username"])
def test_a_field_of_the_wrong_kind_is_one_problem(field: str) -> None:
    """Nothing is said of fields whose default waits for it."""
    assert codes({**GOOD, field: ["x"]}) == {(field, "invalid")}


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ". .", "a?b", "100%", "x#y", 'q"', "🦊", "a\\b", "[b]x[/]", "$(id)"])
def test_a_name_is_one_that_keys_addresses_and_commands_can_hold(name: str) -> None:
    for field in ("name", "tenant"):
        assert codes({**GOOD, field: name}) == {(field, "odd_name")}


@pytest.mark.parametrize("name", ["crm", "db.eu-1:5432-shop", "Größe 2", "_", "a@b", "c++", "-x", ".hidden", "名前"])
def test_a_plain_name_is_taken(name: str) -> None:
    assert judge({**GOOD, "name": name}).spec


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"port": "abc"}, "is not a whole number"),
        ({"port": 70_000}, "is more than 65535"),
        ({"pool_timeout": 0}, "is not more than 0"),
        ({"pool_timeout": "soon"}, "is not a number"),
        ({"username": ["x"]}, "is not text"),
        ({"labels": {"retention": 5}}, "is not text"),
        ({"labels": 7}, "is not a block of fields"),
        ({"cloud_config": 7}, "is not a block of fields"),
        ({"scope": {"tables": "a"}}, "is not a list"),
        ({"engine": "mongodb", "srv": "maybe"}, "is neither true nor false"),
        ({"owner": "x" * 300}, "is longer than 255 characters"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_in_our_words(more: dict[str, object], words: str) -> None:
    assert words in {problem.message for problem in judge({**GOOD, **more}).problems}


def test_a_host_that_is_left_out_is_told() -> None:
    """It is the machine that PurSight runs on, which is seldom what somebody means who forgot it."""
    bare = {name: value for name, value in GOOD.items() if name != "host"}
    assert any("localhost" in note for note in judge(bare).notes)
    assert not judge({"name": "lake", "engine": "folder", "database": "x", "path": "/srv"}).notes


def test_the_nearest_known_name_is_offered() -> None:
    """A typing mistake is met with the right word."""
    problem = next(p for p in judge({**GOOD, "usernam": "x"}).problems if p.field == "usernam")
    assert "username" in problem.remedy


@pytest.mark.parametrize("field", ["password", "db_password", "api_key", "aws_secret_token", "passphrase"])
def test_a_field_that_looks_like_a_secret_is_refused_and_not_repeated(field: str) -> None:
    """The value of a suspicious field stands in no problem and no note."""
    judged = judge({**GOOD, field: "s3cr3t-value"})
    assert judged.spec is None
    assert (field, "secret_in_document") in {(p.field, p.code) for p in judged.problems}
    assert "s3cr3t-value" not in repr(judged)


def test_a_literal_password_in_the_right_field_is_refused_too() -> None:
    """password_secret takes references only."""
    judged = judge({**GOOD, "password_secret": "hunter2"})
    assert ("password_secret", "secret_not_a_reference") in {(p.field, p.code) for p in judged.problems}
    assert "hunter2" not in repr(judged)


CHAINS = [
    "env:A | hunter2",
    "hunter2 | env:A",
    "env:A | vault:x/y#z | hunter2",
    "env:A |hunter2",
    "env:A hunter2",
    " | ".join(["env:A"] * 5 + ["hunter2"]),
]


@pytest.mark.parametrize("chain", CHAINS)
def test_no_part_of_a_chain_is_a_literal(chain: str) -> None:
    """Wherever a reference belongs; and there are no more of them than are asked."""
    principal = {"provider": "azure", "tenant_id": "t", "client_id": "c", "client_secret_ref": chain}
    for field, more in (
        ("password_secret", {"password_secret": chain}),
        ("ssl_config.key", {"ssl_config": {"cert": "/c", "key": chain}}),
        ("cloud_config.client_secret_ref", {"location": "cloud", "password_secret": "", "cloud_config": principal}),
    ):
        judged = judge({**GOOD, **more})
        assert [problem.field for problem in judged.problems] == [field]
        assert "hunter2" not in repr(judged)
    assert judge({**GOOD, "password_secret": "env:A | vault:x/y#z | file:/run/a secret"}).spec


def test_both_spellings_are_understood_and_noted() -> None:
    """The requirement documents' names give the same source as ours."""
    theirs = judge(
        {
            "name": "crm",
            "source_type": "postgres",
            "location": "CLOUD",
            "host": "h",
            "database_name": "shop",
            "username": "scan",
            "cloud_provider": "AWS",
            "connection_properties": {"ssl_ca": "/ca.pem", "cloud_config": {"aws_region": "eu-west-1", "use_iam_auth": True}},
        }
    )
    ours = judge(
        {
            "name": "crm",
            "location": "cloud",
            "host": "h",
            "database": "shop",
            "username": "scan",
            "ssl_config": {"ca": "/ca.pem"},
            "cloud_config": {"provider": "aws", "region": "eu-west-1", "use_iam_auth": True},
        }
    )
    assert theirs.problems == ours.problems == ()
    assert theirs.spec == ours.spec
    assert theirs.notes


def test_a_block_of_another_provider_is_named() -> None:
    """An AWS field in an Azure block names both."""
    judged = judge({**GOOD, "location": "cloud", "cloud_config": {"provider": "azure", "role_arn": "x"}})
    problem = next(p for p in judged.problems if p.code == "wrong_provider")
    assert "aws" in problem.message
    assert "azure" in problem.message


def test_the_order_of_fields_changes_nothing() -> None:
    """Registering twice changes nothing, however it is written; what differs is named."""
    labels = {"zone": "b", "a": "c"}
    first, second = judge({**GOOD, "labels": labels}).spec, judge({**GOOD, "labels": labels, "owner": "ops"}).spec
    assert first
    assert second
    assert judge(dict(reversed({**GOOD, "labels": dict(reversed(labels.items()))}.items()))).spec == first
    assert changed_fields(first, second) == ("owner",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "postgresql://scan:hush@db.example/shop"),
        ("description", "log in with password=hush"),
        ("labels", {"dsn": "postgres://scan:hush@db"}),
        ("scope", {"schemas": ["postgres://scan:hush@db"]}),
    ],
)
def test_a_password_inside_another_field_is_refused(field: str, value: object) -> None:
    """A database URL or DSN pasted where one part of it belongs never becomes a source, and its words are not repeated."""
    judged = judge({**GOOD, field: value})
    assert judged.spec is None
    assert any(problem.code == "secret_in_document" and problem.field.startswith(field) for problem in judged.problems)
    assert "hush" not in repr(judged)


@pytest.mark.parametrize("text", ["Ask https://wiki.example/scan:help", "the password policy applies", "user@example.org"])
def test_words_about_passwords_are_no_passwords(text: str) -> None:
    """Links, addresses and talk about passwords may stand in a description."""
    assert judge({**GOOD, "description": text}).spec


@pytest.mark.parametrize("more", [{"database": "b\0"}, {"labels": {"k\0": "v"}}, {"labels": {"k": "v\0"}}, {"x\0": 1}])
def test_a_zero_character_is_refused_and_not_repeated(more: dict[str, object]) -> None:
    """No database keeps it, so it must not get as far as one, not even in an answer."""
    judged = judge({**GOOD, **more})
    assert judged.spec is None
    assert judged.problems
    assert "\0" not in "".join(problem.model_dump_json() for problem in judged.problems)
    assert "\\u0000" not in "".join(problem.model_dump_json() for problem in judged.problems)


@pytest.mark.parametrize("schedule", ["99999999999d", "9" * 60 + "d", "9" * 5000 + "d"])
def test_an_interval_beyond_the_calendar_is_refused(schedule: str) -> None:
    """The next scan must have a date."""
    assert ("schedule", "not_a_schedule") in codes({**GOOD, "schedule": schedule})
