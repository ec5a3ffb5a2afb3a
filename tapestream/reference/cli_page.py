"""`docs/cli.md`: every command's own help, and the exit codes."""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperGroup

from schemas import errors
from tapestream.cli import COMMANDS, INTERRUPTED, Row, load

WIDTH = 100

HEAD = """# The command line

Generated from the program by `make docs`. Settings that all commands share are environment variables, see
[settings.md](settings.md). Errors are one line on standard error, with a remedy; `TAPESTREAM_DEBUG=1` adds
the traceback.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, _contents(), "## Exit codes\n", _exit_codes()]
    for row in COMMANDS:
        parts += [f"## tapestream {row.name}\n", *_help(row)]
    return "\n".join(parts).rstrip() + "\n"


def _contents() -> str:
    lines = ["| command | what it does |", "|---|---|"]
    lines += [f"| [`{row.name}`](#tapestream-{row.name}) | {row.summary} |" for row in COMMANDS]
    return "\n".join(lines) + "\n"


def _exit_codes() -> str:
    causes: dict[int, list[str]] = {0: ["all went well"], 1: ["a check failed, or an unexpected error"]}
    for _, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.TapestreamError) and "exit_code" in vars(error):
            said = (inspect.getdoc(error) or "").splitlines()[0].rstrip(".").replace("``", "`")
            if error is not errors.TapestreamError:
                causes.setdefault(error.exit_code, []).append(said[0].lower() + said[1:])
    causes[2].append("an option or argument is wrong")
    causes[INTERRUPTED] = ["ended by Ctrl-C"]
    lines = ["| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {'; '.join(causes[code])} |" for code in sorted(causes)]
    return "\n".join(lines) + "\n"


def _help(row: Row) -> list[str]:
    command = load(row)
    shown = [_fence(command, f"tapestream {row.name}")]
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            shown += [f"### tapestream {row.name} {name}\n", _fence(inner, f"tapestream {row.name} {name}")]
    return shown


def _fence(command: Any, path: str) -> str:
    command.rich_markup_mode = None  # plain text, the same at any width of a terminal
    context = command.context_class(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    return f"```text\n{command.get_help(context).rstrip()}\n```\n"
