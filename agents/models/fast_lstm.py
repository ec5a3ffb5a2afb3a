"""The forward pass of an LSTM for scoring: what ``torch.nn.LSTM`` computes, in about half its time.

Three things make it quick. Input, recurrence and both biases are one matrix product a step,
``[h, x, 1] @ W``, with weights that are laid out once. The gates of a symbol are one compiled pass over its
row, with two divisions instead of the five that sigmoids and tanhs need. And the weights are scaled
beforehand so that the pass works on powers of two. Only the last hidden state leaves; no sequence of outputs
is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
import torch
from numba import types
from torch import Tensor

from agents.kernels.entry import compiling_alone

_f32 = np.float32
_LOG2E = 1.4426950408889634
_LIMIT = _f32(40.0)
"""Powers of two are cut at 2**±40, where a gate is 0 or 1 to 1e-12 and three of them still multiply."""

_ROUND = _f32(1.5 * 2**23)
"""Added and taken away again, it rounds a small float32 to a whole number."""

_LEAST_ROWS = 8
"""A product of one row goes another way through the library, and would round differently."""

_LEAST_PRODUCTS = 2_000_000
"""Multiplications of a step from which on a second thread pays: about a tenth of a millisecond of one thread.
Threads that share less wait for each other most of the time, and where other programs want the cores too,
they wait for the system's next turn, a hundred times as long as the work takes."""

_pool = threading.Lock()
"""Numba's simplest pool does not allow two callers at once."""


@nb.njit(inline="always", fastmath={"contract"})
def _exp2(t: Any) -> Any:
    """2**t for float32, to 1.2e-7 relative; the series of 2**r on [-1/2, 1/2]."""
    t = min(max(t, -_LIMIT), _LIMIT)
    shifted = t + _ROUND
    r = t - (shifted - _ROUND)
    p = _f32(1.5403530e-4)
    p = p * r + _f32(1.3333558e-3)
    p = p * r + _f32(9.6181291e-3)
    p = p * r + _f32(5.5504109e-2)
    p = p * r + _f32(2.4022651e-1)
    p = p * r + _f32(6.9314718e-1)
    p = p * r + _f32(1.0)
    # the last bits of `shifted` are the whole number, which is added to the exponent of p
    bits = np.int32(
        np.float32(p).view(np.int32) + np.int32(np.float32(shifted).view(np.int32) << np.int32(23))
    )
    return bits.view(np.float32)


@nb.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _rows(z: Any, state: Any, cell: Any, x: Any, step: int, begin: int, end: int) -> None:
    """Gates of some rows; the next step's inputs go beside the new hidden state."""
    one, minus_two_log2e = _f32(1.0), _f32(-2.0 * _LOG2E)
    hidden = cell.shape[1]
    for row in range(begin, end):
        zi, zf = z[row, :hidden], z[row, hidden : 2 * hidden]
        zg, zo = z[row, 2 * hidden : 3 * hidden], z[row, 3 * hidden :]
        c, h = cell[row], state[row]
        for j in range(hidden):
            i, f, o, g = one + _exp2(zi[j]), one + _exp2(zf[j]), one + _exp2(zo[j]), _exp2(zg[j])
            ig = i * (one + g)
            cj = (c[j] * ig + (one - g) * f) / (ig * f)
            c[j] = cj
            e = _exp2(minus_two_log2e * cj)
            h[j] = (one - e) / (o * (one + e))
        if step < x.shape[1]:
            for k in range(x.shape[2]):
                h[hidden + k] = x[row, step, k]


