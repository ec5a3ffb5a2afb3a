"""The Gaussian kernel regression of a window, as matrices: the time grid is the same for every window.

Lo, Mamaysky and Wang (2000), section II: the Nadaraya-Watson estimator m(τ) = Σ K_h(τ−s) P_s / Σ K_h(τ−s)
over a window of l + d bars, h = 0.3·h_CV with h_CV the minimiser of the leave-one-out squared error. On a
fixed grid of time both those errors and the derivative are linear in the prices; h_CV is the best of
:data:`BANDWIDTHS`.

Reversing time changes neither K nor the grid, so the errors of the even and the odd part of a window do not
mix: two problems of half the size. Of each only the triangle of its QR factors is needed, since the sum of
squares is that of R.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LENGTH, CONFIRMATION = 35, 3
"""l and d: a pattern's last extremum is on bar l − 1 of its window, which is d bars longer."""
WINDOW = LENGTH + CONFIRMATION
HALF = WINDOW // 2
SHRINK = 0.3
BANDWIDTHS: Floats = 16.0 ** (np.arange(12) / 11.0)
"""From 1 bar, where the two neighbours count most, to 16, where the window is nearly a constant."""

_APART = np.arange(WINDOW)[:, None] - np.arange(WINDOW)[None, :]


def weights(bandwidth: float) -> Floats:
    """K_h(τ − s), (τ, s), without its constant factor."""
    kernel: Floats = np.exp(-0.5 * (_APART / bandwidth) ** 2)
    return kernel


def left_out(bandwidth: float) -> Floats:
    """Matrix of P − m where each m leaves its own bar out, (τ, s)."""
    kernel = weights(bandwidth)
    np.fill_diagonal(kernel, 0.0)
    errors: Floats = np.eye(WINDOW) - kernel / kernel.sum(axis=1, keepdims=True)
    return errors


def derivative(bandwidth: float) -> Floats:
    """Matrix of m′, (τ, s): the quotient rule on the estimator."""
    kernel = weights(bandwidth)
    slope = -_APART / bandwidth**2 * kernel
    total, total_slope = kernel.sum(axis=1, keepdims=True), slope.sum(axis=1, keepdims=True)
    matrix: Floats = (slope * total - kernel * total_slope) / total**2
    return matrix


@cache
def triangles() -> Floats:
    """(bandwidths, 2, HALF, HALF): R of the even and the odd part, to be applied to x_j ± x_{mirror of j}."""
    found = np.empty((len(BANDWIDTHS), 2, HALF, HALF))
    for number, bandwidth in enumerate(BANDWIDTHS):
        errors = left_out(float(bandwidth))
        first, mirrored = errors[:, :HALF], errors[:, ::-1][:, :HALF]
        for part, columns in enumerate((first + mirrored, first - mirrored)):
            # A x = Σ_j (column j ± mirrored column j)(x_j ± x_mirror) / 2
            found[number, part] = np.linalg.qr(columns / 2.0)[1]
    return found


@cache
def derivatives() -> Floats:
    """(bandwidths, s, τ): m′ at the shrunk bandwidths, transposed so that τ is contiguous."""
    return np.ascontiguousarray([derivative(SHRINK * float(h)).T for h in BANDWIDTHS])
