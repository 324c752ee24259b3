"""What a tag's values cost, by cloud: one table of what the providers' reports say. Amounts are exact decimals, never floats."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from services.tagger.domain.labels import RULES, convert_key, convert_value, under

# What can be asked for by a short name, and the tag of ours that it means; any other word is a tag's own key.
BY = {
    "cost_center": "CostCenter",
    "project": "Project",
    "tenant": "TenantId",
    "environment": "Environment",
    "domain": "Domain",
    "data_product": "DataProduct",
    "owner": "Owner",
    "platform": "Platform",
    "asset": "Asset",
    "workspace": "TerraformWorkspace",
}
ALLOCATED = tuple(BY.values())  # the keys that a report may be by
HEAD = ("value", "cloud", "cost", "currency", "share")
_TABLE = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]\.[A-Za-z0-9_]{1,1024}\.[A-Za-z0-9_-]{1,1024}")


class Cost(NamedTuple):
    """What resources with this value of the tag cost in a cloud; an empty value: those without the tag."""

    value: str
    cloud: str
    amount: Decimal
    currency: str


class Period(NamedTuple):
    """From the first day to before the last."""

    since: date
    until: date


def tag_key(by: str) -> str:
    """Our key for what was asked for.

    >>> tag_key("cost_center"), tag_key("Team")
    ('CostCenter', 'Team')
    """
    return BY.get(by.lower().replace("-", "_"), by)


def key_at(key: str, target: Literal["aws", "gcp"], prefix: str) -> str:
    """What a cloud's report calls a tag: one of ours, or one that begins as all of ours do, by the same rules as it was written.

    >>> key_at("CostCenter", "aws", "gov"), key_at("CostCenter", "gcp", "gov"), key_at("gov:shift", "gcp", "gov")
    ('gov:CostCenter', 'gov_cost_center', 'gov_shift')
    """
    begun = under(prefix, RULES["aws"])
    ours = key if key in ALLOCATED else key.removeprefix(begun) if begun and key.startswith(begun) else ""
    if ours:
        return convert_key(ours, RULES[target], prefix=prefix)
    return key if target == "aws" else convert_key(key, RULES[target])


def of_explorer(pages: Iterable[Mapping[str, Any]], metric: str) -> Iterator[Cost]:
    """Rows of Cost Explorer's answer, grouped by a tag: its groups are called `Key$value`."""
    for page in pages:
        for span in page.get("ResultsByTime") or ():
            for group in span.get("Groups") or ():
                amount = group["Metrics"][metric]
                yield Cost(group["Keys"][0].partition("$")[2], "aws", Decimal(amount["Amount"]), amount["Unit"])


def of_export(rows: Iterable[Mapping[str, Any]]) -> Iterator[Cost]:
    """Rows of BigQuery's answer to `billing_query`: cells in the order of its columns."""
    for row in rows:
        value, currency, total = (cell["v"] for cell in row["f"])
        yield Cost(value or "", "gcp", Decimal(total), currency)


def is_table(name: str) -> bool:
    """Is this the full name of a table, and nothing else?

    >>> is_table("shop-prod.billing.gcp_billing_export_v1_01AB"), is_table("a.b.c`; drop")
    (True, False)
    """
    return _TABLE.fullmatch(name) is not None


def billing_query(table: str) -> str:
    """The query of a billing export. Labels and credits are repeated records, so each is unnested inside its row: joined, a row with two
    labels would count twice. Parameters: `label`, `since`, `until`. Net of credits."""
    if not is_table(table):
        raise ValueError("not the full name of a table")
    return f"""SELECT
  IFNULL((SELECT label.value FROM UNNEST(labels) AS label WHERE label.key = @label LIMIT 1), '') AS value,
  currency,
  SUM(CAST(cost AS NUMERIC))
    + SUM(IFNULL((SELECT SUM(CAST(credit.amount AS NUMERIC)) FROM UNNEST(credits) AS credit), 0)) AS total
FROM `{table}`
WHERE usage_start_time >= TIMESTAMP(@since) AND usage_start_time < TIMESTAMP(@until)
GROUP BY value, currency
ORDER BY total DESC, value"""


def billing_parameters(label: str, period: Period) -> dict[str, str]:
    """The label, and the days in UTC."""
    return {"label": label, "since": period.since.isoformat(), "until": period.until.isoformat()}


def summed(costs: Iterable[Cost]) -> tuple[Cost, ...]:
    """One row for each value, cloud and currency, the dearest first. Values that GCP spells otherwise are put back where AWS has them."""
    listed = list(costs)
    spelled = {convert_value(each.value, RULES["gcp"]): each.value for each in listed if each.cloud == "aws"}
    totals: dict[tuple[str, str, str], Decimal] = {}
    for each in listed:
        value = spelled.get(each.value, each.value) if each.cloud == "gcp" else each.value
        key = (value, each.cloud, each.currency)
        totals[key] = totals.get(key, Decimal(0)) + each.amount
    rows = (Cost(value, cloud, amount, currency) for (value, cloud, currency), amount in totals.items())
    return tuple(sorted(rows, key=lambda row: (row.currency, -row.amount, row.value, row.cloud)))


def cells(rows: Sequence[Cost]) -> list[tuple[str, str, str, str, str]]:
    """As they are shown: cents, and the share among rows of one currency."""
    totals: dict[str, Decimal] = {}
    for row in rows:
        totals[row.currency] = totals.get(row.currency, Decimal(0)) + row.amount
    return [(row.value, row.cloud, f"{row.amount:.2f}", row.currency, _share(row.amount, totals[row.currency])) for row in rows]


def _share(amount: Decimal, total: Decimal) -> str:
    return f"{amount / total * 100:.1f}%" if total > 0 else ""


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(rows: Sequence[Cost], by: str) -> str:
    """Comma separated, amounts in full. A value that a spreadsheet would take for a formula gets an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((by, "cloud", "cost", "currency"))
    for row in rows:
        value = f"'{row.value}" if row.value.startswith(_FORMULA) else row.value
        writer.writerow((value, row.cloud, f"{row.amount:f}", row.currency))
    return file.getvalue()
