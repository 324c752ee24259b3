"""`pursight dlq list | show | replay | drop`: records that a service put aside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import typer

from shared.bus.deadletters import DeadLetter, DeadLetters, Raw
from shared.bus.seal import Seal
from shared.cli.output import as_json, stdout, sure, table
from shared.cli.parts import database_url, operator
from shared.contracts.topics import SERVICES
from shared.db.pool import open_pool
from shared.errors import UsageError
from shared.settings import ServiceSettings

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, replay, drop.")
Service = Annotated[str, typer.Option("--service", "-s", help="only this service's")]
Ids = Annotated[list[str], typer.Argument(help="ids as `list` shows them")]
T = TypeVar("T")


@asynccontextmanager
async def letters_of(service: str) -> AsyncIterator[DeadLetters]:
    """The dead letters of one service. Raises UsageError on an unknown name."""
    if service not in SERVICES:
        raise UsageError(f"there is no service {service}", remedy=f"Known are {', '.join(SERVICES)}.", code="unknown_service")
    pool = await open_pool(database_url(), schema=service, application_name="pursight-dlq")
    try:
        yield DeadLetters(pool, service, Seal.load(ServiceSettings().home), actor=operator())
    finally:
        await pool.close()


async def _with(service: str, act: Callable[[DeadLetters], Awaitable[T]]) -> T:
    async with letters_of(service) as letters:
        return await act(letters)


def owner(id: str) -> str:
    """The service in a dead letter's id, which begins with its group, `pursight.<service>.<topic>`."""
    parts = id.split(".", 2)
    if len(parts) != 3 or parts[1] not in SERVICES:
        raise UsageError(f"{id} is no dead letter's id", remedy="See `pursight dlq list`.", code="no_dead_letter")
    return parts[1]


@app.command("list")
def list_(
    service: Service = "",
    topic: Annotated[str, typer.Option(help="only from this topic")] = "",
    code: Annotated[str, typer.Option(help="only with this error code")] = "",
    json_output: Annotated[bool, typer.Option("--json", help="print one JSON list")] = False,
) -> None:
    """The newest first; never a body."""
    found = [
        letter
        for name in ([service] if service else SERVICES)
        for letter in asyncio.run(_with(name, lambda d: d.list(topic=topic, code=code)))
    ]
    if json_output:
        return as_json({"dead_letters": [_shown(letter) for letter in found]})
    if not found:
        stdout.print("No dead letters.")
        return None
    return table(
        "Dead letters",
        ("id", "code", "why", "attempts", "at"),
        ((d.id, d.error_code, d.why, d.attempts, d.created_at.isoformat()) for d in found),
    )


@app.command()
def show(id: str) -> None:
    """All that is kept of one of them but its body, of which only the size is shown."""

    async def act(letters: DeadLetters) -> tuple[DeadLetter, Raw | None]:
        return await letters.show(id)

    letter, raw = asyncio.run(_with(owner(id), act))
    as_json(_shown(letter) | ({"bytes": len(raw.body or b"")} if raw else {"body": "kept encrypted and not shown"}))


@app.command()
def replay(ids: Ids) -> None:
    """Give them to their service again, and to no other. The ledger says who did."""
    count = sum(asyncio.run(_with(owner(id), lambda d, id=id: d.replay([id]))) for id in ids)  # type: ignore[misc]
    stdout.print(f"{count} record(s) on their way again.")


@app.command()
def drop(ids: Ids, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Forget them for good. The ledger says who did."""
    sure(f"Forget {len(ids)} dead letter(s) for good?", yes=yes)
    count = sum(asyncio.run(_with(owner(id), lambda d, id=id: d.drop([id]))) for id in ids)  # type: ignore[misc]
    stdout.print(f"{count} dropped.")


def _shown(letter: DeadLetter) -> dict[str, object]:
    return {name: str(getattr(letter, name)) for name in DeadLetter.__dataclass_fields__}
