"""What the connector touches outside: data sources, dialled to see whether and how they answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.connector.domain.plan import plan
from shared.contracts.connection import ConnectionPlan
from shared.contracts.source import DataSource
from shared.egress import Surroundings, guarded
from shared.errors import Failed
from shared.secrets.resolvers import resolve
from shared.sources.base import Probe
from shared.sources.dialling import dial_for, policy_for
from shared.sources.engines import driver_for


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which a dial, or a statement, is given up."""

    connect_seconds: float
    statement_seconds: float


class Dialler:
    """Dials sources by their plan."""

    def __init__(self, *, home: Path, around: Surroundings, patience: Patience) -> None:
        self._home, self._around, self._patience = home, around, patience

    async def probe(self, spec: DataSource, *, password: str | None = None, trace_id: str = "") -> tuple[ConnectionPlan, Probe]:
        """Dial, sign in, look. `password` stands in for the secret for this call alone and is kept nowhere.

        Raises PurSightError with a code of the failure catalogue, the egress guard or the secret store.
        """
        wanted = plan(spec)
        if wanted.sign_in in ("aws_iam", "azure_token", "gcp_iam"):
            raise Failed(
                "the data source",
                why=f"sign-in by {wanted.sign_in} is not built in yet",
                remedy="Use a password.",
                code="sign_in_unsupported",
            )
        if password is None:
            password = await resolve(wanted.secret, home=self._home) if wanted.secret else ""
        dial = dial_for(
            spec,
            wanted,
            password,
            application_name=f"pursight-connector {trace_id}".strip(),
            connect_seconds=self._patience.connect_seconds,
            statement_seconds=self._patience.statement_seconds,
        )
        with guarded(policy_for(spec, self._around)):
            async with driver_for(spec.engine).open(dial) as session:
                return wanted, await session.probe()
