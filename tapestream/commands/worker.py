"""``tapestream worker``: one process that computes ticks."""

from __future__ import annotations

import gc
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from schemas.settings import Settings


def run(
    device: Annotated[str, typer.Option(help="auto or cpu.")] = "auto",
    name: Annotated[str, typer.Option(help="Name of this worker, in logs and pages.")] = "",
    web_port: Annotated[int, typer.Option(help="Port of the pages; 0 takes a free one.")] = 6066,
    port_file: Annotated[
        Path | None, typer.Option(help="Write the port of the pages to this file.", show_default=False)
    ] = None,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Compute features, bars and signals from market.ticks until Ctrl-C."""
    import asyncio

    from agents.frames import choose_device
    from schemas.settings import load_settings
    from streams.files import replace_file

    settings = load_settings()
    device = choose_device(device)
    name = name or f"worker-{os.getpid()}"
    logging.basicConfig(level=log_level, format=f"%(asctime)s {name} %(levelname)s %(message)s")
    for noisy in ("aiokafka", "faust", "mode", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(log_level)))
    logging.getLogger("tapestream.worker").info("computing on %s", device)
    prepare(settings)
    from agents.tick_worker import TickWorker, WorkerOptions

    (settings.data_dir / "faust").mkdir(parents=True, exist_ok=True)
    port = web_port or free_port(settings.host)
    if port_file is not None:
        replace_file(port_file, str(port).encode())  # whoever waits for it never sees half of it
    # Faust takes the current event loop, and asyncio.run has left none behind.
    asyncio.set_event_loop(asyncio.new_event_loop())
    # Most objects here live until the next checkpoint; looking through them costs milliseconds each time.
    gc.set_threshold(50_000, 20, 20)
    worker = TickWorker(settings, WorkerOptions(name, port, log_level))
    gc.freeze()
    worker.run()


def prepare(settings: Settings) -> None:
    """Wait for the broker and see that the topics are as the table says."""
    import asyncio

    from streams.admin import ensure_topics
    from streams.clients import wait_for_broker

    log = logging.getLogger("tapestream.worker")

    async def ready() -> None:
        await wait_for_broker(settings, timeout_s=600.0, on_wait=log.warning)
        await ensure_topics(settings)

    asyncio.run(ready())


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])
