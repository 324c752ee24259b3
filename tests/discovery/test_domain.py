"""The decisions of discovery, without any outside: pieces of JSON, differences, plans, scope."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.discovery.domain import document, drift, event, grade, pace, plan
from services.discovery.domain.document import Outline, Place
from services.discovery.domain.pace import LADDER, Budget, Pace, Signals
from services.discovery.domain.plan import Known
from services.discovery.domain.scope import NOTHING, contains, effective
from shared.contracts.asset import Column, ColumnEvidence, SchemaChange, SchemaDiscovered, Shape
from shared.contracts.names import AssetName
from shared.contracts.source import DataSource, Scope
from shared.sources.base import Index

PLACE = Place("acme", "crm", "shop", "postgres://db:5432/shop.")
SPEC = DataSource(name="crm", tenant="acme", database="shop")


@dataclass
class Table:
    """Facts as a driver would tell them."""

    owner: str = "o"
    comment: str = ""
    row_security: bool = False
    positions: list[int] = field(default_factory=lambda: [1, 2])
    names: list[str] = field(default_factory=lambda: ["id", "mail"])
    types: list[str] = field(default_factory=lambda: ["integer", "text"])
    nullable: list[bool] = field(default_factory=lambda: [False, True])
    generated: list[bool] = field(default_factory=lambda: [True, False])
    defaults: dict[int, str] = field(default_factory=dict)
    comments: dict[int, str] = field(default_factory=dict)
    primary_key: frozenset[int] = frozenset({1})
    unique: frozenset[int] = frozenset({1})
    indexed: frozenset[int] = frozenset({1})
    view_definition: str = ""
    depends_on: tuple[tuple[str, str], ...] = ()
    keys: tuple[Any, ...] = ()
    indexes: tuple[Index, ...] = ()


@dataclass(frozen=True)
class Mark:
    schema: str = "public"
    table: str = "t"
    kind: str = "table"
    pages: int = 1
    readable: bool = True
    mark: int = 1
    unread: str = ""
    rows: int | None = 100
    written: int = 0


def said(table: Table, *, evidence: dict[int, bytes] | None = None, **more: Any) -> dict[str, Any]:
    """The event's body, read back."""
    found = document.document(PLACE, "public", "t", "table", table)
    frame = event.frame(PLACE, "acme/crm", "scan-1", spec=SPEC.to_json(), posture=b"{}", server=b'{"version":"18"}')
    given = {"sequence": 3, "statistics": event.Statistics(7, 8192, 0), "change": drift.CREATED, "sampling": "sample"} | more
    body: dict[str, Any] = orjson.loads(event.body(frame, found, evidence=evidence or {}, **given))
    return body


@given(
    st.lists(st.tuples(st.text(min_size=1).filter(lambda text: text.isprintable()), st.text(), st.booleans(), st.booleans()), max_size=8),
    st.text(),
)
def test_pieces_read_back_as_the_contract(columns: list[tuple[str, str, bool, bool]], comment: str) -> None:
    """Whatever the names, types, defaults and comments are, the joined pieces are the contract's own JSON."""
    numbers = list(range(1, len(columns) + 1))
    table = Table(
        comment=comment,
        positions=numbers,
        names=[column[0] for column in columns],
        types=[column[1] for column in columns],
        nullable=[column[2] for column in columns],
        generated=[column[3] for column in columns],
        defaults=dict.fromkeys(numbers[::2], comment),
        comments=dict.fromkeys(numbers[1::2], comment),
    )
    body = said(table)
    read = SchemaDiscovered.model_validate(body)
    assert orjson.loads(read.to_json()) == body
    assert [column.name for column in read.columns] == table.names


def test_flags_and_evidence_land_on_their_column() -> None:
    """Keys, generated, references and evidence belong to one column each."""
    evidence = ColumnEvidence(sampled=5, distinct=5)
    read = SchemaDiscovered.model_validate(said(Table(), evidence={1: evidence.to_json()}))
    assert read.columns == (
        Column(name="id", position=1, type="integer", nullable=False, generated=True, primary_key=True, unique=True, indexed=True),
        Column(name="mail", position=2, type="text", evidence=evidence),
    )


