"""`pursight rules …`: rule sets of your own. Tests need no running stack; diff reads what the last scans found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from services.classifier.app import load_ruleset, read_rules, thresholds_of
from services.classifier.domain.rulefile import Change, RuleFile, changes, failures
from services.classifier.domain.rulesets import Ruleset
from services.classifier.domain.tables import Judge
from services.classifier.settings import ClassifierSettings
from services.classifier.store import SERVICE, Store
from shared.cli.output import as_json, plain, spoken, stdout, table
from shared.cli.parts import database_url
from shared.db.pool import open_pool
from shared.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Rule sets of your own: test, diff.")
File = Annotated[Path, typer.Argument(metavar="FILE", help="a rule set, its name ending in .rules.yaml")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
FAILED, FOUND = 1, 3  # exit codes: a test failed; something would change
CHUNK = 500


@app.command("test")
def run_tests(file: File, json_output: Json = False) -> None:
    """Do its own tests come out as they say? Exit code 1 where one does not."""
    rules, ruleset = _loaded(file)
    try:
        found = list(failures(rules.tests, ruleset, thresholds_of(ruleset, ClassifierSettings())))
    except ValueError as error:
        raise UsageError(f"{file.name} cannot be tested", why=str(error), code="invalid_rules") from error
    columns = sum(len(example.columns) for example in rules.tests)
    if json_output:
        as_json({"ruleset": ruleset.label, "columns": columns, "failures": [each._asdict() for each in found]})
    elif found:
        table(f"{len(found)} of {columns} columns come out otherwise", ("column", "wanted", "got", "because"), found)
    else:
        stdout.print(plain(f"{ruleset.label}: {columns} columns come out as the tests say."))
    if found:
        raise typer.Exit(FAILED)


@app.command("diff")
def show_diff(file: File, json_output: Json = False) -> None:
    """Which columns of the last scans would get another class. Exit code 3 where there is any."""
    _, ruleset = _loaded(file)
    found, looked = asyncio.run(_changes(ruleset))
    if json_output:
        as_json({"ruleset": ruleset.label, "assets": looked, "changes": [each._asdict() for each in found]})
    elif found:
        rows = [(spoken(each.asset), each.column, each.before, each.after) for each in found]
        table(f"{len(found)} columns of {looked} assets would change", ("asset", "column", "now", "then"), rows)
    else:
        stdout.print(plain(f"Nothing would change in {looked} assets."))
    if found:
        raise typer.Exit(FOUND)


def _loaded(file: Path) -> tuple[RuleFile, Ruleset]:
    rules = read_rules(file)
    return rules, load_ruleset(ClassifierSettings().rule_packs, over=rules)


async def _changes(ruleset: Ruleset) -> tuple[list[Change], int]:
    """By the rules in force against these, without what people decided; and how many assets were looked at."""
    settings = ClassifierSettings()
    now = load_ruleset(settings.rule_packs)
    old, new = Judge(now, thresholds_of(now, settings)), Judge(ruleset, thresholds_of(ruleset, settings))
    found: list[Change] = []
    looked, after = 0, ""
    pool = await open_pool(database_url(), schema=SERVICE, application_name="pursight rules diff")
    try:
        while tables := await Store(pool).tables(after, CHUNK):
            found += changes(old, new, tables)
            looked, after = looked + len(tables), tables[-1].asset
    finally:
        await pool.close()
    return found, looked
