"""JSON Schemas of the messages that people and foreign clients write or read."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel

from schemas.alerts import MemoryAlert
from schemas.commands import AllocatorSample, CleanupAnswer, CleanupCommand, PolicyCommand, ProcessEnding
from schemas.devices import DeviceReport
from schemas.messages import QualityEvent, Signal, TickJson
from schemas.tasks import TaskCancel, TaskProgress, TaskRequest, TaskResult
from schemas.workers import WorkerReport

DIALECT = "https://json-schema.org/draft/2020-12/schema"

JSON_MESSAGES: dict[str, tuple[type[BaseModel], Literal["validation", "serialization"]]] = {
    "tick": (TickJson, "validation"),
    "signal": (Signal, "serialization"),
    "quality_event": (QualityEvent, "serialization"),
    "task_request": (TaskRequest, "validation"),
    "task_cancel": (TaskCancel, "validation"),
    "task_result": (TaskResult, "serialization"),
    "task_progress": (TaskProgress, "serialization"),
    "device_report": (DeviceReport, "serialization"),
    "worker_report": (WorkerReport, "serialization"),
    "memory_alert": (MemoryAlert, "serialization"),
    "cleanup_command": (CleanupCommand, "serialization"),
    "policy_command": (PolicyCommand, "validation"),
    "cleanup_answer": (CleanupAnswer, "serialization"),
    "allocator_sample": (AllocatorSample, "serialization"),
    "process_ending": (ProcessEnding, "serialization"),
}
"""Name to model, and to which of its sides the schema describes: what we accept, or what we write."""


def schema_of(name: str) -> dict[str, Any]:
    """The schema of a message, without titles that only repeat the names."""
    model, mode = JSON_MESSAGES[name]
    schema = model.model_json_schema(mode=mode)
    without_titles: dict[str, Any] = _without_titles(schema)
    return {"$schema": DIALECT, "title": model.__name__, **without_titles}


def ticks_schema() -> dict[str, Any]:
    """A message of ``market.ticks.json``: one tick, or an array of them."""
    tick = schema_of("tick")
    definition = {key: value for key, value in tick.items() if key != "$schema"}
    return {
        "$schema": DIALECT,
        "title": "TickMessage",
        "description": "A message of market.ticks.json: one tick, or an array of them.",
        "oneOf": [{"$ref": "#/$defs/TickJson"}, {"type": "array", "items": {"$ref": "#/$defs/TickJson"}}],
        "$defs": {"TickJson": definition},
    }


def documents() -> dict[str, str]:
    """The schema files."""
    schemas = {name: schema_of(name) for name in JSON_MESSAGES} | {"tick_message": ticks_schema()}
    return {f"docs/schemas/{name}.schema.json": json_text(schema) for name, schema in schemas.items()}


def json_text(value: Any) -> str:
    """Indented JSON; not by our codec, whose integers end below 2**64, the limit of a sequence number."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _without_titles(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    # A property may be called "title"; a schema's own title is a string.
    return {
        key: _without_titles(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }
