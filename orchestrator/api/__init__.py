"""The REST API: a thin producer and reader of the topics that Kafka clients use too.

What it accepts goes onto ``gpu.tasks`` and ``gpu.commands``; what it shows is :mod:`orchestrator.api.model`,
folded from topics. The only folder that knows FastAPI.
"""
