"""`pursight rules …`: rule sets of your own. Tests need no running stack; diff and suggest read what the last scans found."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from services.classifier.commands.stored import all_tables, in_force, open_store
from services.classifier.domain.rulefile import Change, RuleFile, changes, failures, pattern_failures
from services.classifier.domain.suggesting import NAME, Suggestion, suggestions
from services.classifier.domain.tables import Judge
from services.classifier.gateway.packs import RULES
from services.classifier.settings import ClassifierSettings
from shared.cli.files import read_file
from shared.cli.output import as_json, plain, spoken, stdout, table
from shared.contracts.judging.wording import in_words
from shared.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Rule sets of your own: test, diff, suggest, publish.")
File = Annotated[Path, typer.Argument(metavar="FILE", help="a rule set, its name ending in .rules.yaml")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
FAILED, FOUND = 1, 3  # exit codes: a test failed; something would change
SHOWN = 5
MOST_NODES = 200_000


@app.command("test")
def run_tests(file: File, json_output: Json = False) -> None:
    """Do its own tests come out as they say? Exit code 1 where one does not."""
    rules = rules_of(file)
    judge = in_force(rules)
    ruleset = judge.ruleset
    try:
        found = [*failures(rules.tests, ruleset, judge.thresholds), *pattern_failures(rules)]
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
    judge = in_force(rules_of(file))
    ruleset = judge.ruleset
    found, looked = asyncio.run(_changes(judge))
    if json_output:
        as_json({"ruleset": ruleset.label, "assets": looked, "changes": [each._asdict() for each in found]})
    elif found:
        rows = [(spoken(each.asset), each.column, each.before, each.after) for each in found]
        table(f"Of {looked} assets these columns would change: {len(found)}", ("asset", "column", "now", "then"), rows)
    else:
        stdout.print(plain(f"Nothing would change in {looked} assets."))
    if found:
        raise typer.Exit(FOUND)


@app.command()
def suggest(json_output: Json = False) -> None:
    """Rules from what people confirmed, each with the columns that it would label besides: a rule set to be read before it is used."""
    found, looked = asyncio.run(_suggestions())
    if json_output:
        as_json({"assets": looked, "suggestions": [each._asdict() for each in found]})
    elif not found:
        stdout.print(plain(f"Nothing: no confirmed column of {looked} assets has a word that the rules do not know."))
    else:
        sys.stdout.write("".join(_as_yaml(found)))


@app.command()
def publish(file: File) -> None:
    """Put a rule set whose tests pass where the classifier looks: seconds later it holds, also for what is known."""
    if not file.name.endswith(RULES):
        raise UsageError(f"{file.name} is no name of a rule set", remedy=f"Let it end in {RULES}.", code="invalid_rules")
    run_tests(file)
    folder = ClassifierSettings().rules_folder
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f".{file.name}.new"
    new.write_bytes(file.read_bytes())
    new.replace(folder / file.name)
    told = "The classifier takes it up within seconds and judges again what it knows, without touching a source."
    stdout.print(plain(f"{folder / file.name} is in place. {told}"))


def rules_of(file: Path) -> RuleFile:
    """The rule set in a file. Raises UsageError: what is wrong, by line and field."""
    given = read_file(str(file), kind="rule set", most_nodes=MOST_NODES)
    try:
        return RuleFile.model_validate(given.document)
    except ValidationError as error:
        found = [(".".join(map(str, each["loc"])), in_words(each)) for each in error.errors(include_input=False)]
    told = [f"line {line}: {field} {words}" if (line := given.line_of(field)) else f"{field} {words}" for field, words in found[:SHOWN]]
    more = f"; {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    remedy = "See the README, Labels, and rules of your own."
    raise UsageError(f"{given.name} is no rule set", why="; ".join(told) + more, remedy=remedy, code="invalid_rules")


def _as_yaml(found: Iterable[Suggestion]) -> Iterator[str]:
    found = list(found)
    yield f'name: {NAME}\nversion: "1"\nwords:\n'
    yield from (f"  {word}: []\n" for word in dict.fromkeys(each.word for each in found))
    yield "names:\n"
    for class_name in dict.fromkeys(each.class_name for each in found):
        of_class = [each for each in found if each.class_name == class_name]
        for each in of_class:
            yield f"  # {each.word}: {len(each.confirmed)} confirmed, would label {len(each.besides)} besides{_shown(each.besides)}\n"
        yield f"  {class_name}: {{strong: [{', '.join(each.word for each in of_class)}]}}\n"


def _shown(places: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{spoken(asset)}.{plain(column)}" for asset, column in places[:SHOWN])
    return f": {shown}{' …' if len(places) > SHOWN else ''}" if places else ""


async def _changes(new: Judge) -> tuple[list[Change], int]:
    """By the rules in force against these, without what people decided; and how many assets were looked at."""
    old = in_force()
    found: list[Change] = []
    looked = 0
    async with open_store() as store:
        async for tables in all_tables(store):
            found += changes(old, new, tables)
            looked += len(tables)
    return found, looked


async def _suggestions() -> tuple[list[Suggestion], int]:
    async with open_store() as store:
        decided = await store.decided()
        tables = [table async for some in all_tables(store) for table in some]
    return suggestions(in_force(), decided, tables, in_force), len(tables)
