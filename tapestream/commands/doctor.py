"""`tapestream doctor`: is everything here that Tapestream needs, and what to do where it is not."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from schemas import codec
from tapestream.doctor import Check, examine

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def run(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Check this machine, the broker and the topics.

    Python, packages, shadowed folders, Java, settings, broker, topics, GPU, disk and memory, each with a
    remedy where something is amiss. Exit code 1 when a check fails; a warning is no failure.
    """
    checks = asyncio.run(examine())
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        typer.echo(codec.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}))
    else:
        Console().print(table(checks))
    raise typer.Exit(1 if failed else 0)


def table(checks: list[Check]) -> Table:
    """The report for people."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("check", "", "found", "what to do"):
        shown.add_column(column, overflow="fold")
    for check in checks:
        colour = COLOURS[check.status]
        shown.add_row(check.name, f"[{colour}]{check.status}[/]", _plain(check.found), _plain(check.remedy))
    return shown


def _plain(text: str) -> str:
    return text.replace("[", r"\[")  # rich would take market.ticks[3] for a style
