"""What the rules say of assets, by example, by law, and word for word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compliance.domain.violations import violation_id
from shared.contracts.asset import AssetClassified
from shared.contracts.connection import Posture
from shared.contracts.source import AwsConfig, AzureConfig, GcpConfig
from tests.compliance.examples import CATEGORIES, DECLARED, GOOD, assess, asset, column, results, spec

BAD = Posture(tls_in_transit=False, tls_verified=False, logging_connections=False, logging_statements=False, encrypted_at_rest=False)
POSTURE_FIELDS = [name for name in Posture.model_fields if name != "region"]
CLASSES = st.sampled_from(sorted(CATEGORIES))


@st.composite
def assets(draw: st.DrawFn) -> AssetClassified:
    names = draw(st.lists(CLASSES | st.just("none"), max_size=6))
    evidence = st.sampled_from([(), ("card_pan",), ("-silent",), ("-none",)])
    states = st.sampled_from(["", "", "abstained"])
    columns = [column(f"c{i}", name, *draw(evidence), state=draw(states), runner_up=draw(CLASSES)) for i, name in enumerate(names)]
    flag = st.sampled_from([True, False, None])
    posture = {name: draw(st.sampled_from([0, 30, None]) if name.endswith("_days") else flag) for name in POSTURE_FIELDS}
    more: dict[str, Any] = {
        "row_security": draw(st.booleans()),
        "sampling": draw(st.sampled_from(["none", "sample"])),
        "rows_estimated": draw(st.sampled_from([None, 0, 5, 500_000])),
        "kind": draw(st.sampled_from(["table", "view", "materialized_view"])),
        "identifying_together": draw(st.sampled_from([(), ("a", "b")])),
        "spec": spec(environment=draw(st.sampled_from(["", "prod", "test"])), labels=draw(st.sampled_from([{}, DECLARED]))),
    }
    return asset(*columns, posture=Posture(**posture), **more)


def test_nothing_is_said_of_a_table_that_holds_nothing() -> None:
    """No control applies, so nobody is bothered."""
    found = assess(asset(column("sku"), column("price"), posture=BAD)).event
    assert (found.controls, found.regulations, found.sensitivity) == ((), (), "internal")


def test_a_well_kept_table_of_people_has_no_violation() -> None:
    """Declared, encrypted, logged, backed up: everything passes and nothing is unknown."""
    found = results(asset(column("email", "email", "email"), row_security=True))
    assert {result.result for result in found.values()} == {"pass"}


@settings(max_examples=60, deadline=None)
@given(assets())
def test_what_is_not_known_is_neither_a_violation_nor_a_pass(event: AssetClassified) -> None:
    """Take away everything we know about the server: what passed or failed by it becomes unknown, and nothing else fails."""
    blind = event.model_copy(update={"posture": Posture()})
    before, after = results(event), results(blind)
    for control, result in after.items():
        if result.result in ("pass", "fail"):
            assert before[control].result == result.result
        if result.result == "unknown":
            assert result.missing
            assert not result.message
    told = [fact.name for fact in assess(blind).event.missing]
    assert len(told) == len(set(told))
    assert set(told) == {name for result in after.values() for name in result.missing}


@pytest.mark.parametrize(
    ("environment", "result"),
    [("prod-eu", "pass"), ("test2", "fail"), ("Non-Production", "fail"), ("pre-prod", "fail"), ("tset", "unknown"), ("", "unknown")],
)
def test_an_environment_that_nobody_knows_passes_nothing(environment: str, result: str) -> None:
    """Personal data may be in production, not in a copy for tests; a slip of the pen says which it is of neither."""
    judged = results(asset(column("mail", "email"), spec=spec(environment=environment)))
    assert judged["gdpr:5(1)(c)"].result == result


UNDECLARED = spec(owner="", environment="", labels={})


@settings(max_examples=60, deadline=None)
@given(assets())
def test_what_a_source_does_not_declare_is_never_a_violation(event: AssetClassified) -> None:
    """A source that declares nothing has no violation that one with declarations has not."""
    silent = event.model_copy(update={"spec": UNDECLARED})
    fails = {control for control, result in results(event).items() if result.result == "fail"}
    assert {control for control, result in results(silent).items() if result.result == "fail"} <= fails


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        pytest.param({"retention": "2y"}, "pass", id="an end"),
        pytest.param({}, "unknown", id="nothing"),
        pytest.param({"retention": " TBD"}, "unknown", id="a placeholder"),
        pytest.param({"retention": "Forever"}, "fail", id="that there is no end"),
    ],
)
def test_a_declaration_is_taken_at_its_word(declared: dict[str, str], expected: str) -> None:
    """What is not said is not known; what is said to be missing is missing."""
    assert results(asset(column("email", "email"), spec=spec(labels=declared)))["gdpr:5(1)(e)"].result == expected


@settings(max_examples=60, deadline=None)
@given(assets(), st.randoms())
def test_equal_assets_are_judged_equally(event: AssetClassified, random: Any) -> None:
    """Judging twice, or with the columns in another order, gives the same results."""
    shuffled = list(event.columns)
    random.shuffle(shuffled)
    other = results(event.model_copy(update={"columns": tuple(shuffled)}))
    assert {control: result.result for control, result in results(event).items()} == {c: r.result for c, r in other.items()}
    assert assess(event).digest == assess(event).digest


@settings(max_examples=60, deadline=None)
@given(assets(), st.sampled_from(["integer", "numeric", "timestamp with time zone"]))
def test_an_unrelated_column_changes_nothing(event: AssetClassified, kind: str) -> None:
    """A column that holds nothing of interest is nobody's business."""
    wider = event.model_copy(update={"columns": (*event.columns, column("unrelated", type=kind))})
    assert assess(wider).digest == assess(event).digest


