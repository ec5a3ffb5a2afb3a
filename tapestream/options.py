"""Options that several commands have, each with its one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MetricsPort = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="Serve /metrics, /live and /ready; 0 for a free port."),
]

PortFile = Annotated[Path | None, typer.Option(help="Write that port to this file.", show_default=False)]
"""Beside :data:`MetricsPort`."""

LogLevel = Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")]
