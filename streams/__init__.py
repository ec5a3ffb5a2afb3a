"""The log: topic table, Kafka clients, embedded broker, ingest, replay, record, simulated market."""
