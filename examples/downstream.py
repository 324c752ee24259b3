"""A downstream system that hears what each table holds. A fact may come twice, then with the same ce_id."""

import asyncio, json, os, sys
from aiokafka import AIOKafkaConsumer


def shown(body: bytes) -> str:
    fact = json.loads(body)
    return f"{fact['asset']} {[(c['name'], c['class_name']) for c in fact['columns'] if c.get('class_name')]}"


async def main() -> None:
    where = {"bootstrap_servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], "group_id": "my-app", "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer("asset.classified", **where) as consumer:
        async for record in consumer:
            if record.value:  # an empty body means: this table is gone
                try:
                    print(shown(record.value))
                except (ValueError, LookupError, TypeError, AttributeError):  # anybody may write to a topic: one bad record stops nobody
                    print(f"passed over: {record.topic} {record.partition} {record.offset}", file=sys.stderr)


asyncio.run(main())
