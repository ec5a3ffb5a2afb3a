"""`docs/settings.md` and `docs/topics.md`: the settings and the topics as tables."""

from __future__ import annotations

from typing import Any, get_args

from pydantic_core import PydanticUndefined

from schemas.kill_switch import SWITCH
from schemas.settings import Settings
from streams import topics

SETTINGS_HEAD = """# Settings

Generated from `schemas/settings.py` by `make docs`. Every setting is an environment variable, read once when
a command starts. Lists are JSON: `TAPESTREAM_WINDOWS_MS='[1000, 60000]'`. `TAPESTREAM_DEBUG=1` shows
tracebacks. A value that cannot be used ends the command with exit code 2 and names the variable.
"""

SWITCH_IS = """which has no prefix, lets the [memory guard](memory-guard.md#ending-processes) end a process of
ours. Off unless exactly `1` or `true`; set it for the orchestrator and for the agent. Any value but these,
`0`, `false` and nothing ends the command with exit code 2."""

TOPICS_HEAD = """# Topics

Generated from `streams/topics.py` by `make docs`. `tapestream topics create` makes them, and refuses when one
that exists has another number of partitions or is kept in another way; `tapestream topics check` only looks.
*N* is `TAPESTREAM_PARTITIONS`. What the messages look like is in [schemas/](schemas/): a JSON Schema for each
JSON message, and an AsyncAPI document of all topics in use.
"""


def settings_page() -> str:
    """The page of the settings."""
    lines = [SETTINGS_HEAD, "| variable | type | default | what it is |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        described = _cell((field.description or name.replace("_", " ")).replace("``", "`"))
        kind, default = _cell(_kind(field.annotation)), _cell(_default(field.default))
        lines.append(f"| `TAPESTREAM_{name.upper()}` | {kind} | {default} | {described} |")
    lines += ["", f"`{SWITCH}`, {SWITCH_IS}"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _kind(annotation: Any) -> str:
    if annotation is None:
        return ""
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return ", ".join(f"`{argument}`" for argument in arguments)
    if getattr(annotation, "__origin__", None) is tuple:
        return f"list of {_kind(arguments[0])}"
    if arguments:
        return _kind(arguments[0])
    names = {
        "str": "text",
        "int": "integer",
        "float": "number",
        "bool": "true or false",
        "Path": "path",
        "SecretStr": "secret",
    }
    return names.get(annotation.__name__, str(annotation.__name__))


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "none"
    if value == "":
        return "empty"
    if isinstance(value, tuple):
        inner = ", ".join(f'"{item}"' if isinstance(item, str) else str(item) for item in value)
        return f"`[{inner}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def topics_page() -> str:
    """The page of the topics."""
    lines = [
        TOPICS_HEAD,
        "| topic | key | payload | partitions | kept | what it is for |",
        "|---|---|---|---|---|---|",
    ]
    for row in topics.TOPICS:
        count = "*N*" if row.partitions == "partitioned" else str(row.partitions)
        lines.append(
            f"| `{row.name}` | {row.key} | {row.payload} | {count} | {_kept(row)} | {row.description} |"
        )
    return "\n".join(lines) + "\n"


def _kept(row: topics.Topic) -> str:
    age = "forever" if row.retention_ms == topics.FOREVER else f"{row.retention_ms / topics.DAY_MS:g} days"
    return {"delete": age, "compact": "last of each key", "compact,delete": f"last of each key, {age}"}[
        row.cleanup
    ]
