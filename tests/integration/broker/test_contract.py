"""The contract of brokers, kept by RabbitMQ through the adapter."""

from __future__ import annotations

from contracts.broker import BrokerContract


class TestRabbitBroker(BrokerContract):
    """All of it."""
