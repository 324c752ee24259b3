"""An upstream system that signs what it asks for: the operator gave roles and a tenant to its public key (PURSIGHT_SIGNERS).

openssl genpkey -algorithm ed25519 -out crm.pem; openssl pkey -in crm.pem -pubout -outform DER | tail -c 32 | base64   # the public key
"""

import asyncio, base64, hashlib, json, os, uuid
from datetime import UTC, datetime
from pathlib import Path
from aiokafka import AIOKafkaProducer
from cryptography.hazmat.primitives.serialization import load_pem_private_key

NAME = "crm"  # as the operator calls us


def signed_headers(pem: bytes, topic: str, key: bytes, body: bytes) -> list[tuple[str, bytes]]:
    headers = {"ce_id": str(uuid.uuid4()), "ce_time": datetime.now(UTC).isoformat(), "ce_actor": NAME}
    lines = [topic.encode(), key, *(text.encode() for text in headers.values()), hashlib.sha256(body).hexdigest().encode()]
    seal = base64.b64encode(load_pem_private_key(pem, None).sign(b"\n".join(lines)))
    return [*((name, text.encode()) for name, text in headers.items()), ("ce_actorseal", seal)]


async def main() -> None:
    source = {
        "tenant": "acme",
        "name": "crm",
        "host": "db.example",
        "database": "shop",
        "password_secret": "vault:secret/acme/crm#password",
    }
    topic, key, body = "source.submitted", b"acme/crm", json.dumps(source).encode()
    headers = signed_headers(Path(os.environ["CRM_KEY_FILE"]).read_bytes(), topic, key, body)
    async with AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        await producer.send_and_wait(topic, body, key=key, headers=headers)


if __name__ == "__main__":
    asyncio.run(main())
