"""A downstream system that hears what each table holds. Facts may come twice, then with the same ce_id."""

import asyncio, json, os
from aiokafka import AIOKafkaConsumer


async def main() -> None:
    where = {"bootstrap_servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"], "group_id": "my-app", "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer("asset.classified", **where) as consumer:
        async for record in consumer:
            if record.value:  # an empty body means: this table is gone
                fact = json.loads(record.value)
                print(fact["asset"], [(c["name"], c["class_name"]) for c in fact["columns"] if c.get("class_name")])


asyncio.run(main())
