"""Hawkes: the intensity as the sum over all past trades, the branching ratio from a list of counts."""

from __future__ import annotations

import math

from tests.oracles.formulas import NAN


def branching_and_rate(counts, forget):
    """(n, mean count) from counts a window, oldest first, weights falling by exp(−forget) a window."""
    weights = [math.exp(-forget * age) for age in range(len(counts))][::-1]
    total = sum(weights)
    mean = sum(w * c for w, c in zip(weights, counts, strict=True)) / total
    variance = sum(w * c * c for w, c in zip(weights, counts, strict=True)) / total - mean * mean
    if mean <= 0 or len(counts) < 8:
        return NAN, NAN
    return (1 - math.sqrt(mean / variance) if variance > mean else 0.0), mean


def intensity(times_ns, at_ns, counts, base_ns, beta, forget):
    """λ at ``at_ns`` in events a second, and the branching ratio."""
    n, mean = branching_and_rate(counts, forget)
    excitement = sum(math.exp(-beta * (at_ns - t) * 1e-9) for t in times_ns if t <= at_ns)
    return mean / (base_ns * 1e-9) * (1 - n) + n * beta * excitement, n


def log_likelihood(times_s, horizon_s, mu, alpha, beta):
    """Σ log λ(tᵢ) − ∫₀ᵀ λ, with λ by the double sum."""
    total = -mu * horizon_s
    for i, t in enumerate(times_s):
        total += math.log(mu + alpha * sum(math.exp(-beta * (t - u)) for u in times_s[:i]))
        total -= alpha / beta * (1 - math.exp(-beta * (horizon_s - t)))
    return total
