"""`tapestream agent`: runs tasks on this host's devices, until told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Annotated

import typer

from schemas.settings import load_settings
from tapestream.options import LogLevel, MetricsPort, PortFile


def run(
    agent: Annotated[
        list[str] | None,
        typer.Option(
            help="module:Class of an agent of yours, or a module of them; again for more.", show_default=False
        ),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Most tasks at once, whatever is granted.", show_default="all")
    ] = None,
    domain: Annotated[str, typer.Option(help="The ledger that it follows.")] = "default",
    metrics_port: MetricsPort = None,
    port_file: PortFile = None,
    log_level: LogLevel = "INFO",
    as_json: Annotated[bool, typer.Option("--json", help="What it did, as JSON, at the end.")] = False,
) -> None:
    """Run the tasks that are granted on this host's devices, each in a child process, until Ctrl-C.

    At the end it lets what runs finish, as long as TAPESTREAM_SHUTDOWN_TIMEOUT_S allows. The agent that is
    started after one that was killed tells what became of its tasks. All agents of a host should know the
    same types of tasks.
    """
    from agents.tasks.registry import load_agents
    from agents.tasks.service.options import AgentOptions
    from agents.tasks.service.service import AgentService
    from schemas import codec
    from schemas.kill_switch import SWITCH, kill_allowed
    from tapestream.serving import serve, set_up_logs

    log = set_up_logs("agent", log_level)
    settings = load_settings()
    options = AgentOptions(domain, slots, may_end=kill_allowed(os.environ.get(SWITCH)))
    table = load_agents(agent or ())
    service = AgentService(settings, table, options)
    log.info("%s does %s", service.name, ", ".join(sorted(table)))
    gc.freeze()
    asyncio.run(
        serve(
            settings,
            service.run,
            lambda: service.ready,
            log,
            metrics_port=metrics_port,
            port_file=port_file,
        )
    )
    found = {name: getattr(service.counts, name) for name in service.counts.__dataclass_fields__}
    typer.echo(codec.dumps(found).decode() if as_json else ", ".join(f"{v} {k}" for k, v in found.items()))