def test_the_digest_is_of_structure_only() -> None:
    """Equal structure, equal fingerprint, whatever the statistics; any structural difference changes it."""
    first = said(Table())["fingerprint"]
    assert said(Table(), statistics=event.Statistics(None, None, 3), sequence=9)["fingerprint"] == first
    for other in (Table(comment="x"), Table(types=["bigint", "text"]), Table(nullable=[True, True]), Table(defaults={2: "?"})):
        assert said(other)["fingerprint"] != first


def test_an_index_is_told_and_its_change_is_one_of_keys() -> None:
    """As the contract has it, with what a b-tree of columns does not have left unsaid."""
    made = Index("of_mail", ("mail",), method="gin", predicate="(id > ?)")
    table = Table(indexes=(Index("by_mail", ("mail",)), made))
    told = said(table)
    assert told["indexes"] == [
        {"name": "by_mail", "columns": ["mail"]},
        {"name": "of_mail", "columns": ["mail"], "method": "gin", "predicate": "(id > ?)"},
    ]
    assert SchemaDiscovered.model_validate(told).indexes[1].predicate == "(id > ?)"
    assert "indexes" not in said(table, most_bytes=10)
    before = document.outline("table", Table(indexes=(made,)))
    assert [change.kind for change in drift.changes(before, document.outline("table", table), numbered=True)] == ["key_changed"]


def test_too_large_is_cut_in_the_stated_order() -> None:
    """First the shapes go, then all evidence, then texts; each time it says so."""
    shapes = tuple(Shape(pattern=f"a{number}", count=5) for number in range(200))
    evidence = {1: ColumnEvidence(sampled=9, shapes=shapes).to_json()}
    table = Table(comment="c" * 3000)
    whole = len(orjson.dumps(said(table, evidence=evidence)))
    no_shapes = said(table, evidence=evidence, most_bytes=whole - 10)
    assert (no_shapes["truncated"], no_shapes["columns"][1]["evidence"]) == (True, {"sampled": 9})
    no_evidence = said(table, evidence=evidence, most_bytes=len(orjson.dumps(no_shapes)) - 10)
    assert "evidence" not in no_evidence["columns"][1]
    bare = said(table, evidence=evidence, most_bytes=1000)
    assert "comment" not in bare
    for body in (no_shapes, no_evidence, bare):
        SchemaDiscovered.model_validate(body)


@given(st.text(min_size=1), st.text(min_size=1))
def test_keys_are_the_names_own(schema: str, table: str) -> None:
    """The short cut gives what the one parser of names gives."""
    try:
        expected = AssetName("acme", "crm", "shop", schema, table).key
    except ValueError:
        return
    assert PLACE.key(schema, table) == expected


def test_nothing_differs_from_itself() -> None:
    """drift(a, a) is empty, also after a trip through storage."""
    outline = document.outline("table", Table())
    assert drift.changes(outline, Outline.from_json(outline.to_json()), numbered=True) == ()


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param({"names": ["id", "email"]}, ("column_renamed", "email", "none"), id="renamed"),
        pytest.param({"types": ["bigint", "text"]}, ("type_changed", "id", "full"), id="wider"),
        pytest.param({"types": ["smallint", "text"]}, ("type_changed", "id", "readers"), id="narrower"),
        pytest.param({"types": ["integer", "integer"]}, ("type_changed", "mail", "none"), id="another type"),
        pytest.param({"nullable": [False, False]}, ("nullability_changed", "mail", "readers"), id="stricter"),
        pytest.param({"nullable": [True, True]}, ("nullability_changed", "id", "writers"), id="less strict"),
        pytest.param({"comments": {2: "new"}}, ("comment_changed", "mail", "full"), id="column comment"),
        pytest.param({"comment": "new"}, ("comment_changed", "", "full"), id="table comment"),
        pytest.param({"view_definition": "select ?"}, ("view_changed", "", "none"), id="view"),
    ],
)
def test_each_difference_has_its_kind(after: dict[str, Any], expected: tuple[str, str, str]) -> None:
    """Typed, on its column, and who can go on as before; the event says what holds of all changes together."""
    found = drift.changes(document.outline("table", Table()), document.outline("table", replace(Table(), **after)), numbered=True)
    assert [(change.kind, change.column, change.compatibility) for change in found] == [expected]
    assert found[0].compatible is (expected[2] in ("full", "readers"))
    assert SchemaDiscovered.model_validate(said(Table(), change=found)).compatibility == expected[2]


