"""`pursight source …` as a person types it, against the registry's edge on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

import services.registry
from services.registry import api
from services.registry.commands import app
from services.registry.commands.files import written
from services.registry.gateway import Anchors, OwnSecrets
from services.registry.store import Store
from shared.access.proof import Proofs
from shared.bus.jobs import Jobs
from shared.bus.migrations import FOLDER
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.errors import PurSightError, UsageError
from shared.secrets.vault import LocalVault
from shared.settings import BusSettings
from shared.web.body import body_of
from shared.web.server import bind, edge_app, server

MIGRATIONS = Path(services.registry.__file__ or "").parent / "migrations"
GOOD = "name: crm\nhost: db.example\ndatabase: shop\n"
BAD = "name: crm\nhots: db.example\ndatabase: shop\npassword: hush\ncloud_config:\n  provider: azure\n  role_arn: r\n"


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    error: PurSightError | None


Shell = Callable[..., Coroutine[Any, Any, Done]]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs a command in a thread, so that the server beside it can answer."""

    def run(arguments: tuple[str, ...]) -> Done:
        try:
            app(list(arguments), standalone_mode=False)
            error = None
        except PurSightError as raised:
            error = raised
        return Done(error.exit_code if error else 0, capsys.readouterr().out, error)

    async def shell(*arguments: str) -> Done:
        return await asyncio.to_thread(run, arguments)

    return shell


