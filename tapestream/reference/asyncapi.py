"""The AsyncAPI 3 document of the topics: which channels there are, who writes them and what they carry."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.features import BAR_SCHEMA, FEATURE_SCHEMA, indicator_schema
from schemas.headers import H_ERROR, H_MODEL, H_ORIGIN, H_REMEDY, H_VERSION, H_WATERMARK
from schemas.settings import Settings
from schemas.ticks import ARROW_SCHEMA, REQUIRED, VERSION
from streams import topics
from tapestream import __version__
from tapestream.reference.json_schemas import JSON_MESSAGES, json_text, schema_of

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
BYTES = "application/octet-stream"

_VERSION = {H_VERSION: "version of the message's format; absent means this one"}
_OUTPUT = {
    **_VERSION,
    H_ORIGIN: "topic[partition]@offset#index: the input that this was made from, and its number",
}

CARRIED: dict[str, tuple[tuple[str, ...], str]] = {
    topics.TICKS: (("tick_frame",), "receive"),
    topics.TICKS_JSON: (("tick", "tick_array"), "receive"),
    topics.FEATURES: (("feature_frame",), "send"),
    topics.BARS: (("bar_frame",), "send"),
    topics.INDICATORS: (("indicator_frame",), "send"),
    topics.SIGNALS: (("signal",), "send"),
    topics.QUALITY: (("quality_event",), "send"),
    topics.GPU_TASKS: (("task_request", "task_cancel"), "receive"),
    topics.GPU_RESULTS: (("task_result", "task_progress"), "send"),
    topics.GPU_DEVICES: (("device_report",), "send"),
    topics.WORKERS: (("worker_report",), "send"),
    topics.GPU_COMMANDS: (
        ("cleanup_command", "policy_command", "cleanup_answer", "process_ending", "allocator_sample"),
        "send",
    ),
    topics.MEMORY_ALERTS: (("memory_alert",), "send"),
    topics.CHECKPOINTS: (("checkpoint",), "send"),
    topics.DEAD_LETTERS: (("dead_letter",), "send"),
}
"""Topic to its messages and to what Tapestream does with it; a topic that is not here is not in use yet."""


def document() -> str:
    """The whole document, as JSON."""
    in_use = [row for row in topics.TOPICS if row.name in CARRIED]
    return json_text(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": "Tapestream",
                "version": __version__,
                "description": "Market ticks in; order-flow features, bars and signals out.",
                "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            },
            "defaultContentType": JSON,
            "servers": {"local": {"host": Settings.model_fields["broker"].default, "protocol": "kafka"}},
            "channels": {row.name: _channel(row) for row in in_use},
            "operations": {_camel(row.name): _operation(row) for row in in_use},
            "components": {"messages": _messages(), "schemas": _schemas()},
        }
    )


def _channel(row: topics.Topic) -> dict[str, Any]:
    names, _ = CARRIED[row.name]
    configuration = row.config()
    kept: dict[str, Any] = {
        "cleanup.policy": configuration["cleanup.policy"].split(","),
        "max.message.bytes": row.max_message_bytes,
    }
    if row.retention_ms != topics.FOREVER:
        kept["retention.ms"] = row.retention_ms
    kafka = {
        "topic": row.name,
        "partitions": row.partition_count(
            Settings.model_construct(partitions=Settings.model_fields["partitions"].default)
        ),
        "topicConfiguration": kept,
        "bindingVersion": "0.5.0",
    }
    return {
        "address": row.name,
        "description": f"{row.description}; key: {row.key}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": kafka},
    }


def _operation(row: topics.Topic) -> dict[str, Any]:
    names, action = CARRIED[row.name]
    # A name with a dot is one key; in a JSON pointer a dot needs no escape.
    channel = f"#/channels/{row.name}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": row.description,
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in names],
    }


def _messages() -> dict[str, Any]:
    heartbeat = {
        **_VERSION,
        H_WATERMARK: "time up to which no more ticks come, ns; moves the windows of an idle partition",
        H_MODEL: "JSON of `version` and `sha256`: the model that scores bars from this message on",
    }
    trouble = {**_OUTPUT, H_ERROR: "what is wrong with it", H_REMEDY: "what to do about it"}
    return {
        "tick_frame": _arrow("Ticks as columns.", ARROW_SCHEMA, heartbeat, required=REQUIRED),
        "tick": _json("One tick.", "tick", _VERSION),
        "tick_array": {
            "contentType": JSON,
            "summary": "Several ticks.",
            "headers": _headers(_VERSION),
            "payload": {"type": "array", "items": {"$ref": "#/components/schemas/tick"}},
        },
        "feature_frame": _arrow("A row a symbol and window that closed.", FEATURE_SCHEMA, _OUTPUT),
        "bar_frame": _arrow(
            "A bar a symbol and window that closed; prices are multiples of 1e-9.", BAR_SCHEMA, _OUTPUT
        ),
        "indicator_frame": _arrow(
            "A row a bar; after these columns a double for each value of TAPESTREAM_INDICATORS, such as "
            "`rsi(14)` or `macd(12,26,9).macdsignal`, NaN over its look-back.",
            indicator_schema(()),
            _OUTPUT,
        ),
        "signal": _json("A side taken, changed or left.", "signal", _OUTPUT),
        "quality_event": _json("Trouble in the input, with coordinates.", "quality_event", _OUTPUT),
        "task_request": _json("Work that somebody wants done.", "task_request", _VERSION),
        "task_cancel": _json("A wish to end a task; told apart by `cancel`.", "task_cancel", _VERSION),
        "task_result": _json("The end of a task; take the first of its id.", "task_result", _VERSION),
        "task_progress": _json("How far a task is; told apart by `progress`.", "task_progress", _VERSION),
        "device_report": _json("One look at one device, once a second.", "device_report", _VERSION),
        "worker_report": _json("One look at one tick worker, once a second.", "worker_report", _VERSION),
        "memory_alert": _json("A step in the life of an alert about memory.", "memory_alert", _VERSION),
        "cleanup_command": _json("Something to do about a device's memory.", "cleanup_command", _VERSION),
        "process_ending": _json("A step of ending a child of an agent's own.", "process_ending", _VERSION),
        "policy_command": _json("Another policy of the memory guard.", "policy_command", _VERSION),
        "cleanup_answer": _json("What an owner of memory did about it.", "cleanup_answer", _VERSION),
        "allocator_sample": _json("What allocators hold on a device.", "allocator_sample", _VERSION),
        "checkpoint": {
            "contentType": BYTES,
            "summary": "State of one partition, for workers only; its bytes may change with any version.",
            "headers": _headers(_VERSION),
        },
        "dead_letter": {
            "contentType": BYTES,
            "summary": "The message as it came, and why it could not be used.",
            "headers": _headers(trouble),
        },
    }


def _json(summary: str, schema: str, headers: dict[str, str]) -> dict[str, Any]:
    payload = {"$ref": f"#/components/schemas/{schema}"}
    return {"contentType": JSON, "summary": summary, "headers": _headers(headers), "payload": payload}


def _arrow(
    summary: str, schema: pa.Schema, headers: dict[str, str], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    columns = [
        {"name": column.name, "type": str(column.type), "required": not required or column.name in required}
        for column in schema
    ]
    return {
        "contentType": ARROW,
        "summary": f"{summary} An Arrow IPC stream of one record batch.",
        "headers": _headers(headers),
        # AsyncAPI has no word for Arrow's columns; extensions start with x-.
        "x-columns": columns,
    }


def _headers(described: dict[str, str]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        name: {"type": "string", "description": text} for name, text in described.items()
    }
    properties[H_VERSION]["const"] = str(VERSION)
    return {"type": "object", "properties": properties}


def _schemas() -> dict[str, Any]:
    schemas = {}
    for name in JSON_MESSAGES:
        schema = schema_of(name)
        schema.pop("$schema")
        # References inside a schema count from the document's root once it is a part of it.
        schemas[name] = _rebased(schema, f"#/components/schemas/{name}")
    return schemas


def _rebased(node: Any, base: str) -> Any:
    if isinstance(node, list):
        return [_rebased(item, base) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: base + value[1:] if key == "$ref" else _rebased(value, base) for key, value in node.items()}


def _camel(name: str) -> str:
    first, *rest = name.split(".")
    return first + "".join(part.capitalize() for part in rest)