def test_a_dropped_column_is_not_a_rename() -> None:
    """A server never gives a dropped column's number again."""
    shorter = Table(positions=[1, 3], names=["id", "other"])
    found = drift.changes(document.outline("table", Table()), document.outline("table", shorter), numbered=True)
    assert [change.kind for change in found] == ["column_dropped", "column_added"]
    assert all(isinstance(change, SchemaChange) for change in found)


def test_without_numbers_a_rename_is_not_proven() -> None:
    """Where positions are counted anew after a drop, another name at the same place may be another column."""
    other = Table(names=["id", "other"])
    found = drift.changes(document.outline("table", Table()), document.outline("table", other), numbered=False)
    assert sorted((change.kind, change.column) for change in found) == [("column_added", "other"), ("column_dropped", "mail")]


@pytest.mark.parametrize(("filled", "expected"), [(frozenset({3}), "full"), (frozenset(), "readers")])
def test_an_added_column_that_must_be_filled_stops_who_writes(filled: frozenset[int], expected: str) -> None:
    """NOT NULL without a default: an insert that does not name it fails."""
    longer = Table(positions=[1, 2, 3], names=["id", "mail", "age"], types=["integer", "text", "integer"], nullable=[False, True, False])
    longer = replace(longer, generated=[True, False, False])
    found = drift.changes(document.outline("table", Table()), document.outline("table", longer), numbered=True, filled=filled)
    assert [(change.kind, change.compatibility) for change in found] == [("column_added", expected)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("character varying(40)", "character varying(255)", "full"),
        ("character varying(255)", "character varying(40)", "readers"),
        ("character varying(40)", "character varying", "full"),
        ("character varying(40)", "text", "full"),
        ("numeric(10,2)", "numeric(12,2)", "full"),
        ("numeric(10,2)", "numeric(10,4)", "none"),
        ("numeric", "numeric(10,2)", "readers"),
        ("decimal(10,0)", "decimal(8)", "readers"),
        ("int(11)", "int", "full"),
        ("int", "int unsigned", "none"),
        ("timestamp(3) without time zone", "timestamp(6) without time zone", "full"),
        ("timestamp without time zone", "timestamp with time zone", "none"),
        ("enum(?,?)", "enum(?,?,?)", "none"),
        ("geometry(Point,4326)", "geometry(Point,3857)", "none"),
        ("string", "null | string", "writers"),
        ("long | string", "string", "readers"),
        ("long", "string", "none"),
    ],
)
def test_types_are_graded_by_the_values_they_hold(before: str, after: str, expected: str) -> None:
    """Wider suits all, narrower suits who reads."""
    assert grade.of_type(before, after) == expected


@given(st.lists(st.sampled_from(["full", "readers", "writers", "none"])))
def test_together_changes_suit_only_whom_each_suits(grades: list[str]) -> None:
    """Full only where all are; none where one side is lost to one change and the other to another."""
    suited = {"full": {"r", "w"}, "readers": {"r"}, "writers": {"w"}, "none": set[str]()}
    assert suited[grade.meet(grades)] == {"r", "w"}.intersection(*(suited[each] for each in grades))


KNOWN = {("public", "t"): Known("k", 1, 1, "old", "sample")}


@pytest.mark.parametrize(
    ("mark", "known", "mode", "looked", "sampled"),
    [
        pytest.param(Mark(), {}, "incremental", 1, 1, id="new"),
        pytest.param(Mark(), KNOWN, "incremental", 0, 0, id="unchanged"),
        pytest.param(Mark(mark=2), KNOWN, "incremental", 1, 1, id="structure changed"),
        pytest.param(Mark(pages=100), KNOWN, "incremental", 1, 1, id="grown"),
        pytest.param(Mark(pages=2), KNOWN, "incremental", 0, 0, id="a little grown"),
        pytest.param(Mark(), KNOWN, "full", 1, 1, id="full"),
        pytest.param(Mark(kind="view"), {}, "incremental", 1, 0, id="view"),
        pytest.param(Mark(readable=False), {}, "incremental", 1, 0, id="not readable"),
        pytest.param(Mark(), {("public", "t"): Known("k", 1, 1, "now", "sample")}, "full", 0, 0, id="done by this scan"),
    ],
)
def test_what_a_scan_looks_at(mark: Mark, known: dict[Any, Known], mode: Any, looked: int, sampled: int) -> None:
    """New, changed, grown, or everything when asked; never what this very scan has done."""
    work = plan.plan([mark], known, scan_id="now", mode=mode, consent="sample")
    assert (len(work.look), len(work.count)) == (looked, sampled)


