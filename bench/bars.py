"""How every benchmark says a bar: one JSON line, with what was on."""

from __future__ import annotations

import json
import os
from typing import Any


def say(bar: str, value: float | None, unit: str, target: str, holds: bool | None, **more: Any) -> None:
    """Print one line. `holds` None: not measured."""
    on = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({"bar": bar, "value": value, "unit": unit, "target": target, "holds": holds, **more, "on": on}), flush=True)
