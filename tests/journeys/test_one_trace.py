"""One trace follows each event from the first service to the last."""

from __future__ import annotations

from tests.journeys.sink import SpanSink
from tests.journeys.stack import Line, until

SERVICES = ["connector", "discovery", "classifier", "compliance", "tagger"]
HEARS = {
    "connector": "source.registered",
    "discovery": "source.connected",
    "classifier": "schema.discovered",
    "compliance": "asset.classified",
    "tagger": "compliance.evaluated",
}


async def test_one_trace_threads_all_services(line: Line, sink: SpanSink) -> None:
    """Every stage's span is below the one that said what it heard, up to the registry, in one trace; no span is lost."""
    url = await line.make_database(
        "traced", "create table person (id int primary key, email text)", "insert into person values (1, 'a@example.com')"
    )
    trace = line.scan(url)["trace_id"]

    def heard_by_all() -> bool:
        return {(service, f"process {topic}") for service, topic in HEARS.items()} <= {(s.service, s.name) for s in sink.trace(trace)}

    until(heard_by_all, what="spans of every service")
    spans = {span.id: span for span in sink.trace(trace)}
    for service in SERVICES:
        mine = [span for span in spans.values() if span.service == service and span.name == f"process {HEARS[service]}"]
        assert mine, (service, sorted({span.name for span in spans.values() if span.service == service}))
        for span in mine:
            parent = until(lambda span=span: {s.id: s for s in sink.trace(trace)}.get(span.parent), what=f"the parent of {span.name}")
            assert parent.name == f"send {HEARS[service]}"
    until(lambda: len({s.parent for s in sink.trace(trace)} - {s.id for s in sink.trace(trace)}) <= 1, what="a single root")
    with line.http() as client:
        for name, address in line.running.services.items():
            if name != "door":
                lost = [row for row in client.get(f"{address}/metrics").text.splitlines() if row.startswith("pursight_spans_lost_total")]
                assert all(float(row.rsplit(" ", 1)[1]) == 0 for row in lost), (name, lost)


async def test_the_shell_and_the_catalog_show_the_same_trace(line: Line) -> None:
    """`pursight trace` names every service of the line, each event after its cause."""
    url = await line.make_database("shown", "create table person (id int primary key, email text)")
    trace = line.scan(url)["trace_id"]
    shown = line.shell("trace", trace, "--json")
    assert shown.returncode == 0, shown.stderr
    import json

    events = json.loads(shown.stdout)["events"]
    assert {"registry", "connector", "discovery", "classifier", "compliance", "tagger"} <= {event["service"] for event in events}