@settings(max_examples=30, deadline=None)
@given(assets())
def test_policy_has_no_provider_branch(event: AssetClassified) -> None:
    """The same facts give the same results on premises and in each cloud."""
    clouds = [None, AwsConfig(provider="aws"), AzureConfig(provider="azure"), GcpConfig(provider="gcp")]
    placed = [event.model_copy(update={"spec": event.spec.model_copy(update={"cloud_config": cloud})}) for cloud in clouds]
    assert len({tuple((c, r.result, r.message) for c, r in results(each).items()) for each in placed}) == 1


@settings(max_examples=30, deadline=None)
@given(assets())
def test_results_come_worst_first(event: AssetClassified) -> None:
    """A person reads from the top and may stop anywhere."""
    order = {"low": 0, "medium": 1, "high": 2, "critical": 3}
    fails = [result.severity for result in assess(event).event.controls if result.result == "fail"]
    assert fails == sorted(fails, key=order.__getitem__, reverse=True)


@pytest.mark.parametrize(
    ("event", "control", "expected"),
    [
        pytest.param(
            asset(column("pan", "card_pan", "card_pan"), column("cvv", "card_cvv"), column("email", "email"), table="payments"),
            "pci-dss:3.3.1.2",
            "critical | public.payments keeps card verification codes (cvv); after the payment is authorised nobody may, not even"
            " encrypted."
            " | Delete the column and its backups, and stop the program that writes it.",
            id="card codes",
        ),
        pytest.param(
            asset(column("email", "email"), column("diagnosis", "diagnosis"), table="visits", posture=BAD, spec=spec(owner="nobody")),
            "gdpr:9",
            "high | public.visits holds special categories of personal data (diagnosis). Whoever may read the table reads all of it."
            " Its source is declared to have no owner."
            " | Enable row level security with a policy per role, and declare an owner on the source.",
            id="two reasons in one violation",
        ),
        pytest.param(
            asset(column("email", "email"), posture=BAD),
            "gdpr:32(1)(a)",
            "medium | Personal data in public.customers is not encrypted everywhere. The line to the server is open. The storage is not"
            " encrypted. | Turn TLS on at the server, and encrypt its volumes.",
            id="medium where the data is confidential",
        ),
        pytest.param(
            asset(column("note", "free_text", also=("card_pan",)), table="tickets"),
            "pci-dss:12.10.7",
            "high | Card numbers turned up in public.tickets inside text that is meant for something else (note). | Find out how they came"
            " there and stop it, then remove them from the text and treat the table as card data until it is done.",
            id="card numbers in free text",
        ),
        pytest.param(
            asset(
                column("email", "email"),
                posture=GOOD.model_copy(update={"region": "us-east-1"}),
                spec=spec(labels={**DECLARED, "transfer_mechanism": "none"}),
            ),
            "gdpr:44",
            "high | public.customers lies in a third country, and its source declares no ground for that. Storing it there is allowed, but"
            " needs one. | Record the ground on the source (label transfer_mechanism, such as scc, bcr or dpf), or move the data.",
            id="abroad without a ground",
        ),
        pytest.param(
            asset(column("religion", "religion"), *(column(f"mail_{i}", "email") for i in range(6)), spec=spec(environment="test")),
            "gdpr:5(1)(c)",
            "high | public.customers has personal data (religion, mail_0, mail_1, mail_2 and 3 more) in an environment called 'test'."
            " | Empty the table, or replace the people in it by made-up ones.",
            id="many columns are summed up",
        ),
    ],
)
def test_a_violation_reads_like_this(event: AssetClassified, control: str, expected: str) -> None:
    """What happened, where, why, and what to do."""
    found = results(event)[control]
    assert (found.result, f"{found.severity} | {found.message} | {found.remedy}") == ("fail", expected)