@pytest.fixture
async def edge(fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[dict[str, Any]]]:
    """The registry's edge on a port, with a preflight beside it that keeps what it was asked."""
    asked: list[dict[str, Any]] = []

    async def preflight(request: Any) -> JSONResponse:
        asked.append(await body_of(request))
        down = asked[-1]["source"]["host"] == "down.example"
        told = {"code": "refused", "cause": "nothing listens there", "remedy": "Start it."}
        return JSONResponse({"reachable": not down, "diagnosis": told, "warnings": []})

    pool = await open_pool(fresh_database_url, schema="registry", application_name="test")
    await migrate(pool, schema="registry", folders=[FOLDER, MIGRATIONS])
    vault, listener = LocalVault(tmp_path / "secrets"), bind("127.0.0.1", 0)
    routes = api.routes(Store(pool), vault, OwnSecrets(vault, Jobs(pool, service="registry")), Proofs("t"), Anchors(BusSettings()))
    http = server(edge_app([*routes, Route("/preflight", preflight, methods=["POST"])], token="t"))
    running = asyncio.create_task(http.serve(sockets=[listener]))
    monkeypatch.setenv("PURSIGHT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setenv("PURSIGHT_TOKEN", "t")
    yield asked
    http.should_exit = True
    await running
    await pool.close()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack is running."""
    monkeypatch.delenv("PURSIGHT_URL", raising=False)
    monkeypatch.setenv("PURSIGHT_HOME", str(tmp_path / "none"))


def put(tmp_path: Path, text: str) -> str:
    file = tmp_path / "source.yaml"
    file.write_text(text)
    return str(file)


async def test_a_source_from_first_to_last(shell: Shell, edge: list[Any], tmp_path: Path) -> None:
    """Added, added again, listed, changed field by field, explained, removed."""
    file = put(tmp_path, GOOD + "source_type: mysql\n")
    assert "version 1" in (await shell("add", file)).out
    assert "unchanged" in (await shell("add", file)).out
    assert "db.example" in (await shell("list")).out
    changed = await shell("edit", "crm", "--set", "owner=team", "--set", "ssl_config.mode=require", "--set", "port=3307")
    assert "version 2" in changed.out
    now = json.loads((await shell("show", "crm", "--json")).out)
    assert (now["spec"]["owner"], now["spec"]["port"], now["spec"]["ssl_config"]) == ("team", 3307, {"mode": "require"})
    assert "version 3" in (await shell("edit", "crm", "--set", "owner=")).out
    assert "owner" not in json.loads((await shell("show", "crm", "--json")).out)["spec"]
    assert "db.example:3307" in (await shell("explain", "crm")).out
    assert "valid" in (await shell("check", "crm")).out
    assert (await shell("remove", "crm", "--yes")).code == 0
    assert (await shell("show", "crm")).code == 2


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "100%?"])
async def test_any_name_that_is_registered_can_be_shown_and_removed(
    shell: Shell, edge: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also one from before names were held to be plain."""
    with monkeypatch.context() as before:
        before.setattr("shared.contracts.judging.source.PLAIN_NAME", re.compile(".*"))
        assert (await shell("add", put(tmp_path, GOOD.replace("crm", f"'{name}'")))).code == 0
    shown = await shell("show", name)
    assert f"{name}: postgresql, version 1" in shown.out
    assert "db.example" in shown.out
    assert (await shell("remove", name, "--yes")).code == 0
    assert json.loads((await shell("list", "--json")).out)["sources"] == []


async def test_a_lost_update_is_refused_in_one_line(shell: Shell, edge: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else changed the source while it was open in the editor."""
    await shell("add", put(tmp_path, GOOD))
    (tmp_path / "mine.py").write_text(
        "import sys, httpx, os\n"
        "file = sys.argv[1]; text = open(file).read(); open(file, 'w').write(text + 'owner: mine\\n')\n"
        "given = {'name': 'crm', 'host': 'db.example', 'database': 'shop', 'owner': 'theirs'}\n"
        "httpx.post(os.environ['PURSIGHT_URL'] + '/sources', json=given, headers={'Authorization': 'Bearer t'}).raise_for_status()\n"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {tmp_path / 'mine.py'}")
    lost = await shell("edit", "crm")
    assert lost.error
    assert (lost.code, lost.error.code) == (2, "version_conflict")
    assert lost.error.line() == "The source is at version 2, not version 1. Read it again, then repeat your change."
    assert json.loads((await shell("show", "crm", "--json")).out)["spec"]["owner"] == "theirs"
    assert (await shell("edit", "crm", "--set", "owner=late", "--version", "1")).code == 2


@pytest.mark.parametrize(
    ("editor", "code", "words"),
    [
        ("true", 0, "Nothing was changed"),
        ("false", 1, ""),
        ("/no/such/editor", 2, ""),
        ("sed -i s/crm/other/", 2, ""),
        ("sed -i s/host/hots/", 2, ""),
    ],
)
async def test_what_an_editor_may_leave(
    shell: Shell, edge: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, editor: str, code: int, words: str
) -> None:
    """No change, a failure, no editor, another name, nonsense: the source stays as it was."""
    await shell("add", put(tmp_path, GOOD))
    monkeypatch.setenv("VISUAL", editor)
    done = await shell("edit", "crm")
    assert done.code == code
    assert words in done.out
    assert json.loads((await shell("show", "crm", "--json")).out)["version"] == 1


async def test_every_problem_has_its_line(shell: Shell, nowhere: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stack too; the secret's value is in none of them."""
    done = await shell("check", put(tmp_path, BAD), "--json")
    found = {problem["field"]: problem["line"] for problem in json.loads(done.out)["problems"]}
    assert found == {"hots": 2, "password": 4, "cloud_config.role_arn": 7}
    assert (done.code, done.error and done.error.line()) == (2, f"{tmp_path / 'source.yaml'} is no source: 3 problems")
    assert "hush" not in done.out


async def test_a_check_dials_where_the_stack_is_up(shell: Shell, edge: list[dict[str, Any]], tmp_path: Path) -> None:
    """The preflight gets the source in our spelling and, by URL, the password for that call alone; nothing is kept."""
    assert "valid" in (await shell("check", put(tmp_path, GOOD.replace("host", "hostname")))).out
    assert edge[-1] == {"source": {"name": "crm", "host": "db.example", "port": 5432, "database": "shop"}}
    await shell("check", "postgresql://reader:hush@db.example/shop")
    assert edge[-1]["password"] == "hush"
    down = await shell("check", put(tmp_path, GOOD.replace("db.example", "down.example")))
    assert down.error
    assert (down.code, down.error.line()) == (1, "crm cannot be reached: nothing listens there. Start it.")
    assert json.loads((await shell("list", "--json")).out) == {"sources": []}


async def test_add_registers_only_what_is_reached_where_it_is_asked_to(edge: list[dict[str, Any]], shell: Shell, tmp_path: Path) -> None:
    """`--check` tries it first; what is not reached is not registered. Without it, nothing is dialled before."""
    (tmp_path / "down.yaml").write_text(GOOD.replace("db.example", "down.example"))
    (tmp_path / "crm.yaml").write_text(GOOD)
    refused = await shell("add", str(tmp_path / "down.yaml"), "--check")
    assert (refused.code, refused.error and refused.error.code) == (1, "refused")
    assert json.loads((await shell("list", "--json")).out)["sources"] == []
    assert (await shell("add", str(tmp_path / "crm.yaml"), "--check")).code == 0
    assert (await shell("add", str(tmp_path / "down.yaml"))).code == 0
    assert [each["source"]["host"] for each in edge] == ["down.example", "db.example"]


async def test_without_a_stack_it_says_so(shell: Shell, nowhere: None, tmp_path: Path) -> None:
    """Checking, explaining and the schema need none."""
    assert "was not dialled" in (await shell("check", put(tmp_path, GOOD))).out
    assert "verify-full" in (await shell("explain", put(tmp_path, GOOD + "location: cloud\n"))).out
    schema = json.loads((await shell("schema")).out)
    assert (schema["title"], schema["$id"], schema["version"]) == ("DataSource", "https://pursight.dev/schemas/data_source.v1.json", "v1")
    assert schema["$schema"].endswith("2020-12/schema")
    assert (await shell("add", put(tmp_path, GOOD))).code == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: a\nname: b\n", "field_twice"),
        ('{"name": "a",\n"ssl_config": {"ca": "1", "ca": "2"}}', "field_twice"),
        ("- a\n", "not_an_object"),
        ("", "not_an_object"),
        ("a: [", "unreadable"),
        ("a: b\n---\nc: d\n", "unreadable"),
        ("a: &x [*x]", "too_large"),
        ("a0: &a0 [1,1,1,1,1,1,1,1,1]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)), "too_large"),
        ("a: !!python/object/apply:os.system [id]", "unreadable"),
    ],
)
def test_a_file_that_is_no_document(text: str, code: str) -> None:
    """Doubles, lists, broken text, text that would grow without end, and text that would run something."""
    with pytest.raises(UsageError) as refused:
        written("f", text)
    assert refused.value.code == code


def test_yaml_and_json_are_one_document_with_lines() -> None:
    """Tabs in JSON, dates in YAML, lists: each field has its line."""
    json_file = written("f", '{\n\t"name": "a",\n\t"replica_config": {\n\t\t"replica_members": ["b",\n\t\t"c"]}}')
    assert (json_file.line_of("name"), json_file.line_of("replica_config.replica_members.1")) == (2, 5)
    assert json_file.line_of("replica_config.secondary") == 3
    assert json_file.line_of("tenant") is None
    assert written("f", "labels: {since: 2026-01-01}").document == {"labels": {"since": "2026-01-01"}}
