"""DataProfiler's structured labeler over columns: JSON lists of values on stdin, one JSON list of {label: share of values} on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def main() -> None:
    """Of each column, which label what share of its values got."""
    import dataprofiler
    import pandas

    columns = json.load(sys.stdin)
    labeler = dataprofiler.DataLabeler(labeler_type="structured")
    every = pandas.Series([value for values in columns for value in values])
    labels = iter(labeler.predict(every)["pred"])
    answers = []
    for values in columns:
        counted = Counter([str(next(labels)) for _ in values])
        answers.append({label: count / len(values) for label, count in counted.items()})
    json.dump(answers, sys.__stdout__)


if __name__ == "__main__":
    main()
