"""What the registry's folder says of its models: versions, cards, and which is in use. Opens none of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from schemas.codec import loads
from schemas.errors import FrameError, ModelError

CARD = "card.json"
_VERSION = re.compile(r"v\d{4,}")
_CARD_FIELDS = ("features", "window", "horizon", "hidden", "band", "mean_returns", "clip", "sha256")


class Shelf:
    """The models of one data folder, to look at."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "models"
        self.pointer = self.folder / "promoted.json"

    def versions(self) -> list[str]:
        """Names of all versions, the oldest first."""
        if not self.folder.is_dir():
            return []
        names = [entry.name for entry in self.folder.iterdir() if _VERSION.fullmatch(entry.name)]
        return sorted(names, key=lambda name: int(name[1:]))

    def promoted(self) -> str | None:
        """The version in use, if any."""
        history = self.history()
        return history[-1] if history else None

    def history(self) -> list[str]:
        """The version in use, and before it those that it would be rolled back to."""
        if not self.pointer.exists():
            return []
        found = _read_json(self.pointer, "models.promoted.json").get("history")
        if not isinstance(found, list) or not all(isinstance(v, str) for v in found):
            raise ModelError("models.promoted.json", "has no history", "remove it and promote a version")
        return found

    def card(self, version: str) -> dict[str, Any]:
        """What a version is."""
        card = _read_json(self.at(version) / CARD, f"models.{version}.card")
        absent = [name for name in _CARD_FIELDS if name not in card]
        if absent:
            raise ModelError(f"models.{version}.card.{absent[0]}", "is absent", INSTEAD)
        return card

    def at(self, version: str) -> Path:
        """The folder of a version.

        Raises
        ------
        ModelError
            When there is no such version.
        """
        if not _VERSION.fullmatch(version):
            raise ModelError("model", f"{version!r} is no version's name", "names are like v0001")
        folder = self.folder / version
        if not folder.is_dir():
            known = ", ".join(self.versions()) or "none"
            raise ModelError("model", f"there is no {version}", f"there are: {known}")
        return folder


INSTEAD = "promote another version, or train again"


def _read_json(path: Path, field: str) -> dict[str, Any]:
    try:
        found = loads(path.read_bytes())
    except (OSError, FrameError) as exc:
        raise ModelError(field, f"cannot be read: {exc}", INSTEAD) from exc
    if not isinstance(found, dict):
        raise ModelError(field, "is no JSON object", INSTEAD)
    return found
