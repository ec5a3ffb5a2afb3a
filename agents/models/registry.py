"""Models on disk: numbered versions under the data folder, one of them promoted.

``models/v0001/`` holds ``model.safetensors`` (weights and scaler), ``card.json`` (what it is, and the hash of
the weights), ``report.json`` and ``report.html``. ``models/promoted.json`` names the version in use and those
before it. A version is written beside and moved in whole; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from agents.models.evaluation import NETWORK, Model
from agents.models.features import FEATURES
from agents.models.network import Network
from agents.models.samples import CLASSES, Scaler
from agents.models.shelf import CARD, INSTEAD, Shelf
from schemas.codec import dumps_pretty
from schemas.errors import ModelError
from streams.files import replace_file
from streams.locks import exclusive_lock

_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Entry:
    """One version: its card, and whether it is the promoted one."""

    version: str
    card: dict[str, Any]
    promoted: bool


class Registry(Shelf):
    """The models of one data folder."""

    def save(self, model: Model, report: dict[str, Any], page: str = "", made_ns: int | None = None) -> str:
        """Write a new version and return its name; it is not promoted."""
        weights = _pack(model)
        card = _card(model, report, hashlib.sha256(weights).hexdigest(), made_ns)
        with exclusive_lock(self.folder / ".lock"):
            number = max((int(name[1:]) for name in self.versions()), default=0) + 1
            version = f"v{number:04d}"
            for left in self.folder.glob(".draft-*"):  # of a process that was killed: we hold the lock
                shutil.rmtree(left, ignore_errors=True)
            draft = self.folder / f".draft-{os.getpid()}"
            draft.mkdir()
            files = {CARD: dumps_pretty(card), "report.json": dumps_pretty(report), "report.html": page}
            for name, text in files.items():
                replace_file(draft / name, text.encode())
            replace_file(draft / _WEIGHTS, weights)
            draft.replace(self.folder / version)
        return version

    def entries(self) -> list[Entry]:
        """All versions with their cards."""
        current = self.promoted()
        return [Entry(name, self.card(name), name == current) for name in self.versions()]

    def promote(self, version: str) -> None:
        """Make a version the one in use, after its files were found whole."""
        self.load(version)
        with exclusive_lock(self.folder / ".lock"):
            history = self.history()
            if history[-1:] != [version]:
                self._write([*history, version])

    def roll_back(self) -> str:
        """Make the version before the promoted one the one in use, and return its name."""
        with exclusive_lock(self.folder / ".lock"):
            history = self.history()
            if len(history) < 2:
                raise ModelError("models", "no version was promoted before this one", "promote one by name")
            self.load(history[-2])
            self._write(history[:-1])
        return history[-2]

    def load(self, version: str | None = None) -> tuple[str, Model]:
        """A version, or the promoted one (also called by its kind), ready to score.

        Raises
        ------
        ModelError
            When there is none, a file is damaged, or it was trained on other features.
        """
        if not version or version.lower() == NETWORK:
            version = self.promoted()
        if version is None:
            raise ModelError(
                "model", "none is promoted", "tapestream train FILE…, then tapestream models promote VERSION"
            )
        card = self.card(version)
        field = f"models.{version}.{_WEIGHTS}"
        if card["features"] != list(FEATURES):
            raise ModelError(
                f"models.{version}.features",
                f"was trained on {', '.join(map(str, card['features']))}, this version computes "
                f"{', '.join(FEATURES)}",
                "train again",
            )
        try:
            content = (self.at(version) / _WEIGHTS).read_bytes()
        except OSError as exc:
            raise ModelError(field, f"cannot be read: {exc.strerror}", INSTEAD) from exc
        if hashlib.sha256(content).hexdigest() != card["sha256"]:
            raise ModelError(field, "is not the file that its card describes", INSTEAD)
        return version, _unpack(content, card, field)

    def _write(self, history: list[str]) -> None:
        replace_file(self.pointer, dumps_pretty({"history": history}).encode())


def _pack(model: Model) -> bytes:
    tensors = {f"network.{name}": value for name, value in model.network.cpu().state_dict().items()}
    tensors["scaler.mean"] = torch.from_numpy(model.scaler.mean)
    tensors["scaler.scale"] = torch.from_numpy(model.scaler.scale)
    return bytes(save({name: value.contiguous().clone() for name, value in tensors.items()}))


def _unpack(content: bytes, card: dict[str, Any], field: str) -> Model:
    try:
        tensors = load(content)
        scaler = Scaler(tensors.pop("scaler.mean").numpy(), tensors.pop("scaler.scale").numpy(), card["clip"])
        network = Network(len(card["features"]), card["hidden"])
        weights = {name.removeprefix("network."): value for name, value in tensors.items()}
        network.load_state_dict(weights)
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            raise ValueError("weights are not finite")
        return Model(
            network.eval(),
            scaler,
            float(card["band"]),
            np.array(card["mean_returns"], np.float64).reshape(3),
            int(card["window"]),
            int(card["horizon"]),
            int(card["hidden"]),
            bar_ms=card.get("bar_ms"),
        )
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as exc:
        raise ModelError(field, f"does not fit its card: {exc}", INSTEAD) from exc


def _card(model: Model, report: dict[str, Any], sha256: str, made_ns: int | None) -> dict[str, Any]:
    plan = report.get("plan", {})
    return {
        "version": 1,
        "kind": NETWORK,
        "made_ns": made_ns,
        "sha256": sha256,
        "classes": list(CLASSES),
        "features": list(model.features),
        "window": model.window,
        "horizon": model.horizon,
        "bar_ms": model.bar_ms,
        "hidden": model.hidden,
        "band": model.band,
        "mean_returns": model.mean_returns.tolist(),
        "clip": model.scaler.clip,
        "data": report.get("data", {}),
        "seed": next(iter(plan.get("seeds", ())), None),
        "training": plan.get("training", {}),
        "metrics": report.get("models", {}),
        "verdict": report.get("verdict", {}),
        "versions": {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "safetensors": safetensors.__version__,
        },
    }
