"""Imports once what our processes import, so that its bytecode is written: ``python -m tapestream.bytecode``.

Packages are installed as source. A pipeline starts half a dozen processes at once, and each would compile
the same thousands of modules for itself the first time, and where ``PYTHONDONTWRITEBYTECODE`` is set, every
time: a worker's imports, torch among them, take 12 seconds of a core without bytecode, and 5 with it. The
whole environment would take minutes, so it is what is imported and no more.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable

IMPORTED = (
    "tapestream.commands.demo",
    "tapestream.commands.market",
    "streams.market.feed",
    "agents.tick_worker",
    "agents.models.evaluation",
    "agents.models.registry",
    "agents.models.scoring",
    "agents.models.tick_bars",
    "agents.models.training",
    "agents.tasks.child",
    "agents.tasks.service.service",
    "orchestrator.service.service",
    "orchestrator.discovery.reporter",
    "orchestrator.api.app",
)
"""What the processes of a demo come to import, together."""


def write(names: Iterable[str]) -> None:
    """Import modules, writing bytecode whatever the environment says of that."""
    sys.dont_write_bytecode = False
    for name in names:
        importlib.import_module(name)


if __name__ == "__main__":
    write(IMPORTED)
