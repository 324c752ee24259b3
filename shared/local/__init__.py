"""The local stack: PostgreSQL and Kafka from pip alone, the services beside them, one data directory."""
