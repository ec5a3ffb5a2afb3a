"""`tapestream api`: the REST API, the dashboard and the documentation."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from tapestream.options import LogLevel


def run(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")] = 8000,
    port_file: Annotated[
        Path | None, typer.Option(help="Write the port to this file.", show_default=False)
    ] = None,
    log_level: LogLevel = "INFO",
) -> None:
    """Serve the REST API, /dashboard and /docs until Ctrl-C.

    Every call needs the token of TAPESTREAM_API_TOKEN; without one the API does not start. It listens on
    TAPESTREAM_HOST, which is this machine alone unless set.
    """
    import asyncio

    import uvloop

    from orchestrator.api.app import make_api
    from orchestrator.api.server import address_of, listen, serve_until_told
    from schemas.settings import load_settings
    from streams.files import replace_file
    from tapestream import __version__
    from tapestream.serving import set_up_logs

    log = set_up_logs("api", log_level, noisy=("uvicorn.error",))
    settings = load_settings()
    api = make_api(settings, version=__version__)
    # The model is a hundred thousand tasks in no cycle; looking through them takes a tenth of a second.
    gc.set_threshold(50_000, 50, 1_000)
    gc.freeze()
    with listen(settings.host, port) as listener:
        address = address_of(listener)
        log.info("%s/dashboard and %s/docs; calls need TAPESTREAM_API_TOKEN", address, address)
        if port_file is not None:
            replace_file(port_file, str(listener.getsockname()[1]).encode())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_until_told(api, listener))
