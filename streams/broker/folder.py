"""The embedded broker's folder: whose data it holds, and that one broker at a time uses it."""

from __future__ import annotations

import base64
import json
import os
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from schemas.errors import BrokerStartError
from streams.locks import open_lock_file, try_lock

HANDOVER_S = 30.0
"""How long a node whose owner was killed may take to end; longer than it is given to stop."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What a folder's data belongs to; kept in it as ``tapestream.json``."""

    kafka: str
    nodes: int
    cluster_id: str

    @staticmethod
    def path(folder: Path) -> Path:
        """Where the marker of a folder is."""
        return folder / "tapestream.json"


def claim(folder: Path, kafka: str, nodes: int) -> Marker:
    """The folder's marker, written if the folder is new.

    Raises
    ------
    BrokerStartError
        When the data in the folder is of another version of Kafka, of another number of nodes, or nothing
        that we wrote.
    """
    path = Marker.path(folder)
    elsewhere = "choose another --data-dir, or move this folder away"
    if path.exists():
        try:
            marker = Marker(**json.loads(path.read_text()))
        except (ValueError, TypeError) as exc:
            raise BrokerStartError(f"{path} is damaged: {exc}", elsewhere) from exc
        if marker.kafka != kafka:
            raise BrokerStartError(
                f"{folder} holds data of Kafka {marker.kafka}, and this is {kafka}",
                f"use the version of Tapestream that wrote it, or {elsewhere}",
            )
        if marker.nodes != nodes:
            raise BrokerStartError(
                f"{folder} holds data of {marker.nodes} node(s), and {nodes} were asked for",
                f"start it with --nodes {marker.nodes}, or {elsewhere}",
            )
        return marker
    strangers = sorted(entry.name for entry in folder.iterdir() if entry.name != "lock")
    if strangers:
        raise BrokerStartError(f"{folder} holds {strangers[0]}, which is no data of ours", elsewhere)
    marker = Marker(kafka, nodes, base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(marker)) + "\n")
    draft.replace(path)
    return marker


def lock(folder: Path, handover_s: float = HANDOVER_S) -> int:
    """Lock the folder; the descriptor is inherited by whatever keeps the nodes, so that it lasts with them.

    A broker whose owner was killed is still stopping: that is waited for. One whose owner lives is not.

    Raises
    ------
    BrokerStartError
        When another live broker uses the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = open_lock_file(folder / "lock")
    deadline = time.monotonic() + handover_s
    while not try_lock(descriptor):
        owner = _owner(descriptor)
        if (owner is not None and psutil.pid_exists(owner)) or time.monotonic() >= deadline:
            os.close(descriptor)
            raise BrokerStartError(
                f"{folder} is in use by another broker, of process {owner or 'unknown'}",
                "use that one, stop it, or choose another --data-dir",
            )
        time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _owner(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode(errors="replace")
    return int(text) if text.isdigit() else None
