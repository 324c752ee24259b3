"""Which cloud a wish is for. Azure and GCP are not written yet, and say so."""

from __future__ import annotations

from services.tagger.domain.diff import Diff
from services.tagger.domain.wish import Applied, Wish
from services.tagger.gateway.aws import AwsTags
from shared.errors import Failed


class Clouds:
    """The writers, by provider."""

    def __init__(self, aws: AwsTags) -> None:
        self._writers = {"aws": aws}

    async def compare(self, wish: Wish) -> Diff:
        """What `apply` would change. Raises Failed `provider_unsupported`, and what the writer raises."""
        return await self._writer(wish).compare(wish)

    async def apply(self, wish: Wish) -> Applied:
        """Bring the resource to the wish. Raises Failed `provider_unsupported`, and what the writer raises."""
        return await self._writer(wish).apply(wish)

    def _writer(self, wish: Wish) -> AwsTags:
        writer = self._writers.get(wish.resource.provider)
        if writer is None:
            raise Failed(
                f"tags of {wish.resource.provider} resources cannot be written yet",
                remedy="The derived tags are in the plan; apply them with your own tools.",
                code="provider_unsupported",
            )
        return writer
