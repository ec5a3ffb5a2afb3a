"""The documents that are generated from the code, so that they cannot say anything else.

``python -m tapestream.reference`` writes them, ``--check`` fails when one is stale.
"""

from __future__ import annotations

from tapestream.gpucheck import expected, record
from tapestream.reference import asyncapi, cli_page, json_schemas, tables
from tapestream.shadows import ROOT


def documents() -> dict[str, str]:
    """Path below the repository's root to the text that belongs there."""
    return {
        **json_schemas.documents(),
        "docs/schemas/asyncapi.json": asyncapi.document(),
        "docs/cli.md": cli_page.page(),
        "docs/settings.md": tables.settings_page(),
        "docs/topics.md": tables.topics_page(),
        "docs/gpu.md": expected.page((ROOT / "docs" / "gpu.md").read_text(), record.read()),
    }
