"""Jobs and contracts from files: read, judged, and every problem told with its line."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.tagger.domain.declared import Where
from services.tagger.domain.odcs import Normal, judge_contract
from services.tagger.gateway.standard import shape
from shared.cli.files import Written, read_file
from shared.cli.output import as_json, plain, stderr
from shared.contracts.job import JobConfig
from shared.contracts.judging.job import judge_job
from shared.contracts.source import Problem
from shared.errors import UsageError

MOST_NODES = 200_000  # a contract with some thousand columns


def job_from(which: str, *, json_output: bool) -> tuple[JobConfig, Where]:
    """The job in a file, its variables from the environment. Raises UsageError, after every problem is told with its line."""
    given = read_file(which, kind="job")
    judged = judge_job(given.document, os.environ)
    if judged.job is None:
        raise refused(given, judged.problems, "job", json_output=json_output)
    return judged.job, Where(given.name, given.lines)


def contract_from(which: str, *, json_output: bool, name: str = "") -> tuple[Normal, Where]:
    """The contract in a file, in ODCS or in the simple form; `name` stands in for a missing id. Raises UsageError likewise."""
    given = read_file(which, kind="contract", most_nodes=MOST_NODES)
    judged = judge_contract(given.document, shape=shape, name=name or Path(which).stem)
    if judged.contract is None:
        raise refused(given, judged.problems, "contract", json_output=json_output)
    return judged.contract, Where(given.name, given.lines)


def written_at(where: Where) -> Written:
    """The file that a job or contract came from, for what is told of its lines."""
    return Written(where.name, {}, dict(where.lines))


def refused(given: Written, problems: Sequence[Problem], kind: str, *, json_output: bool) -> UsageError:
    """Every problem with its line: all as JSON, or a line each where there are several."""
    listed = [{**problem.model_dump(), "line": given.line_of(problem.field)} for problem in problems]
    listed.sort(key=lambda problem: problem["line"] or math.inf)
    told = [_told(problem) for problem in listed]
    if json_output:
        as_json({"problems": listed})
    elif len(told) > 1:
        for line in told:
            stderr.print(plain(line))
    return UsageError(f"{given.name} is no {kind}", why=told[0] if len(told) == 1 else f"{len(told)} problems", code=f"{kind}_rejected")


def _told(problem: dict[str, Any]) -> str:
    place = f"line {problem['line']}: " if problem["line"] else ""
    return f"{place}{problem['field']} {problem['message']}. {problem['remedy']}".strip()