@pytest.mark.parametrize(
    ("mark", "consent", "counted"),
    [
        pytest.param(Mark(pages=100, written=500), "sample", 0, id="tidied up"),
        pytest.param(Mark(pages=100, written=500), "statistics", 1, id="counted anew by the server"),
        pytest.param(Mark(written=521), "sample", 1, id="rewritten in place"),
        pytest.param(Mark(written=520), "sample", 0, id="few rows written"),
        pytest.param(Mark(pages=100, written=520), "sample", 1, id="few rows written, and grown"),
        pytest.param(Mark(rows=None, written=501), "sample", 1, id="nobody knows how many rows there are"),
        pytest.param(Mark(written=0), "sample", 0, id="no longer told"),
        pytest.param(Mark(pages=100), "sample", 1, id="no longer told, and grown"),
        pytest.param(Mark(pages=0, written=500), "sample", 1, id="emptied, which is no write of a row"),
    ],
)
def test_values_are_counted_again_where_rows_were_written(mark: Mark, consent: Any, counted: int) -> None:
    """A server that tidies up changes sizes, and no value; who writes in place changes values, and no size."""
    known = {("public", "t"): Known("k", 1, 1, "old", consent, written=500)}
    assert len(plan.plan([mark], known, scan_id="now", mode="incremental", consent=consent).count) == counted


@pytest.mark.parametrize(
    ("looked", "left_out", "consent", "readable", "expected"),
    [
        pytest.param("sample", "", "none", True, (1, 0), id="withdrawn: taken back"),
        pytest.param("sample", "", "statistics", False, (1, 0), id="withdrawn where nothing can be read any more"),
        pytest.param("statistics", "", "none", True, (1, 0), id="statistics withdrawn"),
        pytest.param("none", "", "none", True, (0, 0), id="never given"),
        pytest.param("none", "", "statistics", True, (1, 1), id="given"),
        pytest.param("statistics", "", "sample", True, (1, 1), id="widened"),
        pytest.param("statistics", "", "sample", False, (0, 0), id="widened, not readable"),
        pytest.param("sample", "statement_timeout", "sample", True, (1, 1), id="failed, so once more"),
        pytest.param("statistics", "no_statistics", "statistics", True, (0, 0), id="none there: asked when the table has moved"),
    ],
)
def test_consent_is_followed(looked: str, left_out: str, consent: Any, readable: bool, expected: tuple[int, int]) -> None:
    """An unchanged table is looked at again where its owner agrees to something else, and what is no longer agreed to is said no more."""
    known = {("public", "t"): Known("k", 1, 1, "old", looked, left_out)}
    work = plan.plan([Mark(readable=readable)], known, scan_id="now", mode="incremental", consent=consent)
    assert (len(work.look), len(work.count)) == expected


def test_an_unknown_consent_is_none() -> None:
    """A fact may carry a word of a later release."""
    assert [plan.consent_of(word) for word in ("sample", "statistics", "none", "everything")] == ["sample", "statistics", "none", "none"]


def test_what_was_not_seen_is_gone() -> None:
    """Known and not seen: a candidate for removal."""
    assert plan.plan([], KNOWN, scan_id="now", mode="incremental", consent="sample").gone == ["k"]


