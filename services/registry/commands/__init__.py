"""`pursight source …`: register, check, look, change, remove, and explain what the choices in a source lead to."""

from __future__ import annotations

import json
import math
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from services.registry.commands.editing import in_editor, with_fields
from services.registry.commands.files import Written, read
from services.registry.commands.showing import tell
from shared.cli.connect import Edge, address, edge, named_as, path_of
from shared.cli.output import as_json, plain, spoken, stderr, stdout, sure, table
from shared.contracts.choices import Answer, explain
from shared.contracts.document import published_schema
from shared.contracts.judging.source import Judged, judge
from shared.contracts.names import SourceName
from shared.contracts.source import DataSource
from shared.errors import Failed, PurSightError, UsageError, did_you_mean

app = typer.Typer(no_args_is_help=True, help="Data sources: add, check, list, show, edit, remove, explain, schema.")
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Which = Annotated[str, typer.Argument(help="a YAML or JSON file, - for standard input, or a database URL")]
Named = Annotated[str, typer.Argument(help="NAME, or TENANT/NAME")]
Version = Annotated[int | None, typer.Option(help="refuse where the source is no longer at this version")]


def judged(given: Written, *, json_output: bool) -> Judged:
    """What the registry would say of it. Raises UsageError, after every problem is told with its line, where that is no."""
    found = judge(given.document)
    if found.spec:
        return found
    listed = [{**problem.model_dump(), "line": given.line_of(problem.field)} for problem in found.problems]
    listed.sort(key=lambda problem: problem["line"] or math.inf)
    told = [_told(problem) for problem in listed]
    if json_output:
        as_json({"problems": listed, "notes": list(found.notes)})
    elif len(told) > 1:
        for line in told:
            stderr.print(plain(line))
    raise UsageError(f"{given.name} is no source", why=told[0] if len(told) == 1 else f"{len(told)} problems", code="source_rejected")


def _told(problem: dict[str, Any]) -> str:
    place = f"line {problem['line']}: " if problem["line"] else ""
    return f"{place}{problem['field']} {problem['message']}. {problem['remedy']}".strip()


def _notes(notes: list[str]) -> None:
    for note in notes:
        stdout.print(plain(f"  note: {note}"))


def _registered(answer: dict[str, Any], *, json_output: bool) -> None:
    if json_output:
        return as_json(answer)
    unchanged = "" if answer["changed"] else ", unchanged"
    stdout.print(plain(f"{spoken(answer['source'])} is registered as version {answer['version']}{unchanged}"))
    _notes(answer["notes"])


@app.command()
def add(
    which: Which,
    version: Version = None,
    tried: Annotated[bool, typer.Option("--check", help="only where a preflight reaches it")] = False,
    json_output: Json = False,
) -> None:
    """Register a source, or change it: idempotent by name."""
    given = read(which)
    found = judged(given, json_output=json_output)
    if tried and found.spec:
        _reached(found.spec, _preflight(found.spec, given.password, None))
    with edge() as line:
        answer = line.send("POST", "/sources", given.document, version=version)
    _registered(answer, json_output=json_output)


@app.command()
def check(
    which: Annotated[str, typer.Argument(help="the name of a source, a YAML or JSON file, - for standard input, or a database URL")],
    wait: Annotated[float | None, typer.Option(min=0.1, max=50, help="seconds after which a connection is given up")] = None,
    json_output: Json = False,
) -> None:
    """Validate, and try it gate by gate where the stack is up; nothing is kept."""
    given = _stored(which) if _is_name(which) else read(which)
    found = judged(given, json_output=json_output)
    assert found.spec
    dialled = _preflight(found.spec, given.password, wait) if _is_up() else None
    if json_output:
        spec = found.spec.model_dump(mode="json", exclude_defaults=True)
        as_json({"spec": spec, "notes": list(found.notes), "preflight": dialled})
    else:
        stdout.print("What is written is valid." + ("" if dialled else " The stack is not running, so the source was not dialled."))
        _notes([*found.notes, *(f"{each['cause']}. {each['remedy']}".strip() for each in (dialled or {}).get("warnings", ()))])
        _gates(dialled or {})
    if dialled:
        _reached(found.spec, dialled)


def _reached(spec: DataSource, dialled: dict[str, Any]) -> None:
    """Raises Failed where the preflight did not come in."""
    if not dialled["reachable"]:
        told = dialled["diagnosis"]
        raise Failed(f"{spoken(spec.key)} cannot be reached", why=told["cause"], remedy=told["remedy"], code=told["code"])


def _is_up() -> bool:
    try:
        address()
    except UsageError:
        return False
    return True


def _gates(found: dict[str, Any]) -> None:
    """A line for each gate of each endpoint; what the host's name means here."""
    for end in ({**found, "role": ""}, *found.get("others", ())):
        where = f"{end['role']} {end['host']}:{end['port']}" if end["role"] else "Gates"
        if at := ", ".join(f"{each['address']} ({each['kind']})" for each in end.get("addresses", ())):
            where += f" of {at}"
        rows = [(gate["name"], gate["result"], f"{gate['seconds']:.3f} s", gate["code"], _said(gate)) for gate in end.get("gates", ())]
        if rows:
            table(where, ("gate", "result", "took", "code", "why, and what helps"), rows)


def _said(gate: dict[str, Any]) -> str:
    return f"{gate['cause']}. {gate['remedy']}" if gate["remedy"] else str(gate["cause"])