def test_an_unknown_says_what_would_settle_it() -> None:
    """It names the facts for machines, and for people what to do."""
    event = assess(asset(column("email", "email"), posture=GOOD.model_copy(update={"encrypted_at_rest": None}))).event
    found = next(control for control in event.controls if control.control == "gdpr:32(1)(a)")
    assert (found.result, found.missing) == ("unknown", ("posture.encrypted_at_rest",))
    told = next(fact for fact in event.missing if fact.name == "posture.encrypted_at_rest")
    assert told.says == "whether the storage is encrypted"
    assert told.remedy == "Let the connector's role read it, or register the cloud resource that holds this source."
    assert event.facts["posture.encrypted_at_rest"] == "unknown"


def test_a_failing_control_names_the_facts_behind_it() -> None:
    """And the event quotes each of them once, whichever controls read it."""
    event = assess(asset(column("email", "email"), posture=BAD)).event
    failing = [control for control in event.controls if control.result == "fail"]
    assert failing
    for control in failing:
        assert control.reads
        assert set(control.reads) <= event.facts.keys()
        assert control.message
        assert control.violation == violation_id(control.control, event.asset)


def test_an_open_column_is_named() -> None:
    """Where a column awaits its verdict, the unknown says which one."""
    event = asset(column("email", "email"), column("code", state="abstained", runner_up="diagnosis"))
    assert results(event)["gdpr:9"].missing == ("holds.special",)
    assert "whether code holds special categories of personal data" in [fact.says for fact in assess(event).event.missing]


def test_severity_follows_the_data() -> None:
    """The same open line weighs more where the data is restricted."""
    open_line = GOOD.model_copy(update={"tls_in_transit": False})
    mild, grave = (results(asset(column("c", name), posture=open_line))["gdpr:32(1)(a)"] for name in ("email", "religion"))
    assert (mild.severity, grave.severity) == ("medium", "high")


def test_a_line_that_stays_on_the_machine_needs_no_tls() -> None:
    """A laptop's own database is not told to encrypt what never travels."""
    event = asset(column("email", "email"), posture=BAD, spec=spec(host="127.0.0.1"))
    assert results(event)["ccpa:1798.100(e)"].result == "pass"
