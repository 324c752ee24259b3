"""What the registry does after it has answered: passwords of removed sources are forgotten."""

from __future__ import annotations

from services.registry.gateway import OwnSecrets, reference
from services.registry.store import Store
from shared.bus.jobs import Job


async def forget_secret(job: Job, *, store: Store, own: OwnSecrets) -> None:
    """The source is gone; its own password goes, too, unless another source refers to it."""
    if not await store.refers_to(reference(job.key)):
        own.forget(job.key, job.payload)
