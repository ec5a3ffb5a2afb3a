"""Means and covariances of returns; the two shrinkages of Ledoit and Wolf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agents.portfolio.inputs import Array, named_matrix
from schemas.errors import PortfolioError

_SAME = 1e-24  # of the squared size: target and sample differ by rounding, as they do for 2 assets

Target = Literal["identity", "constant_correlation"]


@dataclass(frozen=True, eq=False)
class Moments:
    """What a period's returns are expected to be.

    ``shrinkage`` is the weight of the target in the covariance, 0 for the sample's own.
    """

    assets: tuple[str, ...]
    mean: Array
    covariance: Array
    shrinkage: float
    observations: int


def sample_moments(returns: Any, *, assets: Sequence[str] | None = None) -> Moments:
    """Sample mean and unbiased covariance of returns [T, n], T >= 2.

    With T <= n the covariance is singular, and optimisation will refuse it: see :func:`ledoit_wolf`.
    """
    R, names = _observations(returns, assets, 2)
    return Moments(tuple(names), R.mean(axis=0), np.atleast_2d(np.cov(R, rowvar=False)), 0.0, len(R))


def ledoit_wolf(returns: Any, target: Target = "identity", *, assets: Sequence[str] | None = None) -> Moments:
    """The covariance shrunk towards a target, with the intensity of least expected squared error.

    Both papers use the covariance that divides by T, and so does this.

    Parameters
    ----------
    returns : [T, n]
        At least 3 periods.
    target
        ``identity``: the mean variance times the identity (Ledoit, Wolf 2004, *A well-conditioned estimator
        for large-dimensional covariance matrices*). ``constant_correlation``: own variances and the mean
        correlation (Ledoit, Wolf 2004, *Honey, I shrunk the sample covariance matrix*); from 2 assets on,
        each with some variance.

    Raises
    ------
    PortfolioError
        For unusable returns, or an unknown target.
    """
    R, names = _observations(returns, assets, 3)
    if target not in _SHRINKAGES:
        raise PortfolioError("target", f"{target!r} is unknown", f"one of {', '.join(_SHRINKAGES)}")
    X = R - R.mean(axis=0)
    S = X.T @ X / len(X)
    if target == "constant_correlation" and (len(S) < 2 or not np.diagonal(S).all()):
        raise PortfolioError("returns", "an asset never moves, or stands alone", "use target='identity'")
    F, intensity = _SHRINKAGES[target](X, S)
    intensity = float(np.clip(intensity, 0.0, 1.0))
    return Moments(tuple(names), R.mean(axis=0), intensity * F + (1 - intensity) * S, intensity, len(R))


def _observations(returns: Any, assets: Sequence[str] | None, least: int) -> tuple[Array, list[str]]:
    R, names = named_matrix("returns", returns, assets)
    if len(R) < least:
        raise PortfolioError("returns", f"{len(R)} rows", f"give at least {least} periods")
    return R, names


def _towards_identity(X: Array, S: Array) -> tuple[Array, float]:
    T, n = X.shape
    m = float(np.trace(S)) / n
    F = m * np.eye(n)
    distance = float(np.square(S - F).sum())
    noise = (float(np.square(np.square(X).sum(axis=1)).sum()) / T - float(np.square(S).sum())) / T
    return F, min(noise, distance) / distance if distance > 0 else 0.0


def _towards_constant_correlation(X: Array, S: Array) -> tuple[Array, float]:
    T, n = X.shape
    sd = np.sqrt(np.diagonal(S))
    mean_correlation = ((S / np.outer(sd, sd)).sum() - n) / (n * (n - 1))
    F = mean_correlation * np.outer(sd, sd)
    np.fill_diagonal(F, np.diagonal(S))
    pi = np.square(X).T @ np.square(X) / T - np.square(S)
    # θ[i, j] = mean of (x_i² − s_ii)(x_i x_j − s_ij), the paper's asymptotic covariance of s_ii and s_ij
    theta = (X**3).T @ X / T - np.diagonal(S)[:, None] * S
    np.fill_diagonal(theta, 0.0)
    rho = float(np.trace(pi)) + mean_correlation * float((np.outer(1 / sd, sd) * theta).sum())
    gamma = float(np.square(F - S).sum())
    return F, (float(pi.sum()) - rho) / gamma / T if gamma > _SAME * float(np.square(S).sum()) else 0.0


_SHRINKAGES: dict[str, Callable[[Array, Array], tuple[Array, float]]] = {
    "identity": _towards_identity,
    "constant_correlation": _towards_constant_correlation,
}
