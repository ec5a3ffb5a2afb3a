"""``tapestream models``: what was trained, and which of it is in use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from schemas import codec
from schemas.settings import load_settings

if TYPE_CHECKING:
    from agents.models.registry import Registry

app = typer.Typer(no_args_is_help=True, help="List, show, promote and roll back trained models.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
Version = Annotated[str, typer.Argument(help="Such as v0001.")]


def _registry() -> Registry:
    from agents.models.registry import Registry  # brings torch, which `--help` need not wait for

    return Registry(load_settings().data_dir)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """All versions; the promoted one is marked."""
    entries = _registry().entries()
    if as_json:
        rows = [{"version": e.version, "promoted": e.promoted, "card": e.card} for e in entries]
        typer.echo(codec.dumps({"models": rows}).decode())
        return
    if not entries:
        typer.echo("no models; make one with `tapestream train FILE…`")
        return
    shown = Table(box=None, pad_edge=False)
    for name in ("", "version", "made", "symbols", "MCC", "log-loss", "beats simple"):
        shown.add_column(name, no_wrap=True)
    for entry in entries:
        ours = entry.card.get("metrics", {}).get("lstm", {})
        made = entry.card.get("made_ns")
        shown.add_row(
            "*" if entry.promoted else "",
            entry.version,
            f"{datetime.fromtimestamp(made / 1e9, UTC):%Y-%m-%d %H:%M}" if made else "",
            str(len(entry.card.get("data", {}).get("symbols", []))),
            f"{ours['mcc']['mean']:+.3f}" if "mcc" in ours else "",
            f"{ours['log_loss']['mean']:.4f}" if "log_loss" in ours else "",
            "yes" if entry.card.get("verdict", {}).get("beats") else "no",
        )
    Console().print(shown)


@app.command()
def show(version: Version) -> None:
    """The card of a version, as JSON."""
    typer.echo(codec.dumps_pretty(_registry().card(version)))


@app.command()
def promote(version: Version) -> None:
    """Use a version from now on, after a look at its files."""
    _registry().promote(version)
    typer.echo(f"{version} is in use")


@app.command()
def rollback() -> None:
    """Use the version that was promoted before this one."""
    typer.echo(f"{_registry().roll_back()} is in use again")
