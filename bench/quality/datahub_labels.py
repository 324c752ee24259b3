"""DataHub's classifier over columns: JSON lists of [name, type, values] on stdin, one JSON list of {infotype: confidence} on stdout.

Its names of persons and streets come from a language model that it would download; in its place stands an empty one, which finds none.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings

THRESHOLD = 0.68  # DataHub's own


def main() -> None:
    """Of each column, which information types reach DataHub's own threshold."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    import spacy

    spacy.load = lambda _: spacy.blank("en")
    from datahub_classify.helper_classes import ColumnInfo, Metadata
    from datahub_classify.infotype_predictor import predict_infotypes
    from datahub_classify.reference_input import input1

    columns = [
        ColumnInfo(Metadata({"Name": name, "Description": "", "Datatype": type_, "Dataset_Name": "t"}), values)
        for name, type_, values in json.load(sys.stdin)
    ]
    found = predict_infotypes(columns, THRESHOLD, input1, minimum_values_threshold=1)
    json.dump([{each.infotype: each.confidence_level for each in column.infotype_proposals or ()} for column in found], sys.__stdout__)


if __name__ == "__main__":
    main()
