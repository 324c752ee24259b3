"""An upstream system that registers a source by event. Plain aiokafka: no header is needed, the body says it all."""

import asyncio, json, os
from aiokafka import AIOKafkaProducer


async def main() -> None:
    async with AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        source = {"name": "crm", "host": "127.0.0.1", "database": "shop", "username": "reader", "password_secret": "env:CRM_PASSWORD"}
        await producer.send_and_wait("source.submitted", json.dumps(source).encode(), key=b"default/crm")


asyncio.run(main())
