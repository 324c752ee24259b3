"""The report of a scan: short, plain, and of exactly the promised shape."""

from __future__ import annotations

import pytest

from shared.cli import report
from shared.cli.output import spoken, stdout, table


def violation(table: str, severity: str = "high", control: str = "gdpr:9", columns: tuple[str, ...] = ()) -> report.Found:
    return {
        "asset": f"default/demo/shop.public.{table}",
        "severity": severity,
        "state": "open",
        "control": control,
        "title": f"What {control} asks",
        "message": f"public.{table} fails",
        "columns": list(columns),
    }


def found(*violations: report.Found, assets: int = 1) -> report.Found:
    column = {"name": "email", "class": "email", "sensitivity": "confidential", "category": "personal"}
    asset = {"schema": "public", "table": "t", "kind": "table", "asset": "default/demo/shop.public.t", "columns": [column]}
    return {
        "source": "default/demo",
        "trace_id": "0" * 32,
        "scan_id": "s",
        "seconds": {"discovered": 1.0, "tagged": 2.0, "total": 2.0},
        "assets": [asset] * assets,
        "violations": list(violations),
        "undeclared": [],
        "tags": [{"target": "a", "key": "k"}],
    }


def test_one_control_over_many_tables_is_one_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """Grouped by control, worst first, with the first few tables and how many more."""
    many = [violation(f"t{number}") for number in range(20)]
    report.show(found(*many, violation("card", "critical", "pci-dss:3.5.1", ("pan", "pin"))), pages="")
    shown = capsys.readouterr().out
    assert shown.count("What gdpr:9 asks") == 1
    assert "and 17 more" in " ".join(shown.split())
    assert "public.card (pan, pin)" in shown
    assert shown.index("pci-dss:3.5.1") < shown.index("gdpr:9")
    assert "Why    pursight show demo/shop.public.card\n" in shown


def test_the_report_of_a_large_scan_fits_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    """However many controls and tables there are."""
    violations = [violation(f"t{number % 90}", "medium", f"soc2:{number}") for number in range(900)]
    report.show(found(*violations, assets=500), pages="http://127.0.0.1/")
    assert len(capsys.readouterr().out.splitlines()) <= 50


def test_views_are_counted_on_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever knows how many tables there are finds that number."""
    scanned = found(assets=2)
    scanned["assets"].append(scanned["assets"][0] | {"kind": "materialized_view"})
    report.show(scanned, pages="")
    assert "demo: 2 tables, 1 view, 3 columns" in capsys.readouterr().out


def test_a_program_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """An id is not cut where nobody looks at a terminal."""
    table("Letters", ("id", "why"), [("i" * 100, "w" * 100)])
    assert "i" * 100 in capsys.readouterr().out


@pytest.mark.parametrize("width", [24, 40, 64, 80])
def test_nothing_is_lost_on_a_narrow_terminal(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where columns would vanish, each row is a block of names and values."""
    monkeypatch.setattr(stdout, "width", width)
    row = ("crm-database-of-the-north", "postgresql", "on_prem", "db.example.org", 1)
    table("Sources", ("source", "engine", "location", "host", "version"), [row, ("second", *row[1:])])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    for cell in map(str, row):
        assert shown.count(cell[:12]) >= 1, shown
    assert ("location  on_prem" in shown) is (width < 64)


