"""Serving the application: a socket, uvicorn, and an end in good order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import uvicorn

from orchestrator.api.app import Api
from orchestrator.api.connections import PatientToAPoint
from schemas.errors import SettingsError

DRAIN_S = 5
KEEP_ALIVE_S = 30
BACKLOG = 2_048


class _Server(uvicorn.Server):
    """uvicorn's, which tells the event streams that it ends: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, api: Api) -> None:
        super().__init__(config)
        self._api = api

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then the rest."""
        self._api.model.events.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises
    ------
    SettingsError
        When the port is taken or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise SettingsError(
            f"cannot listen on {host}:{port}: {exc.strerror or exc}", "choose another port, or 0"
        ) from exc
    return listener


def address_of(listener: socket.socket) -> str:
    """``http://host:port`` of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_server(api: Api, connections: type[PatientToAPoint] = PatientToAPoint) -> uvicorn.Server:
    """Uvicorn as we want it: it logs no request, and tells nobody what it is."""
    return _Server(
        uvicorn.Config(
            api.app,
            http=connections,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        ),
        api,
    )


async def serve_until_told(api: Api, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then drain; a second one does not wait."""
    server = make_server(api)
    # uvicorn's own way raises the signal again when all is done, and so never exits with 0.
    server.capture_signals = nullcontext  # type: ignore[assignment,method-assign]
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
    await server.serve(sockets=[listener])


@asynccontextmanager
async def served(
    api: Api, host: str, port: int, connections: type[PatientToAPoint] = PatientToAPoint
) -> AsyncIterator[str]:
    """Serve on this event loop until the block ends; yields the address."""
    listener = listen(host, port)
    server = make_server(api, connections)
    server.capture_signals = nullcontext  # type: ignore[assignment,method-assign]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        # uvicorn has nothing that one could wait for.
        while not server.started and not serving.done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        yield address_of(listener)
    finally:
        server.should_exit = True
        await serving
        listener.close()