def _preflight(spec: DataSource, password: str | None, wait: float | None) -> dict[str, Any]:
    """What a dial finds. The password goes with this one call."""
    given: dict[str, Any] = {"password": password} if password is not None else {}
    given |= {"connect_seconds": wait} if wait is not None else {}
    with edge() as line:
        return dict(line.send("POST", "/preflight", {"source": json.loads(spec.to_json()), **given}))


@app.command("list")
def list_(json_output: Json = False) -> None:
    """All sources."""
    with edge() as line:
        found = line.get("/sources")
    if json_output:
        return as_json(found)
    if not found["sources"]:
        return stdout.print("No sources yet: `pursight scan URL` or `pursight source add FILE` registers one.")
    specs = [(each, DataSource.model_validate(each["spec"])) for each in found["sources"]]
    rows = [
        (spoken(each["source"]), spec.engine, spec.location, "" if spec.engine == "folder" else spec.host, spec.database, each["version"])
        for each, spec in specs
    ]
    table("Sources", ("source", "engine", "location", "host", "database", "version"), rows)


@app.command()
def show(name: Named, json_output: Json = False) -> None:
    """One source with its history, and which of its endpoints is read, how each does, and how safe the line is."""
    with edge() as line:
        path, found = _found(line, name)
        ends, health = _health(line, f"{path}/endpoints"), _health(line, path)
    if json_output:
        return as_json(found | {"endpoints": ends, "health": health})
    tell(found, health, ends)


def _found(line: Edge, name: str) -> tuple[str, dict[str, Any]]:
    """A registered source and its path, also where its name reads like TENANT/NAME or holds what no new name may. Raises PurSightError."""
    path = path_of(named_as(name))
    try:
        return path, line.get(path)
    except UsageError as error:
        if error.code != "unknown_source":
            raise
        known = [each["source"] for each in line.get("/sources")["sources"]]
        alike = [key for key in known if spoken(key) == name]
        if not alike and (near := did_you_mean(name, map(spoken, known))):
            raise UsageError(error.what, remedy=near, code=error.code) from None
        if not alike:
            raise
        path = path_of(SourceName.parse(alike[0]))
        return path, line.get(path)


def _health(line: Edge, path: str) -> Any:
    """What the connector knows of it; None where it has not dialled it yet, or is away."""
    try:
        return line.get(f"/health{path}")
    except PurSightError:
        return None


@app.command()
def failover(name: Named, to: Annotated[str, typer.Option(help="primary or secondary")] = "secondary") -> None:
    """Read a hybrid source from its other endpoint, where that answers."""
    with edge() as line:
        line.send("POST", f"/health{path_of(named_as(name))}/failover", {"to": to})
    stdout.print(plain(f"{name} is read from its {to} after the next look; `pursight source show {name}` tells."))


@app.command()
def edit(
    name: Named,
    set_: Annotated[list[str], typer.Option("--set", metavar="FIELD=VALUE", help="change this field; may be given again")] = [],  # noqa: B006
    version: Version = None,
    json_output: Json = False,
) -> None:
    """Change a source: with --set, or in $EDITOR. Refused where somebody else changed it meanwhile."""
    with edge() as line:
        _, now = _found(line, name)
        at = now["version"] if version is None else version
        given = with_fields(now["spec"], set_) if set_ else in_editor(now["spec"], name=spoken(now["source"]), version=at)
        if given is None:
            return stdout.print("Nothing was changed.")
        spec = judged(given, json_output=json_output).spec
        if spec and spec.key != now["source"]:
            raise UsageError("a source keeps its name and tenant", remedy="Add the new one, then remove this one.", code="identity_changed")
        answer = line.send("POST", "/sources", given.document, version=at)
    _registered(answer, json_output=json_output)


@app.command()
def remove(name: Named, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Forget a source: its scans end, its state, its assets and its topics' entries go."""
    with edge() as line:
        path, found = _found(line, name)
        version = None if yes else found["version"]
        sure(f"Forget {name} and all that is known of it?", yes=yes)
        line.send("DELETE", path, version=version)
    told = "What is known of it is being forgotten, which is done when the pages no longer show it."
    stdout.print(plain(f"{name} is no longer registered. {told}"), soft_wrap=True)


@app.command("explain")
def explain_(
    which: Annotated[str, typer.Argument(help="the name of a source, a YAML or JSON file, -, or a database URL")], json_output: Json = False
) -> None:
    """What location, engine and identity lead to: endpoints, TLS, sign-in, secrets, pool, what to install, each with the reason."""
    spec = judged(_stored(which) if _is_name(which) else read(which), json_output=json_output).spec
    assert spec
    answers = [*explain(spec), _driver(spec.engine)]
    if json_output:
        return as_json({"source": spec.key, "answers": [answer._asdict() for answer in answers]})
    table(spoken(spec.key), ("", "choice", "why"), answers)


def _is_name(which: str) -> bool:
    """Of a source that is registered, rather than of a file?"""
    return not (which == "-" or "://" in which or Path(which).is_file() or Path(which).suffix in (".yaml", ".yml", ".json"))


def _stored(name: str) -> Written:
    with edge() as line:
        return Written(name, _found(line, name)[1]["spec"])


def _driver(engine: str) -> Answer:
    found = next(iter(entry_points(group="pursight.sources", name=engine)), None)
    if found is None:
        return Answer("driver", "none", f"nothing that is installed here reads {engine}")
    return Answer("driver", found.value, "installed here, found by the entry point pursight.sources")


@app.command()
def schema() -> None:
    """The JSON Schema of a source document, for editors and other checks."""
    as_json(published_schema())
