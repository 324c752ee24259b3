"""What a scan found, on one screen: classes, riskiest tables, controls that do not hold, tags, and where to look further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from shlex import quote
from typing import Any

from rich.text import Text

from shared.cli.output import colored, plain, spoken, stdout, table

SEVERITIES = ("critical", "high", "medium", "low")
SENSITIVITIES = ("restricted", "confidential", "internal", "public")
CONTROLS, TABLES, CLASSES, PLACES = 8, 5, 12, 3  # what fits on one screen; the pages have the rest
LEFT_OUT = {
    "no_privilege": "could not be read by this role, so they are judged by names alone; let it read them (GRANT SELECT) to see more",
    "unreadable_file": "cannot be read as the files they seem to be (damaged, encrypted, another format), so nobody knows what is in them",
    "archived": "lie in an archive, so nobody looked into them; restore them to see more",
    "shut": "could not be listed, so what was known to be in there stands",
    "no_statistics": "have no statistics at the server, and their owner agreed to no more; its ANALYZE makes some",
    "mass_removal": "went away at once and are kept until a person asks; more likely a lost privilege than a drop",
    "gone": "went away while the scan ran",
    "no_text": "hold no text to look into (pictures, packed or encrypted data), so they are judged by their names",
    **dict.fromkeys(
        ("statements_budget", "bytes_budget", "seconds_budget"),
        "were not looked at, since the source's scan_budget was spent; the next scan goes on there",
    ),
}
EXAMPLES = {  # values that the fields take which controls ask for
    "owner": "team-crm",
    "environment": "prod",
    "labels.purpose": "billing",
    "labels.retention": "2y",
    "labels.country": "DE",
    "labels.transfer_mechanism": "scc",
    "labels.impact_assessment": "dpia-7",
}
Found = dict[str, Any]


def show(found: Found, *, pages: str, manifest: Found | None = None) -> None:
    """Print the report of the whole source as it is now. `pages` is the address that opens the catalog in a browser; `manifest` is what
    the scan says of itself, with what earlier ones told that were not over when it was asked for."""
    assets = found["assets"]
    columns = [column for asset in assets for column in asset["columns"]]
    views = sum("view" in asset["kind"] for asset in assets)
    _headline(found["source"], (len(assets) - views, views, len(columns)), manifest or {})
    _classes(columns)
    violations = open_ones(found["violations"])
    ranked = _ranked(violations)
    _riskiest(ranked)
    _controls(violations)
    _waived(len(found["violations"]) - len(violations), found["source"])
    _undeclared(found["source"], found["undeclared"])
    _further(found, pages, first=ranked[0][0] if ranked else "")


def open_ones(violations: list[Found]) -> list[Found]:
    """Those that nobody waived."""
    return [violation for violation in violations if violation["state"] == "open"]


def reaching(violations: list[Found], threshold: str) -> int:
    """How many open violations are at least as severe as `threshold`."""
    return sum(SEVERITIES.index(violation["severity"]) <= SEVERITIES.index(threshold) for violation in open_ones(violations))


def _headline(source: str, counts: tuple[int, int, int], manifest: Found) -> None:
    tables, views, columns = counts
    stdout.print()
    seen = [_many(tables, "table"), *([_many(views, "view")] if views else ()), _many(columns, "column")]
    stdout.print(plain(f"{spoken(source)}: {', '.join(seen)}{_news(manifest, tables + views)}"), style="bold")
    if not tables + views:
        stdout.print("No tables that this role can see, or no files. Check the name; of a database, grant USAGE on a schema.")
    for left in manifest.get("left_out", ()):
        if left["why"] != "told_by_type" and not left["why"].startswith("not_sampled_"):
            what, names = {"folders": "folder", "columns": "column"}.get(left["what"], "table"), left.get("names", ())
            words = LEFT_OUT.get(left["why"], f"could not be read whole ({left['why'].replace('_', ' ')})")
            stdout.print(plain(f"{_many(left['count'], what)} {words}{_first(names, left['count'])}."), style="yellow")


def _news(manifest: Found, assets: int) -> str:
    """What is new since the scan before; nothing where all of it is."""
    changed, removed = manifest.get("changed", 0), manifest.get("removed", 0)
    if not removed and (not manifest or changed >= assets):
        return ""
    told = [f"{changed:,} new or changed"] * bool(changed) + [f"{removed:,} gone"] * bool(removed)
    return f"; since the scan before {', '.join(told)}" if told else "; nothing changed since the scan before"


def _first(names: Sequence[str], count: int) -> str:
    """A few assets, and how many there are besides; of columns their types."""
    assets = [_short(name) for name in names if "/" in name]
    return f": {_few(assets, count)}" if assets else f": {', '.join(names[:PLACES])}" if names else ""


def _classes(columns: list[Found]) -> None:
    """One line for each sensitivity: its classes, the most frequent first."""
    counted: dict[str, Counter[str]] = {}
    for column in columns:
        if column["class"] not in ("none", ""):
            counted.setdefault(column["sensitivity"], Counter())[column["class"]] += 1
    rows = [(colored(each), f"{sum(counted[each].values()):,}", _listed(counted[each])) for each in SENSITIVITIES if each in counted]
    if rows:
        table("\nClasses found", ("sensitivity", "columns", "classes"), rows)


def _listed(counts: Counter[str]) -> str:
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CLASSES])
    return named + (f", {len(counts) - CLASSES:,} more" if len(counts) > CLASSES else "")


def _ranked(violations: list[Found]) -> list[tuple[str, Counter[str]]]:
    """Assets with how many violations they have of each severity, the worst first."""
    by_asset: dict[str, Counter[str]] = {}
    for violation in violations:
        by_asset.setdefault(violation["asset"], Counter())[violation["severity"]] += 1
    return sorted(by_asset.items(), key=lambda item: ([-item[1][severity] for severity in SEVERITIES], item[0]))


def _riskiest(ranked: list[tuple[str, Counter[str]]]) -> None:
    if ranked:
        rows = ((_short(key), *(colored(each, held[each]) for each in SEVERITIES)) for key, held in ranked[:TABLES])
        table("\nRiskiest tables, by violations", ("table", *SEVERITIES), rows)


def _controls(violations: list[Found]) -> None:
    """One line for each control that does not hold, and one that says where."""
    broken: dict[tuple[int, str, str], list[Found]] = {}
    for violation in violations:
        broken.setdefault((SEVERITIES.index(violation["severity"]), violation["control"], violation["title"]), []).append(violation)
    order = sorted(broken.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1]))
    if order:
        rows = (
            (colored(SEVERITIES[severity]), control, f"{len(held):,}", Text("\n").join((plain(title), plain(_places(held)))))
            for (severity, control, title), held in order[:CONTROLS]
        )
        table("\nControls that do not hold, worst first", ("severity", "control", "tables", "what is asked, and where it fails"), rows)
    if len(order) > CONTROLS:
        rest = sum(len(held) for _, held in order[CONTROLS:])
        more = f"… and {_many(len(order) - CONTROLS, 'more control')} with {_many(rest, 'violation')}"
        stdout.print(f"{more}: `pursight violations list --by-control`, or the pages.", style="dim", highlight=False, soft_wrap=True)


def _waived(count: int, source: str) -> None:
    if count:
        listed = f"`pursight violations list --source {spoken(source)} --state waived`"
        stdout.print(plain(f"{_many(count, 'violation')} waived: {listed}"), style="dim", soft_wrap=True)


def _places(held: list[Found]) -> str:
    if len(held) == 1:
        columns = held[0]["columns"]
        return _short(held[0]["asset"]) + (f" ({_few(columns, len(columns))})" if columns else "")
    return _few(sorted(_short(violation["asset"]) for violation in held), len(held))


def _few(names: Sequence[str], count: int) -> str:
    """The first names of so many."""
    return ", ".join(names[:PLACES]) + (f" and {count - PLACES:,} more" if count > PLACES else "")


def _undeclared(source: str, asked: list[Found]) -> None:
    """What the source does not say of itself: once, however many tables it leaves unknown."""
    if not asked:
        return
    named = ", ".join(each["field"].removeprefix("labels.").replace("_", " ") for each in asked)
    tables = _many(max(each["tables"] for each in asked), "table")
    stdout.print()
    stdout.print(plain(f"Not declared on the source: {named}. Controls that ask for it stay unknown, on up to {tables}."), style="yellow")
    example = " ".join(f"--set {each['field']}={EXAMPLES.get(each['field'], '…')}" for each in asked)
    stdout.print(plain(f"Declare it, for example: pursight source edit {spoken(source)} {example}"), style="dim", soft_wrap=True)


def _further(found: Found, pages: str, *, first: str) -> None:
    """Where to look on; `first`: the table to begin with, empty where nothing fails."""
    targets = {tag["target"] for tag in found["tags"]}
    keys = {tag["key"] for tag in found["tags"]}
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in found["seconds"].items() if stage != "total")
    stdout.print()
    if targets:
        stdout.print(f"Tags   {_many(len(keys), 'key')} on {_many(len(targets), 'target')}", highlight=False)
    if stages:
        stdout.print(plain(f"Time   {stages} s"), soft_wrap=True)
    if first:
        stdout.print(plain(f"Why    pursight show {quote(spoken(first))}"), soft_wrap=True)
    if found["trace_id"]:
        stdout.print(plain(f"Trace  pursight trace {found['trace_id']}"), soft_wrap=True)
    stdout.print(plain(f"Pages  {pages}"), soft_wrap=True)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _short(asset_key: str) -> str:
    """schema.table of an asset's key, as people write it."""
    return spoken(asset_key.rsplit("/", 1)[-1].replace(".%2F.", ".").partition(".")[2])
