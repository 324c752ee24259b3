"""Everything that is written from the code: `python -m shared.docs` writes, `--check` compares."""
