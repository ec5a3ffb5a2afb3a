"""Hierarchical risk parity (López de Prado 2016, *Building diversified portfolios that outperform
out of sample*).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist

from agents.portfolio.answer import Portfolio
from agents.portfolio.inputs import Array, covariance_matrix

_METHOD = "hierarchical risk parity (López de Prado 2016), single linkage; a rule, nothing is minimised"


def hierarchical_risk_parity(covariance: Any, *, assets: Sequence[str] | None = None) -> Portfolio:
    """Long-only, fully invested weights by recursive bisection of the assets, ordered by a cluster tree.

    Distance √((1 − ρ)/2); the tree by single linkage on the Euclidean distances between its columns; each
    half of a list gets a share in inverse proportion to the variance of its inverse-variance portfolio.
    ``objective`` is the variance; there is no gap, since it is a rule and no optimum.

    Parameters
    ----------
    covariance : [n, n]
        Positive definite.
    """
    sigma, names = covariance_matrix(covariance, assets)
    weights = np.ones(len(sigma))
    halves = [_cluster_order(sigma)]
    while halves:
        items = halves.pop()
        if len(items) > 1:
            left, right = items[: len(items) // 2], items[len(items) // 2 :]
            v_left, v_right = _cluster_variance(sigma, left), _cluster_variance(sigma, right)
            weights[left] *= v_right / (v_left + v_right)
            weights[right] *= v_left / (v_left + v_right)
            halves += [left, right]
    variance = float(weights @ sigma @ weights)
    return Portfolio(
        tuple(names),
        weights,
        "variance",
        variance,
        None,
        0.0,
        _METHOD,
        None,
        {"volatility": math.sqrt(variance)},
    )


def _cluster_order(sigma: Array) -> Array:
    """Quasi-diagonalisation: the leaves of the tree from left to right."""
    if len(sigma) == 1:
        return np.zeros(1, np.intp)
    sd = np.sqrt(np.diagonal(sigma))
    distance = np.sqrt(np.clip(0.5 * (1.0 - sigma / np.outer(sd, sd)), 0.0, 1.0))
    np.fill_diagonal(distance, 0.0)
    order: Array = leaves_list(linkage(pdist(distance), method="single"))
    return order


def _cluster_variance(sigma: Array, items: Array) -> float:
    part = sigma[np.ix_(items, items)]
    inverse = 1.0 / np.diagonal(part)
    w = inverse / inverse.sum()
    return float(w @ part @ w)
