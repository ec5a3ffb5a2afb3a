"""Products with one matrix of float64 that stays on its device while vectors come and go."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agents.dense.device import NUMPY, fetch, put

Array = npt.NDArray[np.float64]


class Products(Protocol):
    """With M, float64 (m, n); arguments and results are NumPy's."""

    def times(self, x: Array) -> Array:
        """M·x, float64 (m,)."""

    def onto(self, v: Array) -> Array:
        """v·M, float64 (n,)."""

    def square(self, weight: Array) -> Array:
        """Mᵀ·diag(weight)·M, float64 (n, n); weights are not negative."""


def products(matrix: Array, device: str = NUMPY) -> Products:
    """By NumPy, or by torch on the device; equal to rounding, since the order of sums is the library's."""
    return _OnHost(matrix) if device == NUMPY else _OnDevice(matrix, device)


def weighted_square(M: Any, root: Any) -> Any:
    """Mᵀ·diag(root²)·M of arrays or tensors; a library computes half of it, being its own transpose."""
    scaled = M * root[:, None]
    return scaled.T @ scaled


class _OnHost:
    def __init__(self, matrix: Array) -> None:
        self._matrix = matrix

    def times(self, x: Array) -> Array:
        found: Array = self._matrix @ x
        return found

    def onto(self, v: Array) -> Array:
        found: Array = v @ self._matrix
        return found

    def square(self, weight: Array) -> Array:
        found: Array = weighted_square(self._matrix, np.sqrt(weight))
        return found


class _OnDevice:
    def __init__(self, matrix: Array, device: str) -> None:
        self._matrix, self._device = put(np.ascontiguousarray(matrix), device), device

    def times(self, x: Array) -> Array:
        return fetch(self._matrix @ self._put(x))

    def onto(self, v: Array) -> Array:
        return fetch(self._put(v) @ self._matrix)

    def square(self, weight: Array) -> Array:
        return fetch(weighted_square(self._matrix, self._put(weight).sqrt()))

    def _put(self, vector: Array) -> Any:
        return put(np.ascontiguousarray(vector), self._device)