def test_what_could_not_be_read_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A role without SELECT gets an answer, and is told what is missing in it; codes that tell nothing to a person are left out."""
    left_out = [{"what": "samples", "why": "no_privilege", "count": 3}, {"what": "samples", "why": "not_sampled_view", "count": 1}]
    left_out += [
        {"what": "columns", "why": "no_text", "count": 9, "names": ["bytea", "bit"]},
        {"what": "columns", "why": "told_by_type", "count": 7, "names": ["date"]},
    ]
    report.show(found(), pages="", manifest={"left_out": left_out, "unchanged": 4, "changed": 0, "removed": 1})
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 tables could not be read by this role" in shown
    assert "since the scan before 1 gone" in shown
    assert (
        "9 columns hold no text to look into (pictures, packed or encrypted data), so they are judged by their names: bytea, bit." in shown
    )
    assert not any(word in shown for word in ("not_sampled_view", "told_by_type", "date"))


@pytest.mark.parametrize(
    ("manifest", "ends"),
    [
        pytest.param({"changed": 2}, "2 columns", id="all of it is new"),
        pytest.param({"changed": 1}, "; since the scan before 1 new or changed", id="some"),
        pytest.param({"changed": 1, "removed": 3}, "; since the scan before 1 new or changed, 3 gone", id="some, and some gone"),
        pytest.param({"changed": 0}, "; nothing changed since the scan before", id="nothing"),
    ],
)
def test_the_headline_is_of_the_whole_source(manifest: report.Found, ends: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is now; what is new stands beside it."""
    report.show(found(assets=2), pages="", manifest=manifest)
    headline = capsys.readouterr().out.splitlines()[1]
    assert headline.startswith("demo: 2 tables, 2 columns")
    assert headline.endswith(ends)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        pytest.param({"what": "tables", "why": "seconds_budget", "count": 7}, "7 tables were not looked at", id="the budget"),
        pytest.param(
            {"what": "samples", "why": "statement_timeout", "count": 1},
            "1 table could not be read whole (statement timeout)",
            id="a failure",
        ),
        pytest.param({"what": "tables", "why": "gone", "count": 1}, "1 table went away while the scan ran", id="dropped meanwhile"),
    ],
)
def test_whatever_kept_a_scan_from_a_table_is_said(left: report.Found, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where nobody thought of words for it."""
    report.show(found(), pages="", manifest={"left_out": [left]})
    assert words in " ".join(capsys.readouterr().out.split())


def test_damaged_files_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The first few, as people write them: what lies at the root has no folder before it."""
    names = [f"default/drop/drop.{folder}.f{number}%2Eparquet" for folder in ("%2F", "sub") for number in range(2)]
    report.show(found(), pages="", manifest={"left_out": [{"what": "samples", "why": "unreadable_file", "count": 40, "names": names}]})
    shown = " ".join(capsys.readouterr().out.split())
    assert "40 tables cannot be read" in shown
    assert "nobody knows what is in them: f0.parquet, f1.parquet, sub.f0.parquet and 37 more." in shown


def test_what_a_source_does_not_declare_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """However many tables it leaves unknown; and nothing is said where nothing is missing."""
    missing = [{"field": name, "tables": tables, "says": "", "remedy": ""} for name, tables in (("owner", 70), ("labels.retention", 12))]
    report.show(found(violation("t")) | {"undeclared": missing}, pages="")
    shown = " ".join(capsys.readouterr().out.split())
    assert "Not declared on the source: owner, retention. Controls that ask for it stay unknown, on up to 70 tables." in shown
    report.show(found(violation("t")), pages="")
    assert "Not declared" not in capsys.readouterr().out


@pytest.mark.parametrize(("threshold", "reached"), [("critical", 0), ("high", 1), ("medium", 1), ("low", 2)])
def test_a_threshold_is_met_by_what_is_at_least_as_severe(threshold: str, reached: int) -> None:
    """`--fail-on high` fails on high and critical."""
    assert report.reaching([violation("t"), violation("u", "low")], threshold) == reached
    assert not report.reaching([], threshold)
    assert not report.reaching([violation("t", "critical") | {"state": "waived"}], threshold)


def test_what_is_waived_fails_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It is counted in a line of its own, and no table is risky for it."""
    report.show(found(violation("t") | {"state": "waived"}), pages="")
    shown = " ".join(capsys.readouterr().out.split())
    assert "Controls that do not hold" not in shown
    assert "1 violation waived: `pursight violations list --source" in shown


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("default/crm", "crm"),
        ("acme/crm", "acme/crm"),
        ("default/a%2Eb%2Fc", "a.b/c"),
        ("default/a%0Ab%1B", "a�b�"),
        ("default/d/d.%2F.%2Elocked%2Ecsv", "d/d..locked.csv"),
    ],
)
def test_keys_are_spoken_as_people_write_them(key: str, said: str) -> None:
    """Without escapes, without the usual tenant, and without anything that could steer a terminal."""
    assert spoken(key) == said
