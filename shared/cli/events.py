"""`pursight events tail | publish`: watch what is said, say something oneself."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from shared.bus.edge import Publisher, Said
from shared.bus.edge import tail as tail_topics
from shared.bus.hear import Heard
from shared.bus.received import Received
from shared.cli.output import as_json, plain, stdout
from shared.cli.parts import bus_settings
from shared.contracts.base import Contract
from shared.contracts.judging.wording import in_words
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.contracts.topics import BY_NAME, Topic
from shared.errors import Failed, Transient, UsageError
from shared.settings import BusSettings

app = typer.Typer(no_args_is_help=True, help="Events: tail, publish.")


@app.command()
def tail(
    topics: Annotated[list[str] | None, typer.Argument(help="topics; all where none is named")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="begin with the oldest")] = False,
    bodies: Annotated[bool, typer.Option("--bodies", "--json", help="print the whole event, one JSON object a line")] = False,
) -> None:
    """Watch events as they come, until Ctrl-C. Nothing is changed by watching; bodies of requests are not shown."""
    chosen = [_topic(name).name for name in topics or ()]
    asyncio.run(_tail(chosen, from_start, bodies))


async def _tail(topics: Sequence[str], from_start: bool, bodies: bool) -> None:
    settings = bus_settings()
    try:
        async for heard in tail_topics(settings, topics, from_start=from_start):
            print(_line(heard, bodies), flush=True)
    except Transient as error:
        remedy = (
            "Is it started?"
            if BusSettings().bootstrap_servers
            else "Look at `pursight status`; `pursight up` starts a stack that was stopped."
        )
        raise Failed(error.what, why=error.why, remedy=remedy, code=error.code) from None


def _line(heard: Received[Any] | Heard, bodies: bool) -> str:
    if isinstance(heard, Heard):
        topic, why = heard.received.topic, heard.why
        return json.dumps({"topic": topic, "not_an_event": why}) if bodies else f"{topic}  not an event: {why}"
    if bodies:
        return json.dumps(_whole(heard), ensure_ascii=False)
    what = "gone  " if heard.tombstone else ""
    return f"{heard.time:%H:%M:%S}  {heard.topic:<22} {plain(heard.key)}  {what}trace {heard.traceparent[3:35]}"


def _whole(heard: Received[Any]) -> dict[str, Any]:
    hidden = BY_NAME[heard.topic].request or heard.tombstone
    body = None if hidden else json.loads(heard.event.to_json())
    return {"topic": heard.topic, "key": heard.key, "id": heard.id, "time": heard.time.isoformat(), "event": body}


@app.command()
def publish(
    topic: Annotated[str, typer.Argument(help="a topic that takes requests, such as source.submitted")],
    file: Annotated[str, typer.Argument(help="a YAML or JSON file, or - for standard input")] = "-",
    key: Annotated[str, typer.Option(help="the record's key; made from the document where not given")] = "",
) -> None:
    """Publish one request event. Facts are said by the services alone."""
    from shared.cli.files import read_file

    chosen = _topic(topic, requests=True)
    if not chosen.request:
        raise UsageError(
            f"{topic} is a fact that only {', '.join(chosen.said_by)} may say",
            remedy=f"Requests are {_requests()}.",
            code="not_a_request",
        )
    document = read_file(file).document
    said = asyncio.run(_publish(_event(chosen, document), key or _key(chosen, document)))
    as_json({"id": said.id, "trace_id": said.trace_id}) if not sys.stdout.isatty() else stdout.print(
        f"Published {said.id}, trace {said.trace_id}"
    )


async def _publish(event: Contract, key: str) -> Said:
    async with Publisher.open(bus_settings()) as publisher:
        return await publisher.publish(event, key=key)


def _event(topic: Topic, document: dict[str, Any]) -> Contract:
    try:
        return topic.event.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"this is no {topic.name}",
            why=f"{where or 'it'} {in_words(first)}",
            remedy="See docs/topics.gen.md for an example.",
            code="bad_event",
        ) from None


def _key(topic: Topic, document: dict[str, Any]) -> str:
    if topic.key == "source":
        return str(
            document.get("source") or SourceName(str(document.get("tenant") or DEFAULT_TENANT), str(document.get("name") or "unnamed")).key
        )
    return str(document.get(topic.key) or document.get("asset") or DEFAULT_TENANT)


def _topic(name: str, *, requests: bool = False) -> Topic:
    if name not in BY_NAME:
        near = get_close_matches(name, [each for each in BY_NAME if not requests or BY_NAME[each].request], n=1)
        hint = f"Did you mean {near[0]}?" if near else "See docs/topics.gen.md." if not requests else f"Requests are {_requests()}."
        raise UsageError(f"there is no topic {plain(name)}", remedy=hint, code="unknown_topic")
    return BY_NAME[name]


def _requests() -> str:
    return ", ".join(name for name, topic in BY_NAME.items() if topic.request)
