"""`tapestream orchestrate`: who gets which device, until told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.settings import load_settings
from tapestream.options import LogLevel, MetricsPort, PortFile

if TYPE_CHECKING:
    from agents.tasks.registry import AgentTable
    from orchestrator.service.intake import TaskNeeds


def run(
    policy: Annotated[
        str, typer.Option(help="Who goes first and where: a name, or module:Class.")
    ] = "default",
    domain: Annotated[
        str, typer.Option(help="The ledger; all orchestrators and agents of a pipeline name the same one.")
    ] = "default",
    owner_silence_s: Annotated[
        float, typer.Option(min=0.5, help="Claim the domain when its owner is silent for so long.")
    ] = 5.0,
    snapshot_every: Annotated[int, typer.Option(min=1, help="Records between two snapshots.")] = 10_000,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            help="module:Class of agents whose needs to know when a request does not say.", show_default=False
        ),
    ] = None,
    report_devices: Annotated[
        bool, typer.Option(help="Say on gpu.devices how this host's devices are, once a second.")
    ] = True,
    metrics_port: MetricsPort = None,
    port_file: PortFile = None,
    log_level: LogLevel = "INFO",
    as_json: Annotated[bool, typer.Option("--json", help="What it did, as JSON, at the end.")] = False,
) -> None:
    """Take tasks in, give them devices and watch over their leases, until Ctrl-C.

    Start several: one owns the domain, the others follow and take over when it is gone. Everything is
    on orchestrator.allocations, so one that is killed loses nothing.
    """
    from agents.tasks.registry import load_agents
    from orchestrator.discovery import InventoryReader
    from orchestrator.discovery.reporter import DeviceReporter
    from orchestrator.policies import named_policy
    from orchestrator.service.metrics import OrchestratorMetrics
    from orchestrator.service.options import Counts, OrchestratorOptions
    from orchestrator.service.service import Orchestrator, describe
    from schemas import codec
    from schemas.kill_switch import SWITCH, kill_allowed
    from streams.json_sender import json_sender
    from streams.process_name import descendants
    from tapestream.serving import serve, set_up_logs

    log = set_up_logs("orchestrate", log_level)
    settings = load_settings()
    options = OrchestratorOptions(
        domain=domain,
        owner_silence_s=owner_silence_s,
        snapshot_every=snapshot_every,
        may_end=kill_allowed(os.environ.get(SWITCH)),
    )
    orchestrator = Orchestrator(settings, named_policy(policy), needs_of(load_agents(agent or ())), options)
    gc.freeze()

    async def work(stop: asyncio.Event) -> Counts:
        if not report_devices:
            return await orchestrator.run(stop)
        with closing(InventoryReader()) as reader:
            async with json_sender(settings) as sender:
                reporter = DeviceReporter(
                    sender,
                    reader.look,
                    own_pids=lambda: frozenset().union(
                        *(descendants(name, orchestrator.host) for name in orchestrator.agents_seen)
                    ),
                )
                await _topics(settings)
                reporting = asyncio.create_task(reporter.run(), name="device reports")
                reporting.add_done_callback(lambda done: _say_why(done, log))
                try:
                    return await orchestrator.run(stop)
                finally:
                    reporting.cancel()
                    await asyncio.wait({reporting})

    metrics = OrchestratorMetrics(orchestrator)
    asyncio.run(
        serve(
            settings,
            work,
            lambda: orchestrator.ready,
            log,
            registry=metrics.registry,
            metrics_port=metrics_port,
            port_file=port_file,
        )
    )
    found = describe(orchestrator)
    typer.echo(codec.dumps(found).decode() if as_json else ", ".join(f"{v} {k}" for k, v in found.items()))


async def _topics(settings: object) -> None:
    from orchestrator.service.service import TOPICS
    from schemas.settings import Settings
    from streams import admin

    assert isinstance(settings, Settings)
    await admin.ensure_topics(settings, *TOPICS)


def _say_why(done: asyncio.Task[None], log: object) -> None:
    import logging

    assert isinstance(log, logging.Logger)
    if not done.cancelled() and done.exception() is not None:
        log.error("the devices of this host are not reported any more", exc_info=done.exception())


def needs_of(agents: AgentTable) -> dict[str, TaskNeeds]:
    """What the orchestrator must know of agents: plain numbers, since the two meet on topics only."""
    from orchestrator.service.intake import TaskNeeds

    return {
        name: TaskNeeds(entry.agent.memory_bytes, entry.agent.min_memory_bytes, entry.agent.shrinkable)
        for name, entry in agents.items()
    }