@nb.njit(parallel=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _gates(z: Any, state: Any, cell: Any, x: Any, step: int, parts: int) -> None:
    n = z.shape[0]
    for part in nb.prange(parts):
        _rows(z, state, cell, x, step, part * n // parts, (part + 1) * n // parts)


@cache
def _compile() -> None:
    """Compile both for the arrays that they are given and no others, so that no score waits for it."""
    matrix, block = types.float32[:, ::1], types.Array(types.float32, 3, "C", readonly=True)
    arrays = (matrix, matrix, matrix, block)
    with compiling_alone(_rows), compiling_alone(_gates):
        _rows.compile((*arrays, *[types.int64] * 3))
        _gates.compile((*arrays, *[types.int64] * 2))
    for compiled in (_rows, _gates):
        compiled.disable_compile()


@contextmanager
def _threads_for(products: int) -> Iterator[int]:
    """How many threads to use for so many multiplications; torch uses no more inside."""
    threads = torch.get_num_threads()
    if products >= _LEAST_PRODUCTS or threads == 1:
        yield threads
        return
    torch.set_num_threads(1)
    try:
        yield 1
    finally:
        torch.set_num_threads(threads)


def _start_numbas_threads() -> None:
    """Start Numba's pool and leave torch's number of threads as it is: both have it from OpenMP."""
    threads = torch.get_num_threads()
    nb.get_num_threads()
    torch.set_num_threads(threads)


def _product_with(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """``state @ weight``, by oneDNN where this torch has it, with the weights laid out for it once.

    Eager torch multiplies by MKL, which on a processor that is not Intel's leaves half of its speed unused.
    """

    def by_onednn(state: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(state, laid_out, None, "none", [], "")
        return found

    try:
        laid_out = weight.T.contiguous().to_mkldnn()
        by_onednn(torch.zeros(_LEAST_ROWS, len(weight)))
    except (AttributeError, RuntimeError):
        return lambda state: torch.mm(state, weight)
    return by_onednn


class FastLstm:
    """One layer of LSTM on the CPU, float32, made from the weights of a ``torch.nn.LSTM``.

    Equal to it to 1e-6. The same input, on the same machine with the same number of torch threads, gives the
    same bits; a small batch does so whatever that number is, since one thread computes it. Source:
    Hochreiter, Schmidhuber 1997, with forget gates (Gers et al. 2000), as in torch.

    Parameters
    ----------
    lstm
        One layer, one direction, with biases, without projection.
    """

    def __init__(self, lstm: torch.nn.LSTM) -> None:
        if lstm.num_layers != 1 or lstm.bidirectional or lstm.proj_size or not lstm.bias:
            raise ValueError("only one layer, one direction, with biases, without projection")
        _start_numbas_threads()
        with _pool:
            _compile()
        self.hidden = lstm.hidden_size
        weight = {name: value.detach().cpu().float() for name, value in lstm.named_parameters()}
        bias = (weight["bias_ih_l0"] + weight["bias_hh_l0"])[None]
        stacked = torch.cat([weight["weight_hh_l0"].T, weight["weight_ih_l0"].T, bias])
        scale = torch.full((4 * self.hidden,), -_LOG2E)
        scale[2 * self.hidden : 3 * self.hidden] *= 2.0  # tanh(g) = (1 - e**-2g) / (1 + e**-2g)
        self._weight = (stacked * scale).contiguous()
        self._product = _product_with(self._weight)

    def __call__(self, x: npt.NDArray[np.float32]) -> Tensor:
        """The hidden state after the last step.

        Parameters
        ----------
        x
            float32 (symbols, steps, features), finite, standardised.

        Returns
        -------
        Tensor
            float32 (symbols, hidden), which the caller owns.
        """
        wanted = len(x)
        if wanted < _LEAST_ROWS:
            x = np.concatenate([x, np.zeros((_LEAST_ROWS - wanted, *x.shape[1:]), np.float32)])
        n, steps, _ = x.shape
        hidden = self.hidden
        state = torch.zeros(n, self._weight.shape[0])
        state[:, -1] = 1.0
        if steps:
            state[:, hidden:-1] = torch.from_numpy(np.ascontiguousarray(x[:, 0]))
        cell = torch.zeros(n, hidden)
        views = (state.numpy(), cell.numpy(), np.ascontiguousarray(x))
        # `_rows` alone spares small batches the start of a parallel region
        with torch.inference_mode(), _pool, _threads_for(n * self._weight.numel()) as threads:
            parts = max(1, min(threads, nb.get_num_threads(), n // 32))
            for step in range(1, steps + 1):
                z = self._product(state).numpy()
                if parts == 1:
                    _rows(z, *views, step, 0, n)
                else:
                    _gates(z, *views, step, parts)
        return state[:wanted, :hidden]
