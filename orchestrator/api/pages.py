"""Pages and health: the dashboard, the documentation with its assets, ``/live``, ``/ready``, ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from orchestrator.api import problems
from orchestrator.api.model import ReadModel

OURS, SWAGGER = "orchestrator.api.static", "fastapi_offline.static"

ASSETS: dict[str, tuple[str, str]] = {
    "dashboard.js": (OURS, "text/javascript"),
    "market.js": (OURS, "text/javascript"),
    "dashboard.css": (OURS, "text/css"),
    "docs.js": (OURS, "text/javascript"),
    "swagger-ui-bundle.js": (SWAGGER, "text/javascript"),
    "swagger-ui.css": (SWAGGER, "text/css"),
}
"""File to the package that has it and its type; nothing else is served."""

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" '
    'fill="#0b7285"/><path d="M3 11l3-4 2.5 2.5L13 4" fill="none" stroke="#fff" stroke-width="1.8"/></svg>'
)


def make_pages(model: ReadModel, registry: CollectorRegistry, document: Callable[[], Any]) -> APIRouter:
    """All of them; none holds anything that needs the token."""
    router = APIRouter(include_in_schema=False)
    read: dict[str, bytes] = {}

    def asset(package: str, name: str) -> bytes:
        if name not in read:
            read[name] = files(package.rpartition(".")[0]).joinpath("static", name).read_bytes()
        return read[name]

    @router.get("/live")
    async def live() -> Response:
        return Response("live\n", media_type="text/plain")

    @router.get("/ready")
    async def ready() -> Response:
        if model.caught_up:
            return Response("ready\n", media_type="text/plain")
        return Response("the topics are still being read\n", 503, media_type="text/plain")

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    @router.get("/dashboard")
    async def dashboard() -> Response:
        return Response(asset(OURS, "dashboard.html"), media_type="text/html")

    @router.get("/docs")
    async def docs() -> Response:
        return Response(asset(OURS, "docs.html"), media_type="text/html")

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return Response(document(), media_type="application/json")

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return Response(ICON, media_type="image/svg+xml", headers={"cache-control": "max-age=86400"})

    @router.get("/assets/{name}")
    async def assets(name: str) -> Response:
        if name not in ASSETS:
            raise problems.of_status(404, f"there is no asset {name[:80]!r}")
        package, media_type = ASSETS[name]
        return Response(
            asset(package, name), media_type=media_type, headers={"cache-control": "max-age=3600"}
        )

    return router
