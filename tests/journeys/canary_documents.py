"""Canaries in documents and files: values, keys that are data, validators, views, names of files and folders, and what is damaged."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pyarrow
from pyarrow import parquet

from tests.journeys.canary import Canaries
from tests.mongo_server import READS, MongoServer


def planted_documents(canary: Canaries, mongo: MongoServer, name: str, password: str) -> None:
    """A database of documents, and a user of this name who may read it."""
    word, email, card = canary.word, canary.email, canary.card
    database = mongo.admin[name]
    told = {
        "note": {"bsonType": "string", "enum": [word("validator enum")], "description": f"e.g. {email('validator description')}"},
        "code": {"pattern": f"^{word('validator pattern')}$", "title": card("validator title")},
    }
    database.create_collection("noted", validator={"$jsonSchema": {"properties": told}, "x": {"$ne": word("validator value")}})
    database.noted.insert_many(
        [
            {
                "note": word(f"document text {n}"),
                "mail": email(f"document mail {n}"),
                "deep": {"a": [{"card": card(f"document card {n}")}]},
                "raw": word(f"document bytes {n}").encode(),
                "by_mail": {email(f"key of a map {n}"): {"seen": word(f"below such a key {n}")}},
                card(f"key that is a card {n}"): 1,
                "by_name": {word(f"one of many keys {n}.{at}"): at for at in range(70)},
            }
            for n in range(8)
        ]
    )
    database.noted.create_index("note", name=email("index name"), partialFilterExpression={"note": word("index filter")})
    stages = [{"$match": {"note": word("view filter of documents")}}, {"$set": {"tag": {"$literal": word("view literal of documents")}}}]
    database.create_collection("seen", viewOn="noted", pipeline=stages)
    mongo.test("user", user=name, password=password)
    mongo.test("grant", user=name, database=name, collection="", actions=[*READS, "listCollections", "dbStats"])


def planted_files(canary: Canaries, folder: Path) -> None:
    """Files of every format below a folder."""
    word, email, card = canary.word, canary.email, canary.card
    table = pyarrow.table(
        {"note": [word("parquet text")], email("parquet column"): [1], "deep": [{card("parquet key"): word("parquet deep")}]}
    )
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({"made by": word("parquet metadata")}), file)
    rows = [{"note": word(f"line {n}"), "mail": email(f"line mail {n}"), card(f"line key {n}"): n} for n in range(5)]
    files = {
        "bare.csv": "\n".join(f"{word(f'bare csv {n}')},{email(f'bare csv mail {n}')}" for n in range(5)).encode(),
        "bare_words.csv": "\n".join(f"{word(f'bare word {n}')};{word(f'bare second word {n}')}" for n in range(5)).encode(),
        "named.csv": f"id,note,card\n1,{word('named csv')},{card('named csv card')}\n".encode(),
        "lines.jsonl": "\n".join(map(json.dumps, rows)).encode(),
        "packed.json.gz": gzip.compress(json.dumps([{"note": word("packed")}]).encode()),
        "table.parquet": file.getvalue(),
        "broken.parquet": f"PAR1 {word('broken parquet')} PAR1".encode(),
        "broken.json": f'{{"note": "{word("broken json")}'.encode(),
        f"{email('file name')}.csv": b"id,name\n1,x\n",
        f"{email('folder name')}/plain.csv": b"id,name\n1,x\n",
        f"parted/mail={email('partition value')}/part-0.csv": b"id,name\n1,x\n",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
