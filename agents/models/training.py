"""Training of one network: early stopping, and a checkpoint an epoch from which a killed training goes on.

Everything that decides what comes next (weights, the optimiser's moments, the random generator, the best so
far) is in the checkpoint, one safetensors file replaced in one step, so that a resumed training ends in the
same bits as an undisturbed one. Random numbers come from one generator seeded by the caller.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from agents.dense.device import Precision, precision, require_precision, rows_that_fit
from agents.models.network import Network, Scorer, new_network
from agents.models.samples import Rows
from schemas.codec import dumps, loads
from schemas.errors import CheckpointError, FrameError
from streams.files import replace_file

Block = npt.NDArray[np.float32]
Progress = Callable[[int, float], None]
"""Called after each epoch with its number and the validation's log-loss."""


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained: AdamW, cross-entropy, early stopping on the validation's log-loss.

    Attributes
    ----------
    exactness
        Of products of float32, in training and in the judgement of each epoch.
    """

    hidden: int = 64
    max_epochs: int = 20
    patience: int = 3
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    dropout: float = 0.2
    exactness: Precision = "float32"


@dataclass(slots=True)
class _Course:
    """Where a training stands."""

    epoch: int = 0
    best_loss: float = float("inf")
    since_best: int = 0
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trained:
    """The weights of the best epoch, and the validation's log-loss after each."""

    network: Network
    losses: tuple[float, ...]


class Trainer:
    """One training, an epoch a call.

    Parameters
    ----------
    x, y
        Training part: float32 (n, window, features), standardised; int64 (n,) of 0, 1, 2.
    x_validation, y_validation
        What early stopping looks at.
    device
        ``cpu`` or ``cuda:N``. The training part lies there too when it takes less than half of what is free,
        and else goes there batch by batch.
    key
        What the checkpoint must have been made from; another's is not used.
    """

    def __init__(
        self,
        x: Block,
        y: Rows,
        x_validation: Block,
        y_validation: Rows,
        options: Training,
        seed: int,
        device: str = "cpu",
        checkpoint: Path | None = None,
        key: str = "",
    ) -> None:
        require_precision(options.exactness, device)
        self._name, self._device = device, torch.device(device)
        fits = len(x) <= rows_that_fit(max(1, x[:1].nbytes), device)
        self._x = torch.from_numpy(x).to(self._device) if fits else torch.from_numpy(x)
        self._y = torch.from_numpy(y).to(self._device)
        self._x_validation, self._y_validation = x_validation, torch.from_numpy(y_validation)
        self._options, self._path = options, checkpoint
        self._key = dumps([key, seed, asdict(options), list(x.shape)]).decode()
        self._generator = torch.Generator().manual_seed(seed)
        self._network = new_network(x.shape[2], options.hidden, seed).to(self._device)
        self._best = {name: value.clone() for name, value in self._network.state_dict().items()}
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self._course = _Course()
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint.read_bytes())

    def run(self, progress: Progress | None = None) -> Trained:
        """Train to the end; what a checkpoint has is not done again."""
        course, options = self._course, self._options
        while course.epoch < options.max_epochs and course.since_best < options.patience:
            self._epoch()
            self._judge()
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(self._path, self._pack(), self._path.with_suffix(f".{os.getpid()}.draft"))
            if progress is not None:
                progress(course.epoch, course.losses[-1])
        self._network.load_state_dict(self._best)
        return Trained(self._network.cpu().eval(), tuple(course.losses))

    def _epoch(self) -> None:
        keep = 1.0 - self._options.dropout
        self._network.train()
        order = torch.randperm(len(self._x), generator=self._generator)
        for rows in torch.split(order, self._options.batch):
            mask = torch.rand(len(rows), self._options.hidden, generator=self._generator) < keep
            x = self._x[rows.to(self._x.device)].to(self._device)
            with precision(self._options.exactness, self._name):
                hidden = self._network.hidden(x) * (mask.to(self._device) / keep)
                logits = self._network.head(hidden)
            loss = nn.functional.cross_entropy(logits.float(), self._y[rows.to(self._device)])
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            self._optimizer.step()

    def _judge(self) -> None:
        scorer = Scorer(self._network, self._name, self._options.exactness)
        logits = torch.from_numpy(scorer.logits(self._x_validation))
        loss = float(nn.functional.cross_entropy(logits.double(), self._y_validation))
        course = self._course
        course.epoch += 1
        course.losses.append(loss)
        course.since_best += 1
        if loss < course.best_loss:
            course.best_loss, course.since_best = loss, 0
            self._best = {name: value.clone() for name, value in self._network.state_dict().items()}

    def _pack(self) -> bytes:
        tensors = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self._best.items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        tensors["generator"] = self._generator.get_state()
        plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        facts = {"key": self._key, "course": dumps(asdict(self._course)).decode()}
        return bytes(save(plain, facts))

    def _resume(self, content: bytes) -> None:
        """Take over a checkpoint of the same training.

        Raises
        ------
        CheckpointError
            When the file is damaged.
        """
        remedy = f"remove {self._path} to train anew"
        try:
            facts = metadata(content)
            if facts["key"] != self._key:
                return  # of another training in the same place: other data, other options
            tensors = load(content)
            self._network.load_state_dict(_under(tensors, "network."))
            self._best = {name: value.to(self._device) for name, value in _under(tensors, "best.").items()}
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _under(tensors, "optimizer.").items():
                index, _, moment = name.partition(".")
                state.setdefault(int(index), {})[moment] = value
            groups = self._optimizer.state_dict()["param_groups"]
            self._optimizer.load_state_dict({"state": state, "param_groups": groups})
            self._generator.set_state(tensors["generator"])
            course = loads(facts["course"])
            course["best_loss"] = float("inf") if course["best_loss"] is None else course["best_loss"]
            self._course = _Course(**course)
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as exc:
            raise CheckpointError(f"{self._path}: damaged: {exc}", remedy) from exc


def metadata(content: bytes) -> dict[str, str]:
    """The texts in a safetensors file's header.

    Raises
    ------
    ValueError
        When there is no header, or none with texts.
    """
    size = int.from_bytes(content[:8], "little")
    if not 0 < size <= len(content) - 8:
        raise ValueError("no safetensors header")
    try:
        facts: Any = loads(content[8 : 8 + size])
    except FrameError as exc:
        raise ValueError(str(exc)) from exc
    if not isinstance(facts, dict) or not isinstance(facts.get("__metadata__"), dict):
        raise ValueError("no metadata in the header")
    return dict(facts["__metadata__"])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
