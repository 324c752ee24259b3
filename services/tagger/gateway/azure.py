"""Tags of Azure's resources, by the tags that every scope has: merged or taken away one by one, so nothing of others is replaced."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, quote, urlsplit

from services.tagger.gateway.rest import Answer, Edge
from shared.errors import Failed

VERSION = {"api-version": "2021-04-01"}
NEEDS = "the role Tag Contributor on the resource (Microsoft.Resources/tags/read and /write)"
_ID = re.compile(r"/subscriptions/[\w\-]+(/resourceGroups/[\w\-.()]+(/providers/[\w.]+(/[\w\-.()]+/[\w\-.()]+)+)?)?", re.IGNORECASE)


def scope_of(name: str) -> str:
    """The scope that a resource id is. Raises Failed `not_a_resource_id`."""
    if not _ID.fullmatch(name):
        raise Failed(
            "resource_id is not the id of a resource of Azure",
            remedy="It looks like /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Storage/storageAccounts/NAME.",
            code="not_a_resource_id",
        )
    return name


class ScopeTags:
    """The tags at one scope. Names are the same in any case: one that is there already keeps its case, and is told in that of `ours`."""

    blind = False

    def __init__(self, edge: Edge, scope: str, ours: Collection[str]) -> None:
        self._edge, self._path = edge, f"{quote(scope, safe='/()')}/providers/Microsoft.Resources/tags/default"
        self._ours = {key.casefold(): key for key in ours}
        self._there: dict[str, tuple[str, str]] = {}  # by our spelling: theirs, and the value

    async def read(self) -> dict[str, str]:
        answer = await self._edge.call("GET", self._path, query=VERSION)
        found = (answer.body.get("properties") or {}).get("tags") or {}
        self._there = {self._ours.get(key.casefold(), key): (key, str(value)) for key, value in found.items()}
        return {key: value for key, (_, value) in self._there.items()}

    async def change(self, write: Mapping[str, str], remove: Collection[str]) -> None:
        if write:
            await self._patch("Merge", {self._there.get(key, (key, ""))[0]: value for key, value in write.items()})
        if remove:  # with the value that was read, so that nobody's newer one is taken away
            await self._patch("Delete", dict(self._there[key] for key in remove))

    async def _patch(self, operation: str, tags: Mapping[str, str]) -> None:
        answer = await self._edge.call("PATCH", self._path, query=VERSION, body={"operation": operation, "properties": {"tags": tags}})
        if answer.status == 202:
            await self._wait(answer)

    async def _wait(self, answer: Answer) -> None:
        """An address of the provider's own alone is asked, because our token goes there."""
        at = urlsplit(answer.headers.get("azure-asyncoperation") or answer.headers.get("location") or "")
        if f"{at.scheme}://{at.netloc}" == self._edge.base:
            await self._edge.finished(at.path, _is_done, query=dict(parse_qsl(at.query)))


def _is_done(answer: Answer) -> bool:
    return answer.status != 202 and str(answer.body.get("status", "Succeeded")) not in ("InProgress", "Running", "Accepted")
