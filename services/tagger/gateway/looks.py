"""Looks over HTTP at what a job names: what those at Google, Azure and Kubernetes have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.tagger.domain.checks import Looked, Wanted, missing
from services.tagger.gateway.place import Stale
from services.tagger.gateway.rest import Bearer, Edge
from shared.errors import PurSightError

SECONDS = 30.0  # for one look, its retries included
Look = Callable[[Wanted], Awaitable[Looked]]


class Looks:
    """`needs`: the permission for each kind; `also`: what may be wrong besides a name; `none`: what is said of a kind that there is not."""

    needs: Mapping[str, str]
    also: str
    none: tuple[str, str]

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    def of(self, kind: str) -> Look | None:
        """How to look at this kind; None where there is no such thing."""
        raise NotImplementedError

    async def look(self, wanted: list[Wanted]) -> list[Looked]:
        """One result for each, in their order. Raises Failed or Transient where nobody could sign in."""
        await self._bearer(False)
        return list(await asyncio.gather(*(self._one(each) for each in wanted)))

    async def _one(self, wanted: Wanted) -> Looked:
        look = self.of(wanted.kind)
        if look is None:
            return Looked(wanted, "not_looked_at", *self.none, sure=False)
        try:
            async with asyncio.timeout(SECONDS):
                return await look(wanted)
        except TimeoutError:
            return Looked(wanted, "unreachable", "no answer in time", "Check network and proxy.", sure=False)
        except PurSightError as error:
            return self._told(wanted, error)
        except Stale:
            return Looked(wanted, "unreachable", "it is being changed", "Look again in a minute.", sure=False)

    def _told(self, wanted: Wanted, error: PurSightError) -> Looked:
        if error.code == "not_found":
            return missing(wanted, "", self.also)
        remedy = f"Grant {self.needs[wanted.kind]}." if error.code == "access_denied" else error.remedy
        return Looked(wanted, error.code, error.why or error.what, remedy, sure=False)


async def got(edge: Edge, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """The object at this path."""
    return (await edge.call("GET", path, query=query)).body


def allowed(wanted: Wanted, given: bool, needed: str) -> Looked:
    """May we tag it?"""
    return Looked(wanted) if given else Looked(wanted, "not_taggable", "our identity may not tag it", f"Grant {needed}.")