def test_what_could_not_be_looked_at_stands() -> None:
    """Neither gone, where its folder is shut, nor without columns, where its files are; a new one is told all the same."""
    known = {("hr", "a"): Known("a", 1, 1, "old", "sample"), ("shop", "b"): Known("b", 1, 1, "old", "sample"), **KNOWN}
    marks = [Mark(mark=2, unread="no_privilege"), Mark(table="new", unread="no_privilege")]
    work = plan.plan(marks, known, scan_id="now", mode="full", consent="sample", hidden=lambda schema, table: schema == "hr")
    assert (work.gone, work.unread, work.look) == (["b"], [0], [1])


def known_in(sizes: dict[str, int], missed_by: str = "") -> dict[tuple[str, str], Known]:
    """So many assets in each schema."""
    return {
        (schema, f"t{number}"): Known(f"{schema}.t{number}", 1, 1, "old", "sample", missed_by=missed_by)
        for schema, size in sizes.items()
        for number in range(size)
    }


@pytest.mark.parametrize(
    ("gone", "sizes", "more", "kept"),
    [
        pytest.param({"a": 6}, {"a": 11}, {}, 6, id="more than half of more than ten"),
        pytest.param({"a": 5}, {"a": 11}, {}, 0, id="less than half"),
        pytest.param({"a": 10}, {"a": 10}, {}, 0, id="few tables"),
        pytest.param({"a": 11}, {"a": 11, "b": 50}, {}, 11, id="one schema of several"),
        pytest.param({"a": 11, "b": 3}, {"a": 11, "b": 50}, {}, 11, id="a schema that lost little is no concern"),
        pytest.param({"a": 9, "b": 9}, {"a": 9, "b": 9}, {}, 18, id="many small schemas"),
        pytest.param({"a": 11}, {"a": 11}, {"asked_by_person": True}, 0, id="a person asked"),
        pytest.param({"a": 11}, {"a": 11}, {"missed_by": "earlier"}, 0, id="the second scan that misses them"),
        pytest.param({"a": 11}, {"a": 11}, {"missed_by": "now"}, 11, id="the same scan after a crash"),
    ],
)
def test_mass_removal(gone: dict[str, int], sizes: dict[str, int], more: dict[str, Any], kept: int) -> None:
    """So much is only said gone when a second complete scan or a person confirms it."""
    known = known_in(sizes, more.pop("missed_by", ""))
    keys = [f"{schema}.t{number}" for schema, count in gone.items() for number in range(count)]
    found = plan.removals(keys, known, **({"scan_id": "now", "asked_by_person": False} | more))
    assert (len(found.kept), sorted(found.now + found.kept)) == (kept, sorted(keys))


def test_scopes_narrow() -> None:
    """A request can never widen what the source allows."""
    allowed = Scope(schemas=("a",), exclude_schemas=("x",))
    assert effective(allowed, Scope(schemas=("b",))) == NOTHING
    both = effective(allowed, Scope(exclude_schemas=("y",)))
    assert (both.schemas, both.exclude_schemas) == (("a",), ("x", "y"))
    assert contains(both, "a", "t")
    assert not contains(both, "x", "t")


def paced(manner: str, *looks: Signals) -> tuple[Pace, list[str]]:
    """Where these looks lead, and each change's cause."""
    found, causes = pace.begun(manner), []
    for look in looks:
        found, cause = pace.after(found, look)
        causes.append(cause)
    return found, causes


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (Signals(active=6), "active_sessions"),
        (Signals(lag_seconds=16.0), "replication_lag"),
        (Signals(wait_seconds=3.0), "pool_wait"),
        (Signals(throttled=True), "throttled"),
        (Signals(active=5, lag_seconds=14.0, wait_seconds=1.0, statement_seconds=9.0), ""),
    ],
)
def test_each_sign_of_distress_slows_a_scan(seen: Signals, cause: str) -> None:
    """One step for one look, and why; below every limit nothing changes."""
    found, causes = paced("balanced", seen)
    assert causes == [cause]
    assert (found.step == pace.begun("balanced").step) is (cause == "")


def test_slow_statements_are_told_by_two_looks() -> None:
    """Against the quickest so far, and never for what is quick anyhow."""
    quick, slow = Signals(statement_seconds=0.004), Signals(statement_seconds=0.02)
    assert paced("balanced", quick, slow, quick, slow, slow)[1] == ["", "", "", "", "slow_statements"]
    assert paced("balanced", Signals(statement_seconds=0.001), *[Signals(statement_seconds=0.009)] * 3)[1] == ["", "", "", ""]


