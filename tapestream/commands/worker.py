"""``tapestream worker``: one process that computes ticks."""

from __future__ import annotations

import gc
import logging
import math
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tapestream.options import LogLevel

if TYPE_CHECKING:
    from agents.frames import Backend
    from schemas.settings import Settings
    from tapestream.devices import Choice


def run(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:N, GPU-uuid or MIG-uuid.")] = "auto",
    memory_limit: Annotated[
        str | None,
        typer.Option(
            help="GPU memory to take at most, as 8GiB; 90 % of what is free when absent.", show_default=False
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of this worker, in logs and pages.")] = "",
    web_port: Annotated[int, typer.Option(help="Port of the pages; 0 takes a free one.")] = 6066,
    port_file: Annotated[
        Path | None, typer.Option(help="Write the port of the pages to this file.", show_default=False)
    ] = None,
    capacity: Annotated[
        float,
        typer.Option(
            help="What it can carry beside others: one of 3 gets three times the partitions of one of 1."
        ),
    ] = 1.0,
    log_level: LogLevel = "INFO",
) -> None:
    """Compute features, bars and signals from market.ticks until Ctrl-C."""
    import asyncio

    from agents.heap import keep_pages
    from schemas.errors import SettingsError
    from schemas.settings import load_settings
    from streams.files import replace_file
    from tapestream.devices import choose_device
    from tapestream.serving import set_up_logs

    if not 0 < capacity < math.inf:
        raise SettingsError(f"capacity must be above 0 and finite, was {capacity:g}", "set --capacity")
    settings = load_settings()
    keep_pages()
    chosen = choose_device(device, memory_limit)
    name = name or f"worker-{os.getpid()}"
    set_up_logs(name, log_level, noisy=("faust", "mode"))
    logging.getLogger("tapestream.worker").info("computing on %s", chosen.line)
    backend = open_backend(chosen)
    prepare(settings)
    from agents.backpressure import device_uuid
    from agents.tick_worker import TickWorker, WorkerOptions

    uuid = device_uuid(chosen.seen_as, socket.gethostname())
    (settings.data_dir / "faust").mkdir(parents=True, exist_ok=True)
    port = web_port or free_port(settings.host)
    if port_file is not None:
        replace_file(port_file, str(port).encode())  # whoever waits for it never sees half of it
    # Faust takes the current event loop, and asyncio.run has left none behind.
    asyncio.set_event_loop(asyncio.new_event_loop())
    # Most objects here live until the next checkpoint; looking through them costs milliseconds each time.
    gc.set_threshold(50_000, 20, 20)
    worker = TickWorker(settings, WorkerOptions(name, port, uuid, log_level, backend, capacity))
    gc.freeze()
    worker.run()


def open_backend(chosen: Choice) -> Backend:
    """The backend of a device; from here on this process sees no other one."""
    from agents.frames import CPU

    if not chosen.cuda:
        return CPU
    if chosen.visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen.visible
    from agents.frames.cuda import open_device

    return open_device(chosen.memory_limit_bytes, chosen.visible or "cuda:0")


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
