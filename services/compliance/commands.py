"""`pursight violations …`: what fails and what helps; accept one for a time; a framework's report."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from shared.cli.connect import Edge, edge, listed, scope_of
from shared.cli.find import key_of, require_source
from shared.cli.output import and_more, as_json, colored, plain, spoken, stdout, table
from shared.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Violations: list, show, waive, unwaive, report.")
Id = Annotated[str, typer.Argument(help="a violation's id or the beginning of it, as `list` shows it")]
Source = Annotated[str, typer.Option(help="only this one's: NAME or TENANT/NAME; TENANT/ for all of a tenant")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
SHORT, MOST = 8, 1000  # characters of an id that are shown; tables that a report names for each control
OUTCOMES = ("pass", "fail", "waived", "unknown")
DAYS = {"open": ("open since", "opened_at"), "waived": ("waived until", "waived_until"), "resolved": ("resolved on", "resolved_at")}
NOTHING = "''"  # an empty fact, as a control's author writes it
Found = dict[str, Any]


@app.command("list")
def list_(
    source: Source = "",
    framework: Annotated[str, typer.Option(help="GDPR, CCPA, HIPAA, PCI-DSS, SOC2, or a pack of your own")] = "",
    severity: Annotated[str, typer.Option(help="critical, high, medium, low")] = "",
    state: Annotated[str, typer.Option(help="open, waived, resolved, all")] = "open",
    asset: Annotated[str, typer.Option(metavar="TABLE", help="only this one's, named as `pursight show` names it, or by its end")] = "",
    by_control: Annotated[bool, typer.Option("--by-control", help="one line per control and source")] = False,
    limit: Annotated[int, typer.Option(min=1, help="lines")] = 50,
    json_output: Json = False,
) -> None:
    """What fails, the worst first."""
    with edge() as line:
        narrowed = {"source": scope_of(source), "framework": framework, "severity": severity}
        narrowed["asset"] = key_of(line, asset) if asset else ""
        found = listed(line, "/violations", "violations", limit=limit, **narrowed, state=state, group="control" if by_control else "")
        if not (rows := found["violations"]):
            require_source(line, source)
    if json_output:
        as_json(found)
    elif not rows:
        stdout.print(plain(_nothing(state, is_narrowed=any(narrowed.values()))), soft_wrap=True)
    elif by_control:
        table("Violations by control", ("severity", "control", "source", "tables", "what is asked, what helps"), map(_control, rows))
    else:
        when = "state" if state == "all" else DAYS[state][0]
        shown = (_row(each, mixed=state == "all") for each in rows)
        table("Violations", ("violation", "severity", "control", "table", when, "what fails"), shown)
    and_more(found["total"], len(rows))


def _nothing(state: str, *, is_narrowed: bool) -> str:
    what = "No violations" if state == "all" else f"No {state} violations"
    if is_narrowed:
        return f"{what} of that: fewer options find more, and `pursight source list` shows what is registered."
    return f"{what}. `pursight source list` shows what is registered, and what was scanned."


def _row(found: Found, *, mixed: bool) -> tuple[Any, ...]:
    head = found["violation"][:SHORT], colored(found["severity"]), found["control"], spoken(found["asset"])
    word, at = DAYS[found["state"]]
    when = _minute(found[at]) if found["state"] == "waived" else found[at][:10]
    return *head, f"{word} {when}" if mixed else when, found["message"]


def _control(found: Found) -> tuple[Any, ...]:
    told = Text("\n").join((plain(found["title"]), Text(found["remedy"], style="dim")))
    return colored(found["severity"]), found["control"], spoken(found["source"]), f"{found['tables']:,}", told


@app.command()
def show(id: Id, json_output: Json = False) -> None:
    """One violation: what fails and where, the facts, what helps, since when, and its waiver."""
    with edge() as line:
        found = line.get(_path(line, id))
    if json_output:
        return as_json(found)
    stdout.print(
        plain(f"{spoken(found['asset'])}: {found['severity']}, {found['state']}, {found['control']}"), style="bold", soft_wrap=True
    )
    told = [
        ("is asked", found["title"]),
        ("fails", found["message"]),
        ("columns", ", ".join(found["columns"])),
        ("facts", ", ".join(f"{name} = {value or NOTHING}" for name, value in found["facts"].items())),
        ("helps", found["remedy"]),
        ("since", _minute(found["opened_at"])),
        ("waiver", _waiver(found)),
        ("resolved", _resolved(found)),
        ("violation", found["violation"]),
    ]
    for name, text in told:
        if text:
            stdout.print(Text(f"  {name:<10}", style="dim") + plain(text), soft_wrap=True)
    if found["state"] == "open":
        stdout.print(
            f"Accept it for a time: `pursight violations waive {found['violation'][:SHORT]} --reason TEXT --days N`.",
            style="dim",
            soft_wrap=True,
        )
    if found["state"] == "waived":
        stdout.print(
            f"End that now: `pursight violations unwaive {found['violation'][:SHORT]} --reason TEXT`.", style="dim", soft_wrap=True
        )
    return None


def _waiver(found: Found) -> str:
    """Who accepts it, or did until that was over, until when and why. Of one that a person ended the audit ledger tells."""
    if "waived_until" not in found:
        return ""
    over = ", over" if datetime.fromisoformat(found["waived_until"]) <= datetime.now(UTC) else ""
    return f"until {_minute(found['waived_until'])}, by {found['waived_by']}{over}: {found['waived_reason']}"


def _resolved(found: Found) -> str:
    if "resolved_at" not in found:
        return ""
    return f"{_minute(found['resolved_at'])}: {found.get('resolved_reason', '').replace('_', ' ')}".removesuffix(": ")


def _minute(moment: str) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC"


@app.command()
def waive(
    id: Id,
    reason: Annotated[str, typer.Option(help="why it may stay, for who audits it")],
    days: Annotated[int | None, typer.Option(min=1, help="for how long from now")] = None,
    expires: Annotated[str, typer.Option(metavar="DATE", help="or until when, in UTC: 2026-12-31 (to its end), 2026-12-31T18:00")] = "",
    owner: Annotated[str, typer.Option(metavar="WHO", help="who answers for it, beside you")] = "",
    json_output: Json = False,
) -> None:
    """Accept a violation for a time. Who did, why and until when goes to the audit ledger."""
    if (days is None) == (not expires):
        raise UsageError("a waiver needs one end", remedy="Give --days or --expires.", code="waiver_expiry")
    until = {"expires": expires} if days is None else {"days": days}
    with edge() as line:
        path = _path(line, id)
        found = line.send("POST", f"{path}/waive", {"reason": reason, "owner": owner, **until})
        shown = line.get(path)
    if json_output:
        return as_json(found)
    told = f"{spoken(shown['asset'])}: {shown['control']} is waived until {_minute(found['expires'])}, by {found['waived_by']}."
    return stdout.print(plain(f"{told} If it fails then, it is open again."), soft_wrap=True)


@app.command()
def unwaive(
    id: Id, reason: Annotated[str, typer.Option(help="why it may stay no longer, for who audits it")], json_output: Json = False
) -> None:
    """End a waiver before its time. Who did and why goes to the audit ledger."""
    with edge() as line:
        found = line.send("POST", f"{_path(line, id)}/unwaive", {"reason": reason})
    if json_output:
        return as_json(found)
    return stdout.print(plain(f"{spoken(found['asset'])}: {found['control']} is no longer waived: {found['state']}."), soft_wrap=True)


@app.command()
def report(
    framework: Annotated[str, typer.Argument(help="GDPR, CCPA, HIPAA, PCI-DSS, SOC2, or a pack of your own")],
    source: Source = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="comma separated, with the tables that fail, for a spreadsheet")] = False,
    json_output: Json = False,
) -> None:
    """A framework's controls: on how many tables each passes, fails, is waived or is not known."""
    path, scope = f"/reports/{quote(framework, safe='')}", scope_of(source)
    with edge() as line:
        if as_csv:
            sys.stdout.writelines(line.stream(path, source=scope, tables=MOST, format="csv"))
            return None
        found = line.get(path, source=scope, tables=MOST)
        if nothing := not any(control[name] for control in found["controls"] for name in OUTCOMES):
            require_source(line, source)
    if json_output:
        return as_json(found)
    if nothing:
        told = f"{found['framework']} was asked of no table there yet. `pursight source list` shows what is registered."
        return stdout.print(plain(told), soft_wrap=True)
    head = ("severity", "control", *OUTCOMES, "what is asked, what is not known")
    return table(f"{found['framework']}, {found['name']} {found['version']}", head, map(_reported, found["controls"]))


def _reported(control: Found) -> tuple[Any, ...]:
    missing = ", ".join(f"{name} ({count:,})" for name, count in control["missing"].items())
    told = Text("\n").join([plain(control["title"]), *([Text(f"not known: {missing}", style="yellow")] if missing else ())])
    return colored(control["severity"]), control["control"], *(f"{control[name]:,}" for name in OUTCOMES), told


def _path(line: Edge, id: str) -> str:
    """The path of the violation with this id, or of the only one whose id begins so. Raises UsageError where several do, or none."""
    found = line.get("/violations", id=id, state="all", limit=1)
    if not found["total"]:
        remedy = "`pursight violations list --state all` shows them."
        raise UsageError(f"no violation begins with {plain(id)}", remedy=remedy, code="unknown_violation")
    if found["total"] > 1 or not id:
        raise UsageError(
            f"{found['total']:,} violations begin with {plain(id or 'nothing')}", remedy="Give more of its id.", code="ambiguous_violation"
        )
    return f"/violations/{found['violations'][0]['violation']}"
