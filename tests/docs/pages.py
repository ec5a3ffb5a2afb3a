"""The Markdown pages of the project and what is in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")], key=lambda page: str(page)
)

_FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
UNTIL_CTRL_C = "until Ctrl-C"


def commands(page: Path) -> list[str]:
    """The lines of the page's ``sh`` blocks, in order, with their comments."""
    blocks = _FENCE.findall(page.read_text())
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def links(page: Path) -> list[tuple[str, str]]:
    """(path, anchor) of the links to files of ours."""
    return [(path, anchor.removeprefix("#")) for path, anchor in _LINK.findall(page.read_text())]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as renderers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
