"""The network: an LSTM over standardised features, its last hidden state, three classes."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from agents.dense.device import NUMPY, Precision, precision, require_precision, rows_that_fit
from agents.models.fast_lstm import FastLstm
from agents.models.graph import Graph


class Network(nn.Module):
    """LSTM and one linear layer; dropout comes from the trainer, which owns the random numbers."""

    def __init__(self, n_features: int, hidden: int = 64) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 3)

    def hidden(self, x: Tensor) -> Tensor:
        """Last hidden state, float32 (samples, hidden), of x (samples, window, features)."""
        return cast(Tensor, self.lstm(x)[0][:, -1])

    def forward(self, x: Tensor) -> Tensor:
        """Logits of sell, hold, buy: float32 (samples, 3)."""
        return cast(Tensor, self.head(self.hidden(x)))


def new_network(n_features: int, hidden: int, seed: int) -> Network:
    """A network whose first weights follow from the seed; the process's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(n_features, hidden)


class Scorer:
    """A network ready to score: the fast path on the CPU, torch's on every other device.

    Parameters
    ----------
    device
        ``cpu`` for the fast path; ``cuda:N``, whose results are those of the CPU to 1e-5 in ``float32``.
    exactness
        Of products; less only by choice, and on ``cpu`` never.
    graph
        Record the pass as a CUDA graph and replay it for every batch of the same shape: pays where batches
        are small and many.
    """

    def __init__(
        self, network: Network, device: str = NUMPY, exactness: Precision = "float32", graph: bool = False
    ) -> None:
        if device != NUMPY:
            require_precision(exactness, device)
        self._device, self._exactness = device, exactness
        self._network = network.to(torch.device(device)).eval()
        self._fast = FastLstm(network.lstm) if device == NUMPY else None
        self._wanted, self._graph = graph, cast(Graph | None, None)
        self._weight, self._bias = (
            value.detach().cpu().numpy().copy() for value in network.head.parameters()
        )

    def logits(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """float32 (samples, 3) of x (samples, window, features), standardised."""
        with torch.inference_mode():
            if self._fast is None:
                return self._by_torch(x)
            hidden = self._fast(x).numpy()
        # three short sums a row, and not a product of matrices, whose bits depend on how many rows there are
        products = hidden[:, None, :] * self._weight
        return cast(npt.NDArray[np.float32], products.sum(axis=2) + self._bias)

    def _by_torch(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """In batches that fit into what is free on the device."""
        batch = rows_that_fit(
            bytes_a_row(x.shape[1], x.shape[2], self._network.lstm.hidden_size), self._device
        )
        with precision(self._exactness, self._device):
            parts = [
                self._pass(torch.from_numpy(x[first : first + batch]).to(self._device)).float().cpu().numpy()
                for first in range(0, max(len(x), 1), batch)
            ]
        return np.concatenate(parts)

    def _pass(self, x: Tensor) -> Tensor:
        if not self._wanted:
            return cast(Tensor, self._network(x))
        if self._graph is None or not self._graph.fits(x):
            self._graph = Graph(self._network, x)
        return self._graph(x)


def bytes_a_row(window: int, features: int, hidden: int) -> int:
    """Device memory that a sample takes while it is scored: its input, its gates and its outputs, float32."""
    return 4 * window * (features + 4 * hidden + 2 * hidden)


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Probabilities, float64 (samples, 3), that add to one."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return cast(npt.NDArray[np.float64], powers / powers.sum(axis=1, keepdims=True))
