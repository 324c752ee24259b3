"""The operator's decisions about tags, for commands: by the same variables as the service reads."""

from __future__ import annotations

from services.tagger.domain.house import House
from shared.errors import UsageError


def house() -> House:
    """Raises UsageError where a variable is not as it should be."""
    from pydantic import ValidationError

    from services.tagger.settings import HouseSettings

    try:
        return HouseSettings().house()
    except ValidationError as error:
        wrong = ", ".join(f"PURSIGHT_{str(each['loc'][0]).upper()}" for each in error.errors(include_input=False))
        raise UsageError(f"{wrong} cannot be used", remedy="docs/settings.gen.md says what it may be.", code="settings_wrong") from None
