"""`tapestream topics`: create, describe and check the topics of the table."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from schemas import codec
from schemas.settings import load_settings
from streams import admin, topics

app = typer.Typer(no_args_is_help=True, help="Create, describe and check the topics.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@app.command()
def create(
    repair: Annotated[
        bool, typer.Option("--repair", help="Also set differing configurations back to the table's.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Create the topics that are absent; refuse when one differs from the table.

    TAPESTREAM_PARTITIONS, TAPESTREAM_REPLICATION_FACTOR and TAPESTREAM_TOPIC_PREFIX say how.
    """
    made = asyncio.run(admin.ensure_topics(load_settings(), repair=repair))
    if as_json:
        typer.echo(codec.dumps({"created": made}).decode())
        return
    for name in made:
        typer.echo(f"created {name}")
    if not made:
        typer.echo("all topics are there")


@app.command()
def describe(as_json: Json = False) -> None:
    """The topics, what they carry and how the broker keeps them."""
    settings = load_settings()
    states = asyncio.run(admin.describe(settings))
    if as_json:
        typer.echo(codec.dumps({"topics": [asdict(state) for state in states]}).decode())
        return
    shown = Table(box=None, pad_edge=False)
    shown.add_column("topic", no_wrap=True)
    shown.add_column("n", justify="right", no_wrap=True)
    shown.add_column("kept", no_wrap=True)
    shown.add_column("key")
    shown.add_column("payload")
    for state in states:
        row = topics.topic(topics.base_name(settings, state.name))
        count = str(state.partitions) if state.partitions else "absent"
        kept = _kept(state.config.get("retention.ms"), state.config.get("cleanup.policy", ""))
        shown.add_row(state.name, count, kept, row.key, row.payload)
    Console().print(shown)


@app.command()
def check(as_json: Json = False) -> None:
    """Each difference between the broker's topics and the table; exit code 4 when there is one."""
    found = asyncio.run(admin.check(load_settings()))
    if as_json:
        typer.echo(codec.dumps({"differences": [asdict(difference) for difference in found]}).decode())
    for difference in () if as_json else found:
        typer.echo(f"{difference} ({difference.remedy})")
    if found:
        raise typer.Exit(4)
    if not as_json:
        typer.echo(f"{len(topics.TOPICS)} topics are as declared")


def _kept(retention_ms: str | None, cleanup: str) -> str:
    if retention_ms is None:
        return "-"
    if cleanup == "compact":
        return "last of each key"
    days = int(retention_ms) / topics.DAY_MS
    kept = "forever" if int(retention_ms) == topics.FOREVER else f"{days:g} days"
    return f"{kept}, last of key" if "compact" in cleanup else kept
