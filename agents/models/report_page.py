"""The prediction report as one page of HTML that needs nothing else; drawn from the report's plain data."""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from agents.models.evaluation import NETWORK
from agents.models.samples import CLASSES

_PAGE = Path(__file__).with_suffix(".html")
_COLOURS = {
    "majority": "#98a2b3", "persistence": "#b7a57a", "logistic": "#3b82f6", "trees": "#8b5cf6",
    NETWORK: "#0f766e",
}  # fmt: skip
_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("log_loss", "log-loss", "{:.4f}"),
    ("mcc", "MCC", "{:+.3f}"),
    ("macro_f1", "macro-F1", "{:.3f}"),
    ("ece", "ECE", "{:.3f}"),
    ("trades", "trades", "{:,.0f}"),
    ("right_side", "right side", "{:.1%}"),
    ("gross_bps", "gross bps a trade", "{:+.1f}"),
    ("net_bps", "net bps a trade", "{:+.1f}"),
)
Draw = Callable[[Any, dict[str, Any]], None]


def render(report: dict[str, Any]) -> str:
    """The page, with its plots inside as SVG."""
    data, verdict = report["data"], report["verdict"]
    names = ", ".join(data["symbols"][:12]) + (" …" if len(data["symbols"]) > 12 else "")
    subtitle = f"{names}; {data['bars']:,} bars, {_span(data['from_ns'], data['to_ns'])}"
    return Template(_PAGE.read_text()).substitute(
        {
            "subtitle": html.escape(subtitle),
            "class": "yes" if verdict["beats"] else "no",
            "verdict": html.escape(verdict["words"]),
            "table": _table(report),
            "skill": _plot(report, _skill, 2, (9.6, 3.0)),
            "calibration": _plot(report, _calibration, 1, (4.8, 3.9)),
            "answers": _plot(report, _answers, 1, (4.8, 3.9)),
            "time": _plot(report, _time, 2, (9.6, 3.0)),
            "method": _method(report),
        }
    )


def _day(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d}"


def _span(begin: int, end: int) -> str:
    """Days, or bar numbers where the bars had no time."""
    return f"bar {begin} to {end}" if end < 10**12 else f"{_day(begin)} to {_day(end)}"


def _table(report: dict[str, Any]) -> str:
    head = "".join(f"<th>{title}</th>" for _, title, _ in _COLUMNS)
    rows = []
    for name, figures in report["models"].items():
        shown = (_cell(figures[key], form) if _told(key, figures) else "–" for key, _, form in _COLUMNS)
        cells = "".join(f"<td>{cell}</td>" for cell in shown)
        rows.append(f'<tr class="{"ours" if name == NETWORK else ""}"><td>{name}</td>{cells}</tr>')
    return f"<table><tr><th>model</th>{head}</tr>{''.join(rows)}</table>"


def _told(key: str, figures: dict[str, Any]) -> bool:
    """Whether a model has the figure: who never trades has no figure a trade."""
    return key not in ("right_side", "gross_bps", "net_bps") or figures["trades"]["mean"] > 0


def _cell(figure: dict[str, float], form: str) -> str:
    text, half = form.format(figure["mean"]), figure["high"] - figure["mean"]
    return f"{text}<br><small>± {form.replace('+', '').format(half)}</small>" if half > 0 else text


def _plot(report: dict[str, Any], draw: Draw, columns: int, size: tuple[float, float]) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {
        "svg.hashsalt": "tapestream", "font.size": 9,
        "axes.edgecolor": "#98a2b3", "axes.labelcolor": "#475467",
        "xtick.color": "#475467", "ytick.color": "#475467", "axes.titlesize": 10, "axes.titleweight": "bold",
    }  # fmt: skip
    with rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(1, columns, squeeze=False)[0]
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(color="#eef1f5")
            axis.set_axisbelow(True)
        draw(axes, report)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _skill(axes: Any, report: dict[str, Any]) -> None:
    for axis, key, title in (
        (axes[0], "log_loss", "Log-loss (left is better)"),
        (axes[1], "mcc", "MCC (right is better)"),
    ):
        for place, (name, figures) in enumerate(reversed(report["models"].items())):
            figure = figures[key]
            half = [[figure["mean"] - figure["low"]], [figure["high"] - figure["mean"]]]
            axis.errorbar(
                figure["mean"], place, xerr=half, fmt="o", color=_COLOURS[name], markersize=8, capsize=4
            )
        axis.set_yticks(range(len(report["models"])), list(reversed(report["models"])))
        axis.set_title(title)
        axis.margins(y=0.15)
    axes[1].axvline(0, color="#98a2b3", lw=0.8)


