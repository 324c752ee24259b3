"""The whole line on files: from the URL of a bucket or a folder to tags."""

from __future__ import annotations

import io
import secrets
from pathlib import Path

import httpx
import pyarrow
from pyarrow import parquet

from tests.journeys.stack import Line

IBAN = "DE89370400440532013000"
PEOPLE = "id,email,iban\n" + "".join(f"{n},user{n}@example.com,{IBAN}\n" for n in range(60))
READINGS = "".join(f'{{"sensor": {{"id": {n}}}, "degrees": {n / 7}}}\n' for n in range(20))


def _orders(start: int) -> bytes:
    file = io.BytesIO()
    people = [{"mail": f"user{n}@example.com"} for n in range(start, start + 40)]
    parquet.write_table(pyarrow.table({"order_id": list(range(start, start + 40)), "buyer": people}), file)
    return file.getvalue()


FILES = {
    "crm/customers.csv": PEOPLE.encode(),
    "iot/readings-2026-01-01.jsonl": READINGS.encode(),
    "iot/readings-2026-01-02.jsonl": READINGS.encode(),
    "shop/orders/day=2026-01-01/part-0.parquet": _orders(0),
    "shop/orders/day=2026-01-02/part-0.parquet": _orders(40),
    "shop/broken.parquet": b"PAR1 this is none",
}


def test_a_bucket_is_scanned_to_its_tags(line: Line, moto: str) -> None:
    """`pursight scan s3://…` takes equal files for one asset, finds classes by values, nested too, and says what cannot be read."""
    bucket = f"lake-{secrets.token_hex(4)}"
    with httpx.Client(base_url=f"{moto}/{bucket}") as store:
        store.put("").raise_for_status()
        for key, content in FILES.items():
            store.put(f"/lake/{key}", content=content, headers={"x-amz-acl": "public-read"}).raise_for_status()
    found = line.scan(f"s3://{bucket}/lake?endpoint={moto}")
    tables = {(asset["schema"], asset["table"]): {each["name"]: each["class"] for each in asset["columns"]} for asset in found["assets"]}
    assert set(tables) == {("crm", "customers.csv"), ("/", "iot"), ("shop", "orders"), ("shop", "broken.parquet")}
    assert (tables["crm", "customers.csv"]["email"], tables["crm", "customers.csv"]["iban"]) == ("email", "iban")
    assert tables["shop", "orders"]["buyer.mail"] == "email"
    assert list(tables["shop", "orders"]) == ["order_id", "buyer.mail", "day"]
    assert list(tables["/", "iot"]) == ["sensor.id", "degrees"]
    assert any("public" in str(each).lower() for each in found["violations"]), found["violations"]
    assert any("customers" in tag["target"] for tag in found["tags"]), found["tags"][:5]
    assert "example.com" not in str(found)
    (scan,) = line.get("/scan-jobs", source=found["source"], limit=1)["scans"]
    assert "unreadable_file" in str(scan), scan


def test_a_folder_is_scanned_and_what_is_added_is_seen(line: Line, tmp_path: Path) -> None:
    """`pursight scan file:///…`: a second scan says what changed and what went away."""
    for key, content in FILES.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(content)
    name = f"drop-{secrets.token_hex(4)}"
    first = line.scan(f"file://{tmp_path}", "--name", name)
    assert len(first["assets"]) == 4
    (tmp_path / "crm" / "customers.csv").write_text(PEOPLE.replace("id,", "id,phone,", 1).replace("\n", "\n+49 431 1234567,", 59))
    (tmp_path / "shop" / "broken.parquet").unlink()
    assert line.shell("source", "edit", name, "--set", "owner=team-lake").returncode == 0
    again = line.scan(f"file://{tmp_path}", "--name", name)
    assert line.get(f"/sources/default/{name}")["spec"]["owner"] == "team-lake"  # what was declared stays
    columns = {asset["table"]: [each["name"] for each in asset["columns"]] for asset in again["assets"]}
    assert columns["customers.csv"] == ["id", "phone", "email", "iban"]
    assert "broken.parquet" not in columns


def test_a_second_folder_of_the_same_name_is_another_source(line: Line, tmp_path: Path) -> None:
    """Its scan would replace what is known of the first; so it is refused, and told what to do."""
    name = f"lake{secrets.token_hex(4)}"
    for place in ("a", "b"):
        (tmp_path / place / name).mkdir(parents=True)
        (tmp_path / place / name / "people.csv").write_text(PEOPLE)
    line.scan(f"file://{tmp_path}/a/{name}")
    refused = line.shell("scan", f"file://{tmp_path}/b/{name}")
    assert (refused.returncode, "--name" in refused.stderr) == (2, True), refused.stderr
