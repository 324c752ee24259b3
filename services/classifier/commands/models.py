"""`pursight classifier …`: the model of tier 2. Training needs the extra `ml`; nothing else of PurSight does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.classifier.commands.stored import all_tables, in_force, open_store
from services.classifier.gateway import sentences
from services.classifier.gateway.packs import FOLDER, MODEL, load_model
from services.classifier.settings import ClassifierSettings
from shared.cli.output import as_json, plain, stdout, table
from shared.contracts.asset import SchemaDiscovered
from shared.errors import UsageError

if TYPE_CHECKING:
    from services.classifier.domain.model import Model
    from services.classifier.training.fit import Score

app = typer.Typer(no_args_is_help=True, help="The model of tier 2: train, show, rollback.")
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
WORSE = 1  # exit code: the new model is no better, the one in force stays
TABLES, SHARE = 6_000, 6  # tables to learn from; one for each so many is held out
LEAST_F1, LEAST_RIGHT, MOST_OFF = -0.01, -0.005, 0.05  # how much worse a new model may be, and how far off its confidence


@app.command()
def train(
    tables: Annotated[int, typer.Option(min=60, help="how many tables to make and learn from")] = TABLES,
    seed: Annotated[int, typer.Option(help="another seed, other tables")] = 1,
    reviews: Annotated[bool, typer.Option(help="learn from what people decided, too")] = True,
    out: Annotated[str, typer.Option(metavar="FILE", help="write it there instead of taking it into force")] = "",
    json_output: Json = False,
) -> None:
    """Fit a new model, judge it beside the one in force on tables that neither has seen, and take it into force if it is no worse."""
    fit, made = _training()
    judge, folder = in_force(), ClassifierSettings().rules_folder
    learnt = fit.lesson(judge, made.examples(tables, seed))
    tune, test = fit.halves(fit.lesson(judge, made.examples(max(60, tables // SHARE), seed + 1)))
    decided, note = asyncio.run(_reviewed()) if reviews else ([], "")
    fit.learn_reviews(judge, decided, learnt, test)
    model = fit.fitted(learnt, tune, str(seed))
    new, old = fit.score(model, test), fit.score(judge.model, test) if judge.model else None
    better = bool(out) or _no_worse(new, old)
    if better:
        _put(Path(out) if out else folder / MODEL, fit.written(model), keep=not out)
    told = (
        f"It is in {out}." if out else "It is in force within seconds." if better else "It is no better than the one in force, which stays."
    )
    _tell(model, new, old, better and not out, note, told, json_output)
    if not better:
        raise typer.Exit(WORSE)


@app.command()
def show(json_output: Json = False) -> None:
    """Which model is in force, what it can say, and where it is."""
    folder = ClassifierSettings().rules_folder
    model = load_model(folder)
    if model is None:
        raise UsageError("there is no model", remedy="Train one: pursight classifier train.", code="no_model")
    where = folder / MODEL if (folder / MODEL).is_file() else FOLDER / MODEL
    told = {
        "version": model.version,
        "file": str(where),
        "classes": len(model.labels) - 1,
        "features": len(model.names),
        "tier 3": _third(),
    }
    if json_output:
        as_json(told)
    else:
        table("Models", ("what", "which"), [(name, str(value)) for name, value in told.items()])


@app.command()
def rollback() -> None:
    """Put the model before this one back into force; behind the first trained one stands the one that ships."""
    folder = ClassifierSettings().rules_folder
    present = folder / MODEL
    if not present.is_file():
        raise UsageError("the model that ships is in force: there is none before it", code="no_older_model")
    older = _older(folder)
    if older:
        older[-1].replace(present)
    else:
        present.unlink()
    stdout.print(plain(f"{older[-1].name if older else 'The model that ships'} is in force within seconds."))


def _third() -> str:
    """Are the parts of tier 3 here? Whether the database has pgvector only the service knows: GET /rulesets/pursight."""
    why = sentences.missing(ClassifierSettings().sentence_model or sentences.installed())
    return f"off: {why}. {sentences.REMEDY}" if why else "its parts are here"


def _training() -> tuple[Any, Any]:
    """The modules that fit and that make tables. Raises UsageError where the extra is missing."""
    try:
        from services.classifier.training import fit, tables
    except ImportError as error:
        remedy = "Install it: pip install -e '.[ml]'. To judge, none of it is needed."
        raise UsageError("training needs the extra ml", why=f"{error.name} is missing", remedy=remedy, code="extra_missing") from error
    return fit, tables


async def _reviewed() -> tuple[list[tuple[SchemaDiscovered, dict[str, str]]], str]:
    """Tables with what people decided on their columns; and why there are none where nothing can be read."""
    try:
        async with open_store() as store:
            decided = await store.verdicts()
            return [(t, decided[t.asset]) async for some in all_tables(store) for t in some if t.asset in decided], ""
    except UsageError as error:
        return [], str(error)


def _no_worse(new: Score, old: Score | None) -> bool:
    if new.calibration > MOST_OFF:
        return False
    return old is None or (new.macro_f1 - old.macro_f1 >= LEAST_F1 and new.accuracy - old.accuracy >= LEAST_RIGHT)


def _put(path: Path, body: bytes, *, keep: bool) -> None:
    """The model in place at once; the one that was there is kept, by a number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(body)
    if keep and path.is_file():
        last = max((_number(older) for older in _older(path.parent)), default=0)
        path.replace(path.with_name(f"model.{last + 1:04}.npz"))
    new.replace(path)


def _older(folder: Path) -> list[Path]:
    return sorted(folder.glob("model.[0-9]*.npz"))


def _number(path: Path) -> int:
    return int(path.suffixes[0][1:])


def _tell(model: Model, new: Score, old: Score | None, in_force: bool, note: str, told: str, json_output: bool) -> None:
    if json_output:
        scores = {"new": new._asdict(), "old": old._asdict() if old else None}
        as_json({"version": model.version, "in_force": in_force, **scores, "note": note})
        return
    names = ("right", "macro F1", "off by", "columns")
    rows = [(name, _figure(a), _figure(b)) for name, a, b in zip(names, new, old or ("",) * len(names), strict=True)]
    table(f"Model {model.version} on columns that it has not seen", ("figure", "new", "in force"), rows)
    if note:
        stdout.print(plain(f"Without what people decided: {note}"))
    stdout.print(plain(told))


def _figure(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
