"""The JSON Schema of each event, and of the documents that people write."""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.contracts.document import BASE, DIALECT, document_schema, published_schema
from shared.contracts.job import job_schema
from shared.contracts.topics import TOPICS

DOCUMENTS = {"source.submitted": document_schema, "job.submitted": job_schema}  # requests whose class takes any object


@cache
def all_schemas() -> dict[str, dict[str, Any]]:
    """Name to schema: one per topic, `<topic>.v1`, `data_source.v1` and `job_config.v1`. Made once; not to be changed."""
    events = {f"{topic.name}.v1": DOCUMENTS.get(topic.name, topic.event.model_json_schema)() for topic in TOPICS}
    events |= {f"{name}.v1": schema() for name, schema in {"data_source": published_schema, "job_config": job_schema}.items()}
    return {name: {"$schema": DIALECT, "$id": f"{BASE}/{name}.json", **schema} for name, schema in events.items()}
