"""`pursight review …`: columns that the rules are not sure of, and a person's word on any column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

import typer

from shared.cli.connect import Edge, edge, listed, scope_of
from shared.cli.find import key_of, require_source
from shared.cli.output import and_more, as_json, plain, spoken, stderr, stdout, table
from shared.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="What a person says of columns: list, confirm, reject, relabel, classes.")
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Table = Annotated[str, typer.Argument(metavar="TABLE", help="as `pursight search` shows it, or the end of that, such as public.customer")]
Column = Annotated[str, typer.Argument(metavar="COLUMN")]
Reason = Annotated[str, typer.Option(help="why, for the ledger")]
RULESET = "pursight"  # the rules in force
NAMED = 20  # columns in an error


@app.command("list")
def list_(
    source: Annotated[str, typer.Option(help="only this one's: NAME or TENANT/NAME; TENANT/ for all of a tenant")] = "",
    limit: Annotated[int, typer.Option(min=1, help="tables")] = 100,
    json_output: Json = False,
) -> None:
    """Columns that wait for a person, with the best guess and what spoke for and against it."""
    with edge() as line:
        found = listed(line, "/reviews", "reviews", limit=limit, source=scope_of(source))
        if not found["reviews"]:
            require_source(line, source)
    if json_output:
        as_json(found)
    elif found["reviews"]:
        table("Columns to review", ("table", "column", "best guess", "sure", "why"), _rows(found["reviews"]))
    else:
        stdout.print("No column waits for a person.")
    and_more(found["total"], len(found["reviews"]), "tables")
    if found["reviews"] and not json_output:
        stderr.print("`pursight review confirm TABLE COLUMN`, `reject TABLE COLUMN` or `relabel TABLE COLUMN CLASS` decides.", style="dim")


def _rows(reviews: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for each in reviews:
        for column in each["columns"]:
            guess = column.get("runner_up") or column.get("class_name", "none")
            why = "; ".join(reason["text"] for reason in column.get("reasons", ()))
            yield plain(spoken(each["asset"])), plain(column["name"]), guess, f"{column.get('confidence', 0):.0%}", plain(why)


@app.command()
def confirm(name: Table, column: Column, reason: Reason = "", json_output: Json = False) -> None:
    """The column is what it was said to be, or was guessed to be."""
    _decide(name, column, json_output, decision="confirm", reason=reason)


@app.command()
def reject(name: Table, column: Column, reason: Reason = "", json_output: Json = False) -> None:
    """The column is not what it was said to be, and nothing else that matters. That holds until its values change."""
    _decide(name, column, json_output, decision="reject", reason=reason)


@app.command()
def relabel(
    name: Table,
    column: Column,
    class_name: Annotated[str, typer.Argument(metavar="CLASS", help="one of `pursight review classes`")],
    reason: Reason = "",
    json_output: Json = False,
) -> None:
    """The column is something else."""
    _decide(name, column, json_output, decision="relabel", class_name=class_name, reason=reason)


def _decide(name: str, column: str, json_output: bool, **said: str) -> None:
    with edge() as line:
        asset = key_of(line, name)
        column = _reviewable(line, asset, column, said["decision"])
        answer = line.send("POST", "/reviews", {"asset": asset, "column": column, **{key: text for key, text in said.items() if text}})
    if json_output:
        return as_json(answer)
    what = f"is {said['class_name']}" if "class_name" in said else f"{said['decision']}ed"
    stdout.print(plain(f"{spoken(asset)}, {column}: {what}. It takes effect within seconds, there and on columns like it."), soft_wrap=True)


def _reviewable(line: Edge, asset: str, column: str, decision: str) -> str:
    """The column's name, which may be written as it is shown. Raises UsageError where the table has no such column, or there is nothing to
    confirm."""
    columns = {each["name"]: each for each in line.get(f"/assets/{quote(asset, safe='')}")["columns"]}
    shown = [each for each in columns if plain(each).plain == column]
    column = shown[0] if column not in columns and len(shown) == 1 else column
    if column not in columns:
        named = ", ".join(plain(each).plain for each in list(columns)[:NAMED]) + (" …" if len(columns) > NAMED else "")
        raise UsageError(
            f"{spoken(asset)} has no column {column}", why=f"it has {named}", remedy="Write one of them.", code="unknown_column"
        )
    known = columns[column]
    if decision == "confirm" and known["class"] == "none" and known["state"] != "abstained":
        raise UsageError(
            f"{column} has no class to confirm",
            remedy=f"`pursight review relabel {spoken(asset)} {column} CLASS` gives one.",
            code="no_class",
        )
    return column


@app.command()
def classes(json_output: Json = False) -> None:
    """What a column may be: classes with category, sensitivity and the regulations that care."""
    with edge() as line:
        found = line.get(f"/rulesets/{RULESET}")["classes"]
    if json_output:
        return as_json({"classes": found})
    rows = ((each["name"], each["category"], each["sensitivity"], ", ".join(each["regulations"])) for each in found)
    return table("Classes", ("class", "category", "sensitivity", "regulations"), rows)
