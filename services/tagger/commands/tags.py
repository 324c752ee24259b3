"""`pursight tags …`: jobs whose resources the stack tags, and what became of the tags on each resource."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from shared.cli.connect import edge, named_as, path_of, scope_of
from shared.cli.output import as_json, plain, stdout, table

app = typer.Typer(no_args_is_help=True, help="Tags on resources: submit, withdraw, list, diff, apply.")
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="as `pursight tags list` names it, e.g. acme/resource:arn:aws:s3:::lake")]
PAGE = 1000
FOUND = 3  # exit code where something is not as it should be


@app.command()
def submit(
    config: Annotated[str, typer.Argument(metavar="FILE", help="a job; - for standard input; ${VAR} from the environment")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell what would change")] = False,
    json_output: Json = False,
) -> None:
    """Have the stack tag everything that a job names, and keep it so."""
    from services.tagger.commands.documents import refused
    from shared.cli.files import read_file
    from shared.contracts.judging.job import judge_job

    given = read_file(config, kind="job")
    judged = judge_job(given.document, os.environ)
    if judged.job is None:
        raise refused(given, judged.problems, "job", json_output=json_output)
    with edge() as line:
        answer = line.send("POST", f"/jobs{'?dry_run=true' if dry_run else ''}", judged.job.model_dump(mode="json", exclude_unset=True))
    if json_output:
        return as_json(answer)
    table("Resources", ("target",), [(target,) for target in answer["resources"]])
    if answer["skipped"]:
        rows = [(each["resource"], each["code"], f"{each['cause']}. {each['remedy']}") for each in answer["skipped"]]
        table("Skipped", ("named", "code", "why"), rows)
    change = answer["change"]
    stdout.print(plain(f"{len(change['write'])} tags are new or changed, {len(change['remove'])} go; trace {answer['trace_id']}"))


@app.command()
def withdraw(job: Annotated[str, typer.Argument(metavar="TENANT/ASSET")], json_output: Json = False) -> None:
    """Forget a job; what it runs on loses the tags that only it called for."""
    with edge() as line:
        answer = line.send("DELETE", path_of(named_as(job), "/jobs"), None)
    if json_output:
        return as_json(answer)
    stdout.print(plain(f"{answer['job']} is forgotten; {len(answer['resources'])} resources are looked at."))


@app.command("list")
def list_(
    source: Annotated[str, typer.Option(help="a source or job, NAME or TENANT/NAME; TENANT/ for all of a tenant")] = "",
    json_output: Json = False,
) -> None:
    """What became of the tags on each resource. Exit code 3 where one failed."""
    found, after = list[dict[str, Any]](), ""
    with edge() as line:
        while True:
            page = line.get("/resources", source=scope_of(source), after=after, limit=PAGE)
            found += page["resources"]
            if not page["after"]:
                break
            after = page["after"]
    if json_output:
        as_json({"resources": found})
    elif not found:
        stdout.print(
            "No cloud resource carries tags yet: `pursight scan URL` of a source in a cloud, or `pursight tags submit FILE` of a job, "
            "gives it some. Tags of tables and columns are on the pages, and in `pursight scan … --json`."
        )
    else:
        rows = [
            (each["target"], "taken back" if each["gone"] else each["outcome"], ", ".join(each["drifted"]), _told(each)) for each in found
        ]
        table("Resources", ("target", "outcome", "drifted", "what helps"), rows)
    if any(each["problem"] for each in found):
        raise typer.Exit(FOUND)


def _told(resource: dict[str, Any]) -> str:
    problem = resource["problem"]
    return f"{problem['cause']}. {problem['remedy']}" if problem else ""


@app.command()
def diff(target: Target, json_output: Json = False) -> None:
    """What an apply would change now; writes nothing. Exit code 3 where it would."""
    with edge() as line:
        found = line.send("POST", f"/resources/{target}/apply?dry_run=true", None)
    if json_output:
        as_json(found)
    elif found["write"] or found["remove"]:
        rows = [("write", key, value) for key, value in found["write"].items()] + [("remove", key, "") for key in found["remove"]]
        table(f"On {target}", ("what", "key", "value"), rows)
    else:
        stdout.print("Nothing: it carries what it should.")
    for name, says in (("held_by_others", "others hold"), ("left_out", "no room for"), ("drifted", "somebody changed")):
        if found[name] and not json_output:
            stdout.print(plain(f"{says}: {', '.join(found[name])}"))
    if found["write"] or found["remove"]:
        raise typer.Exit(FOUND)


@app.command()
def apply(target: Target, json_output: Json = False) -> None:
    """Bring a resource to its tags once more, also where somebody else changed them."""
    with edge() as line:
        answer = line.send("POST", f"/resources/{target}/apply", None)
    if json_output:
        return as_json(answer)
    stdout.print(plain(f"Asked for; trace {answer['trace_id']}. `pursight tags list` has the result."))
