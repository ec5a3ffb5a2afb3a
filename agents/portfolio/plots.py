"""Pictures of frontiers and weights.

Each function draws on the axes that it is given or on a figure of its own, and returns the figure. No
global state of matplotlib is touched: figures are not pyplot's, so nothing stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.portfolio.answer import Portfolio
from agents.portfolio.frontier import Frontier

# Okabe and Ito's colours, which people with any colour vision can tell apart, and two greys
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8172B3", "#4D4D4D")
INK, FAINT, REST = "#222222", "#DDDDDD", "#BBBBBB"

_RISK: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "variance": ("volatility of a period, %", lambda risk: 100.0 * np.sqrt(risk)),
    "cvar": ("CVaR of a period, %", lambda risk: 100.0 * risk),
}


def plot_frontier(frontier: Frontier, *, others: dict[str, Portfolio] | None = None) -> Figure:
    """The frontier above, and below it the weights along it.

    Parameters
    ----------
    frontier
        Of variances (drawn as volatilities) or of CVaRs.
    others
        Portfolios to mark by name, of the same measure and with an expected return; those without are
        left out.
    """
    figure = _figure(8.0, 7.2)
    top, bottom = figure.subplots(2, 1, height_ratios=(3, 2))
    _curve(top, frontier, others or {})
    _composition(bottom, frontier)
    return figure


def plot_weights(portfolios: dict[str, Portfolio], most: int = 12) -> Figure:
    """Weights of some portfolios side by side, an asset a row; the largest ``most`` assets, then the rest."""
    if not portfolios:
        raise ValueError("portfolios is empty")
    assets = next(iter(portfolios.values())).assets
    weights = np.array([one.weights for one in portfolios.values()])
    order = np.argsort(-np.abs(weights).max(axis=0), kind="stable")
    shown, rest = order[:most], order[most:]
    names = [assets[i] for i in shown] + ([f"{len(rest)} others"] if len(rest) else [])
    values = np.column_stack([weights[:, shown], weights[:, rest].sum(axis=1)])[:, : len(names)]
    figure = _figure(7.5, 1.3 + 0.11 * len(names) * (len(portfolios) + 1))
    axes = figure.subplots()
    height, at = 0.8 / len(portfolios), np.arange(len(names))
    for k, (label, row) in enumerate(zip(portfolios, values, strict=True)):
        axes.barh(
            at + (k - (len(portfolios) - 1) / 2) * height, 100 * row, height, color=_colour(k), label=label
        )
    axes.set_yticks(at, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("weight, %", color=INK)
    axes.legend(
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=min(4, len(portfolios)),
        borderaxespad=0.2,
    )
    _clean(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    return figure


def _curve(axes: Any, frontier: Frontier, others: dict[str, Portfolio]) -> None:
    measure = frontier.portfolios[0].measure
    label, shown = _RISK[measure]
    x, y = shown(frontier.risks), 100.0 * frontier.returns
    axes.plot(x, y, color=PALETTE[0], linewidth=2, zorder=3)
    axes.scatter(x, y, s=16, color="white", edgecolors=PALETTE[0], linewidths=1.2, zorder=4)
    for k, (name, one) in enumerate((n, p) for n, p in others.items() if p.expected_return is not None):
        if one.measure == measure:
            at = (float(shown(one.objective)), 100.0 * float(one.expected_return or 0.0))
            axes.scatter(*at, s=60, marker="D", color=_colour(k + 1), zorder=5)
            axes.annotate(name, at, (9, -4), textcoords="offset points", color=INK)
    axes.annotate("least risk", (x[0], y[0]), (10, -4), textcoords="offset points", color=INK)
    axes.annotate("most return", (x[-1], y[-1]), (0, -18), textcoords="offset points", color=INK, ha="right")
    axes.set_xlabel(label)
    axes.set_ylabel("expected return of a period, %")
    axes.set_title(f"Efficient frontier, {len(x)} points", loc="left", color=INK, fontweight="bold")
    axes.margins(0.05, 0.09)
    _clean(axes, grid="both")


def _composition(axes: Any, frontier: Frontier, most: int = 8) -> None:
    """Bands of the weights over the expected return; short positions go below zero."""
    weights, assets = frontier.weights, frontier.portfolios[0].assets
    x = 100.0 * frontier.returns
    order = np.argsort(-np.abs(weights).max(axis=0), kind="stable")
    shown = [i for i in order[:most] if np.abs(weights[:, i]).max() > 5e-4]
    rest = [i for i in order if i not in shown and np.abs(weights[:, i]).max() > 5e-4]
    bands = [(assets[i], weights[:, i], _colour(k)) for k, i in enumerate(shown)]
    if rest:
        bands.append((f"{len(rest)} others", weights[:, rest].sum(axis=1), REST))
    up, down = np.zeros(len(x)), np.zeros(len(x))
    for name, band, colour in bands:
        held, short = 100.0 * np.maximum(band, 0.0), 100.0 * np.minimum(band, 0.0)
        axes.fill_between(x, up, up + held, color=colour, linewidth=0, label=name)
        axes.fill_between(x, down, down + short, color=colour, linewidth=0)
        up, down = up + held, down + short
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(min(0.0, 1.02 * float(down.min())), float(up.max()))
    axes.set_xlabel("expected return of a period, %")
    axes.set_ylabel("weight, %")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, reverse=True)
    _clean(axes, grid="none")


def _colour(k: int) -> str:
    return PALETTE[k % len(PALETTE)]


def _clean(axes: Any, grid: str) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(REST)
    axes.tick_params(colors=INK)
    if grid != "none":
        axes.grid(axis=grid, color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=130, layout="constrained")


__all__: Sequence[str] = ("plot_frontier", "plot_weights")