def test_slow_requests_are_told_by_two_looks() -> None:
    """Where no server tells a statement's time, ours from here; what is as quick as our own counting could delay it is no sign."""
    quick, slow = Signals(request_seconds=0.02), Signals(request_seconds=0.09)
    assert paced("balanced", quick, slow, slow)[1] == ["", "", "slow_statements"]
    assert paced("balanced", Signals(request_seconds=0.002), *[Signals(request_seconds=0.04)] * 3)[1] == ["", "", "", ""]
    assert paced("balanced", quick, *[slow._replace(statement_seconds=0.001)] * 3)[1] == ["", "", "", ""]


@pytest.mark.parametrize(("slower", "at_work"), [(1, 0.25), (2, 0.125), (1000, 0.0625)])
def test_a_rest_grows_with_the_time_of_a_statement(slower: int, at_work: float) -> None:
    """Twice as long, half as much of us, down to a quarter; a rung without rest has none, and a server that is quick again has us back."""
    first, later = Signals(statement_seconds=0.000_001), Signals(statement_seconds=0.000_001 * slower)
    assert paced("conservative", first, *[later] * 30)[0].rest == pytest.approx(1 - at_work, abs=1e-6)
    assert paced("conservative", first, *[later] * 30, *[first] * 30)[0].rest == pytest.approx(0.75)
    assert paced("balanced", first, later)[0].rest == 0.0


def test_a_scan_gets_out_of_the_way_at_once_and_comes_back_slowly() -> None:
    """Two looks take it to the ladder's second rung; the way back is a rung at a time, after quiet looks only."""
    found, causes = paced("balanced", *[Signals(active=9)] * 4, *[Signals(active=0)] * 12)
    assert causes[:4] == ["active_sessions"] * 3 + [""]
    assert [at for at, cause in enumerate(causes[4:], 1) if cause == "quiet"] == [3, 6, 9, 12]
    assert found.step == pace.begun("balanced").step


def test_manners_differ_in_how_much_they_take() -> None:
    """The same server: conservative gives way where aggressive goes on; no manner leaves its part of the ladder."""
    causes = [paced(manner, Signals(active=8))[1] for manner in ("conservative", "balanced", "aggressive")]
    assert causes == [[""], ["active_sessions"], ["quiet"]]  # the first begins where nothing is below
    for manner, kept in pace.MANNERS.items():
        assert paced(manner, *[Signals(active=0)] * 60)[0].rung == kept.highest
    assert pace.begun("unheard of") == pace.begun("balanced")


@pytest.mark.parametrize(("connections", "gives_way"), [(0, False), (25, True), (100, True), (151, False), (500, False)])
def test_a_small_server_has_less_to_spare(connections: int, gives_way: bool) -> None:
    """Three others at work are much for a server that is set up for a hundred sessions, and nothing for one of five hundred."""
    _, cause = pace.after(pace.begun("balanced", connections), Signals(active=3))
    assert (cause == "active_sessions") is gives_way
    assert pace.begun("conservative", connections).manner == pace.MANNERS["conservative"]


@given(
    st.lists(st.builds(Signals, st.none() | st.integers(0, 99), st.none() | st.floats(0, 9), st.none() | st.floats(0, 99), st.booleans()))
)
def test_the_loop_never_leaves_the_ladder(looks: list[Signals]) -> None:
    """Whatever a server shows; a cause is told exactly where the step changes."""
    found = pace.begun("aggressive")
    for look in looks:
        before = found
        found, cause = pace.after(found, look)
        assert found.step in LADDER
        assert (found.rung != before.rung) is bool(cause)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(), ""),
        (Budget(statements=10), "statements_budget"),
        (Budget(bytes=1000), "bytes_budget"),
        (Budget(seconds=5.0), "seconds_budget"),
        (Budget(statements=11, bytes=1001, seconds=5.1), ""),
    ],
)
def test_a_budget_is_spent_when_a_limit_is_reached(budget: Budget, expected: str) -> None:
    """0 is no limit."""
    assert budget.spent(statements=10, bytes_=1000, seconds=5.0) == expected
