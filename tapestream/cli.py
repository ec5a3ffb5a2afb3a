"""The command line: one table of commands, and what becomes of their errors.

A command's module is imported when the command runs, not before, so that ``tapestream --help`` does not
wait for torch or Kafka clients. Every :class:`~schemas.errors.TapestreamError` ends as one line on standard
error and its documented exit code.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from tapestream import __version__
from tapestream.shadows import find_shadow

try:
    from schemas.errors import TapestreamError
except ImportError as exc:
    shadow = find_shadow()
    sys.exit(f"error: {shadow.problem} ({shadow.remedy})" if shadow else f"error: {exc} (make setup)")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

RUN, FLOW, LOOK, OPERATE = "Run it", "Ticks in and out", "Look at it", "Operate it"


@dataclass(frozen=True, slots=True)
class Row:
    """One command: where it lives and what the list of commands says about it.

    Parameters
    ----------
    target
        ``module:attribute`` under ``tapestream.commands``, a function or a Typer application.
    """

    name: str
    target: str
    panel: str
    summary: str


COMMANDS: tuple[Row, ...] = (
    Row("demo", "demo:run", RUN, "See it work: broker, workers, a market and live signals."),
    Row("up", "up:run", RUN, "The whole pipeline in one terminal, ended by one Ctrl-C."),
    Row("broker", "broker:run", RUN, "An Apache Kafka of one's own, without Docker."),
    Row("worker", "worker:run", RUN, "Compute features, bars and signals from ticks."),
    Row("orchestrate", "orchestrate:run", RUN, "Give tasks their devices, by the log of decisions."),
    Row("agent", "agent:run", RUN, "Run tasks on this host's devices."),
    Row("task", "task:app", RUN, "Submit, watch, cancel and list tasks."),
    Row("api", "api:run", RUN, "The REST API, the dashboard and the documentation."),
    Row("market", "market:run", FLOW, "A simulated market with a known truth."),
    Row("replay", "replay:run", FLOW, "Send recorded files as ticks, at their own pace or another."),
    Row("ingest", "ingest:run", FLOW, "Pack JSON ticks into frames."),
    Row("record", "record:run", FLOW, "Write topics to Parquet."),
    Row("signals", "signals:run", LOOK, "Watch the trading signals."),
    Row("lag", "lag:run", LOOK, "How far the consumers are behind."),
    Row("verify", "verify:run", LOOK, "Recompute outputs and compare every bit with the log."),
    Row("gpus", "gpus:run", LOOK, "The GPUs there are, how they are, and the CPU's slots."),
    Row("allocations", "allocations:run", LOOK, "Who got which device, when and why."),
    Row("replay-decisions", "replay_decisions:run", LOOK, "Derive the decisions anew, or ask what if."),
    Row("doctor", "doctor:run", LOOK, "Check this machine, the broker and the topics."),
    Row("topics", "topics:app", OPERATE, "Create, describe and check the topics."),
    Row("dead-letters", "dead_letters:app", OPERATE, "List and retry what could not be used."),
    Row("fit-micro-price", "fit_micro_price:run", OPERATE, "Fit the micro-price table to recorded quotes."),
    Row("train", "train:run", OPERATE, "Train a model on bars, and compare it with simple ones."),
    Row("models", "models:app", OPERATE, "List, show, promote and roll back trained models."),
    Row("bench", "bench:run", OPERATE, "Measure, and print one JSON object."),
)


def load(row: Row) -> Any:
    """Import a command and make it what Typer runs."""
    module, _, attribute = row.target.partition(":")
    target = getattr(importlib.import_module(f"tapestream.commands.{module}"), attribute)
    if not isinstance(target, typer.Typer):
        single = typer.Typer()
        single.command(row.name)(target)
        target = single
    target._add_completion = False
    target.rich_markup_mode = "markdown"  # which joins the lines of a docstring's paragraphs
    command = typer.main.get_command(target)
    command.name = row.name
    return command


class LazyCommand(TyperCommand):
    """A name and a summary until it is run; then the command of the table's row."""

    row: Row

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import the real command and hand over to it."""
        return load(self.row).make_context(info_name, args, parent=parent, **extra)


class LazyGroup(TyperGroup):
    """The root, which knows its commands from the table."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for row in COMMANDS:
            command = LazyCommand(row.name, help=row.summary, rich_help_panel=row.panel)
            command.row = row
            self.add_command(command)


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tapestream {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Market ticks in, order-flow features and trading signals out, on Kafka.

    Settings come from TAPESTREAM_* environment variables; TAPESTREAM_BROKER is the most important one.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; the console script's entry.

    Parameters
    ----------
    args
        The arguments after the program's name; the process's own when absent.
    """
    try:
        code = app(
            args=list(sys.argv[1:] if args is None else args), prog_name="tapestream", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except TapestreamError as exc:
        return _complain(str(exc), exc.exit_code)
    except typer.TyperException as exc:  # a wrong option or argument
        context = getattr(exc, "ctx", None)
        if type(exc).__name__ == "NoArgsIsHelpError":
            typer.echo(exc.format_message(), err=True)
            return exc.exit_code
        path = context.command_path if context else "tapestream"
        return _complain(f"{exc.format_message()} (see `{path} --help`)", exc.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as exc:
        shadow = find_shadow() if isinstance(exc, ImportError) else None
        if shadow is not None:
            return _complain(f"{exc}: {shadow.problem} ({shadow.remedy})", 1)
        if debugging():
            traceback.print_exc()
        hint = "a defect of Tapestream; TAPESTREAM_DEBUG=1 shows where"
        return _complain(f"{type(exc).__name__}: {exc} ({hint})", 1)


def debugging() -> bool:
    """Whether the user asks for tracebacks."""
    return os.environ.get("TAPESTREAM_DEBUG", "") not in ("", "0")


def _complain(problem: str, code: int) -> int:
    print("error:", " ".join(problem.split()), file=sys.stderr)
    if debugging() and isinstance(sys.exception(), TapestreamError):
        traceback.print_exc()
    return code


if __name__ == "__main__":
    sys.exit(main())
