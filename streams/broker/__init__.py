"""The embedded broker: Apache Kafka itself, run as a child process."""

from __future__ import annotations

from streams.broker.artifacts import KAFKA_VERSION, OnDownload
from streams.broker.config import ListenerSecurity
from streams.broker.embedded import EmbeddedBroker, embedded_broker

__all__ = ["KAFKA_VERSION", "EmbeddedBroker", "ListenerSecurity", "OnDownload", "embedded_broker"]
