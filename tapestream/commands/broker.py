"""`tapestream broker`: an Apache Kafka of one's own in the foreground, without Docker."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from schemas import codec
from schemas.errors import BrokerError
from schemas.settings import load_settings
from streams.broker import KAFKA_VERSION, EmbeddedBroker, OnDownload, embedded_broker

LOOK_S = 0.5
"""How often to see whether the nodes still run."""


def run(
    port: Annotated[int, typer.Option(help="Of the first node; 0 for a free one.")] = 9092,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="The data folder; its kafka/ holds the log. TAPESTREAM_DATA_DIR by default."),
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, max=9, help="How many nodes, on neighbouring ports.")] = 1,
    heap_mb: Annotated[int, typer.Option(min=128, help="Java heap of a node.")] = 512,
    as_json: Annotated[bool, typer.Option("--json", help="Say that it is up as one JSON object.")] = False,
) -> None:
    """Run Apache Kafka here, for this machine only, until Ctrl-C.

    The first start downloads it (45 MB). What is written survives a restart.
    """
    # Until it is up both signals interrupt; then they end it in good order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ended = threading.Event()
    settings = load_settings(data_dir=data_dir)
    console = Console(stderr=True)
    with download_progress(console) as on_download:
        broker = embedded_broker(settings, port=port, nodes=nodes, heap_mb=heap_mb, on_download=on_download)
        broker.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        typer.echo(_up(broker, as_json))
        while not ended.wait(LOOK_S):
            if not broker.alive:
                raise BrokerError(f"a node of {broker.address} ended by itself", f"see {broker.data_dir}")
    finally:
        broker.stop()
    console.print("stopped; the data is kept")


def _up(broker: EmbeddedBroker, as_json: bool) -> str:
    if as_json:
        up = {
            "address": broker.address,
            "kafka": KAFKA_VERSION,
            "pids": broker.pids,
            "data": str(broker.data_dir),
        }
        return codec.dumps(up).decode()
    return f"Kafka {KAFKA_VERSION} is up at {broker.address}, data in {broker.data_dir}; Ctrl-C stops it"


@contextmanager
def download_progress(console: Console) -> Iterator[OnDownload]:
    """What to pass as ``on_download``: a bar on a terminal, elsewhere a line, nothing without a download."""
    what = f"downloading Kafka {KAFKA_VERSION}"
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=console, transient=True)
    begun = False

    def show(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            if not console.is_terminal:
                console.print(f"{what}, {total / 1e6:.0f} MB, once", highlight=False)
                return
            bar.start()
            bar.add_task(what, total=total)
        if console.is_terminal:
            bar.update(bar.task_ids[0], completed=done)
        if done == total:
            end()

    def end() -> None:
        if bar.live.is_started:  # stopping one that never started prints an empty line
            bar.stop()

    try:
        yield show
    finally:
        end()