def _calibration(axes: Any, report: dict[str, Any]) -> None:
    (axis,) = axes
    axis.plot([0.3, 1], [0.3, 1], color="#98a2b3", lw=1, ls="--")
    for name in ("logistic", "trees", NETWORK):
        bins = np.zeros((11, 3))
        for fold in report["folds"]:
            for row in (row for one in fold["scores"][name] for row in one["reliability"]):
                weighted = [row["predicted"] * row["samples"], row["observed"] * row["samples"]]
                bins[round(row["from"] * 10)] += [row["samples"], *weighted]
        used = bins[bins[:, 0] >= 20]
        shown = used[:, 1:] / used[:, :1]
        axis.plot(shown[:, 0], shown[:, 1], "o-", color=_COLOURS[name], label=name, markersize=4)
    axis.set(xlabel="how sure", ylabel="how often right", title="Calibration of the likeliest class")
    axis.legend(frameon=False)


def _answers(axes: Any, report: dict[str, Any]) -> None:
    (axis,) = axes
    shown = {"happened": [fold["classes"] for fold in report["folds"]]}
    for name in report["models"]:
        shown[name] = [one["answers"] for fold in report["folds"] for one in fold["scores"][name]]
    left = np.zeros(len(shown))
    for which, colour in zip(CLASSES, ("#dc6b4f", "#d0d5dd", "#2f9e8f"), strict=True):
        width = np.array([np.mean([row[which] for row in rows]) for rows in shown.values()])
        axis.barh(list(shown), width, left=left, color=colour, label=which)
        left += width
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), title="Shares of sell, hold and buy")
    axis.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))


def _time(axes: Any, report: dict[str, Any]) -> None:
    folds = report["folds"]
    places = np.arange(len(folds))
    for axis, key, title in (
        (axes[0], "log_loss", "Log-loss by test part"),
        (axes[1], "net_bps", "Net bps a trade"),
    ):
        for name in report["models"]:
            values = [np.mean([one[key] for one in fold["scores"][name]]) for fold in folds]
            axis.plot(places, values, "o-", color=_COLOURS[name], label=name, markersize=5)
        spans = [_span(fold["test_from_ns"], fold["test_to_ns"]).replace(" to ", "\nto ") for fold in folds]
        axis.set_xticks(places, spans, fontsize=7.5)
        axis.set_title(title)
        axis.margins(x=0.15)
    axes[1].axhline(0, color="#98a2b3", lw=0.8)
    axes[0].legend(frameon=False, fontsize=8)


def _method(report: dict[str, Any]) -> str:
    plan = report["plan"]
    costs, training = plan["costs"], plan["training"]
    points = [
        f"Each sample is a window of {plan['window']} bars of {len(report['features'])} features "
        f"({', '.join(report['features'])}); the outcome is the log return over "
        f"the next {plan['horizon']} bars.",
        f"Hold is a return within ± {plan['band']:g} standard deviations of the training part's returns: "
        + ", ".join(f"{fold['band_bps']:.0f}" for fold in report["folds"])
        + " basis points in the test parts.",
        f"{plan['folds']} steps forward in time, each trained on all that came before; samples whose outcome "
        "reaches into the next part are left out. Scaler, band and simple models know "
        "the training part alone.",
        f"LSTM with {training['hidden']} hidden units, {len(plan['seeds'])} seeds "
        f"({', '.join(map(str, plan['seeds']))}), at most {training['max_epochs']} epochs, stopped after "
        f"{training['patience']} without progress. The intervals know the chance of the "
        "seeds, not that of the years.",
        f"Costs a side: half spread {costs['half_spread_bps']:g}, fee {costs['fee_bps']:g} basis points.",
        f"{report['data']['stretches']} stretches of bars of {len(report['data']['symbols'])} symbols; "
        "a history is cut where it jumps overnight (splits, wrong prices, and some crashes), and nothing "
        "reaches across.",
        f"Data: SHA-256 {report['data']['sha256'][:16]}….",
    ]
    return "<ul>" + "".join(f"<li>{html.escape(point)}</li>" for point in points) + "</ul>"
