"""`tapestream up`: the whole pipeline in one terminal."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from schemas.settings import load_settings
from streams import admin, clients
from tapestream.devices import seats
from tapestream.interrupts import sigterm_interrupts, until_told
from tapestream.up.family import Family
from tapestream.up.pipeline import (
    DEFAULT_BROKER_PORT,
    GRACE_BEYOND_S,
    BrokerWatch,
    api_plan,
    child_environment,
    ingest_plan,
    sole_use,
    some_broker,
    task_plans,
    token_of,
    worker_count,
    worker_plans,
)

LOOK_S = 0.2


def run(
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many worker processes; by the number of cores.")
    ] = None,
    device: Annotated[str, typer.Option(help="What the workers compute on, as theirs.")] = "auto",
    ingest: Annotated[bool, typer.Option(help="Pack JSON ticks into frames too.")] = True,
    tasks: Annotated[bool, typer.Option(help="Run an orchestrator and a task agent too.")] = True,
    api: Annotated[bool, typer.Option(help="Serve the REST API and the dashboard too.")] = True,
    agent: Annotated[
        list[str] | None,
        typer.Option(help="module:Class of a task agent of yours; again for more.", show_default=False),
    ] = None,
    broker_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Of the embedded broker; 0 for a free one.")
    ] = DEFAULT_BROKER_PORT,
) -> None:
    """Run the whole pipeline in this terminal: broker, topics, workers, JSON ingest, tasks, API.

    With TAPESTREAM_BROKER set, that Kafka is used and none is started. What crashes is started again. Each
    child's output goes to a file in the data folder's logs/. Ctrl-C drains: first the producers, then the
    workers, then the broker; a second Ctrl-C kills what is left.
    """
    settings = load_settings()
    console = Console(stderr=True, highlight=False)

    def say(line: str) -> None:
        console.print(f"{datetime.now():%H:%M:%S}  {line}", soft_wrap=True, markup=False)

    dealt = seats(workers or worker_count(os.cpu_count()), device)
    plans = worker_plans(dealt, settings.data_dir / "run")
    if ingest:
        plans.append(ingest_plan(settings.data_dir / "run"))
    if tasks:
        plans += task_plans(settings.data_dir / "run", tuple(agent or ()))
    if api:
        plans.append(api_plan(settings.data_dir / "run"))
    # Until the signals are ours, Ctrl-C and SIGTERM interrupt what is being started.
    sigterm_interrupts()
    with sole_use(settings.data_dir, "up"), some_broker(settings, console, broker_port) as broker:
        address = broker.address if broker else settings.broker
        placed = settings.model_copy(update={"broker": address})
        asyncio.run(clients.wait_for_broker(placed, on_wait=say))
        made = asyncio.run(admin.ensure_topics(placed))
        say(f"broker    {address}")
        say(f"topics    {len(made)} created" if made else "topics    as declared")
        say(f"logs      {settings.data_dir / 'logs'}")
        token = token_of(settings)
        if api and settings.api_token is None:
            say(f"token     {token}  for the API; its dashboard is at /dashboard#token={token}")
        environment = child_environment(settings, address, token)
        grace_s = settings.shutdown_timeout_s + GRACE_BEYOND_S
        with Family(settings.data_dir / "logs", environment, grace_s, say, settings.host) as family:
            family.start(plans)
            with until_told(family.hurry, signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as told:
                say(f"{', '.join(plan.name for plan in plans)} started; Ctrl-C drains and ends")
                watch = BrokerWatch(broker, say)
                while not told.wait(LOOK_S):
                    family.look()
                    watch.look()
                family.stop()
    say("ended; the data is kept")
