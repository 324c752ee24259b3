"""The bus's tables, applied into each service's own schema."""

from pathlib import Path

FOLDER: Path = Path(__file__).parent
