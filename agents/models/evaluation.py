"""The walk-forward evaluation of a network beside the simple models, and the model that comes out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.models.bars import Bars, Floats, bar_length_ms, fingerprint
from agents.models.baselines import BASELINES, Part, flatten
from agents.models.features import FEATURES
from agents.models.metrics import Costs, interval, score, shares
from agents.models.network import Network, Scorer, softmax
from agents.models.samples import (
    Fold,
    Rows,
    Samples,
    Scaler,
    final_split,
    fit_scaler,
    hold_band,
    labels,
    make_samples,
    walk_forward,
)
from agents.models.training import Trained, Trainer, Training
from schemas.codec import dumps

SEEDS = (1, 2, 3, 4, 5)
NETWORK = "lstm"
_AVERAGED = (
    *("mcc", "macro_f1", "log_loss", "accuracy", "ece"),
    *("trades", "right_side", "gross_bps", "net_bps", "pnl"),
)

Step = Callable[[str, int, int, float], None]
"""Called with what is trained, trainings done before it, its epoch, and the validation's log-loss."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of the bars, and how the answer is tested.

    Attributes
    ----------
    horizon
        Bars from the decision to the outcome.
    band
        Half the hold band in standard deviations of the training part's forward returns.
    """

    window: int = 30
    horizon: int = 5
    band: float = 0.5
    folds: int = 3
    seeds: tuple[int, ...] = SEEDS
    costs: Costs = field(default_factory=Costs)
    training: Training = field(default_factory=Training)

    @property
    def trainings(self) -> int:
        """How many networks are trained: one a fold and seed, and the one that goes out."""
        return self.folds * len(self.seeds) + 1


@dataclass(frozen=True, slots=True)
class Model:
    """All that scoring needs.

    Attributes
    ----------
    mean_returns
        float64 (3,), mean forward log return of each class in training; the expected move is their mean by
        the probabilities.
    bar_ms
        Length of the bars that it learnt from; None where their times do not tell.
    """

    network: Network
    scaler: Scaler
    band: float
    mean_returns: Floats
    window: int
    horizon: int
    hidden: int
    features: tuple[str, ...] = FEATURES
    bar_ms: int | None = None


def evaluate(
    series: Sequence[Bars],
    plan: Plan,
    device: str = "cpu",
    work: Path | None = None,
    step: Step | None = None,
) -> tuple[Model, dict[str, Any]]:
    """Walk forward with every seed, then train the model that goes out on all bars.

    Parameters
    ----------
    work
        A folder for checkpoints; a killed evaluation that is started again with it goes on.
    step
        Told after each epoch.

    Returns
    -------
    Model, dict
        The model, trained with the first seed; the report as plain data.
    """
    samples = make_samples(series, plan.window, plan.horizon)
    data = fingerprint(series)
    folds = walk_forward(samples, plan.folds)
    course = _Course(samples, plan, device, work, data, bar_length_ms(series), step)
    parts = [course.fold(number, fold) for number, fold in enumerate(folds)]
    model, losses = course.final()
    report = _facts(series, samples, plan, losses, data) | _scores(plan, parts)
    return model, report


def train_untested(
    series: Sequence[Bars], plan: Plan, step: Step | None = None
) -> tuple[Model, dict[str, Any]]:
    """Train the model that goes out on all bars, and test nothing; the report says no more than what it is.

    For who knows that there is something to learn, as in a simulated market; else see :func:`evaluate`.
    """
    samples = make_samples(series, plan.window, plan.horizon)
    data = fingerprint(series)
    course = _Course(samples, plan, "cpu", None, data, bar_length_ms(series), step)
    model, losses = course.final()
    return model, _facts(series, samples, plan, losses, data)


class _Course:
    """The trainings of one evaluation, each with a checkpoint of its own."""

    def __init__(
        self,
        samples: Samples,
        plan: Plan,
        device: str,
        work: Path | None,
        data: str,
        bar_ms: int | None,
        step: Step | None,
    ) -> None:
        self._samples, self._plan, self._device, self._bar_ms = samples, plan, device, bar_ms
        self._work, self._step, self._done = work, step, 0
        facts = dumps([data, plan.window, plan.horizon, plan.band, plan.folds, FEATURES])
        self._key = hashlib.sha256(facts).hexdigest()

    def fold(self, number: int, fold: Fold) -> dict[str, Any]:
        """Every model of one fold, scored on its test part."""
        samples, plan = self._samples, self._plan
        band, scaler = hold_band(samples.forward[fold.train], plan.band), fit_scaler(samples, fold.train)
        y = labels(samples.forward, band)
        x_test = scaler(samples.windows(fold.test))
        train, test = self._part(fold.train, scaler, band), self._part(fold.test, scaler, band)
        truth, tradable = y[fold.test], samples.tradable[fold.test]
        scores: dict[str, list[dict[str, Any]]] = {
            name: [score(predict(train, y[fold.train], test, plan.seeds[0]), truth, tradable, plan.costs)]
            for name, predict in BASELINES.items()
        }
        scores[NETWORK] = []
        for seed in plan.seeds:
            trained = self._train(f"fold-{number + 1}-seed-{seed}", fold, scaler, y, seed)
            found = softmax(Scorer(trained.network, self._device).logits(x_test))
            scores[NETWORK].append(score(found, truth, tradable, plan.costs))
        return {
            "fold": number + 1,
            "samples": {name: len(getattr(fold, name)) for name in ("train", "validation", "test")},
            "test_from_ns": int(samples.ts_ns[fold.test].min()),
            "test_to_ns": int(samples.ts_ns[fold.test].max()),
            "band_bps": band * 1e4,
            "classes": shares(truth),
            "scores": scores,
        }

    def final(self) -> tuple[Model, tuple[float, ...]]:
        """The model that goes out, and its validation losses."""
        samples, plan = self._samples, self._plan
        fold = final_split(samples)
        band, scaler = hold_band(samples.forward[fold.train], plan.band), fit_scaler(samples, fold.train)
        y = labels(samples.forward, band)
        trained = self._train("final", fold, scaler, y, plan.seeds[0])
        forward, classes = samples.forward[fold.train], y[fold.train]
        means = np.array([forward[classes == k].mean() if (classes == k).any() else 0.0 for k in range(3)])
        window, hidden = plan.window, plan.training.hidden
        model = Model(trained.network, scaler, band, means, window, plan.horizon, hidden, bar_ms=self._bar_ms)
        return model, trained.losses

    def _part(self, rows: Rows, scaler: Scaler, band: float) -> Part:
        flat = flatten(scaler(self._samples.windows(rows)))
        return Part(flat, labels(self._samples.past[rows], band))

    def _train(self, name: str, fold: Fold, scaler: Scaler, y: Rows, seed: int) -> Trained:
        windows = self._samples.windows
        trainer = Trainer(
            scaler(windows(fold.train)),
            y[fold.train],
            scaler(windows(fold.validation)),
            y[fold.validation],
            self._plan.training,
            seed,
            self._device,
            None if self._work is None else self._work / f"{name}.safetensors",
            f"{self._key} {name}",
        )

        def told(epoch: int, loss: float) -> None:
            if self._step is not None:
                self._step(name, self._done, epoch, loss)

        trained = trainer.run(told)
        self._done += 1
        return trained


def _facts(
    series: Sequence[Bars], samples: Samples, plan: Plan, losses: tuple[float, ...], data: str
) -> dict[str, Any]:
    """What a report says of any training."""
    return {
        "version": 1,
        "data": {
            "sha256": data,
            "symbols": sorted({bars.symbol for bars in series}),
            "stretches": len(series),
            "bars": sum(len(bars) for bars in series),
            "from_ns": min(int(bars.ts_ns[0]) for bars in series if len(bars)),
            "to_ns": max(int(bars.ts_ns[-1]) for bars in series if len(bars)),
        },
        "plan": asdict(plan),
        "features": list(FEATURES),
        "samples": len(samples),
        "final_losses": list(losses),
    }


def _scores(plan: Plan, folds: list[dict[str, Any]]) -> dict[str, Any]:
    """What it says of the walk forward."""
    models = {
        name: {figure: _over_folds([fold["scores"][name] for fold in folds], figure) for figure in _AVERAGED}
        for name in (*BASELINES, NETWORK)
    }
    return {"models": models, "folds": folds, "verdict": verdict(models, len(plan.seeds))}


def _over_folds(scores: list[list[dict[str, Any]]], figure: str) -> dict[str, float]:
    """Mean over the folds, and its interval over the seeds."""
    by_seed = zip(*([one[figure] for one in fold] for fold in scores), strict=True)
    return interval([float(np.mean(values)) for values in by_seed])


def verdict(models: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Whether the network beats the best simple model, in figures and in words.

    It does when the 95 % interval over its seeds is wholly on the better side, both in log-loss and in MCC.
    The interval knows the seeds' chance, not that of the years.
    """
    simple = {name: figures for name, figures in models.items() if name != NETWORK}
    by_loss = min(simple, key=lambda name: simple[name]["log_loss"]["mean"])
    by_mcc = max(simple, key=lambda name: simple[name]["mcc"]["mean"])
    ours = models[NETWORK]
    loss, mcc = simple[by_loss]["log_loss"]["mean"], simple[by_mcc]["mcc"]["mean"]
    better_loss, better_mcc = ours["log_loss"]["high"] < loss, ours["mcc"]["low"] > mcc
    beats = seeds > 1 and better_loss and better_mcc
    net = ours["net_bps"]["mean"]
    words = (
        f"The network {'beats' if beats else 'does not beat'} the simple models. "
        f"Log-loss {ours['log_loss']['mean']:.4f} [{ours['log_loss']['low']:.4f}, "
        f"{ours['log_loss']['high']:.4f}] against {loss:.4f} ({by_loss}); "
        f"MCC {ours['mcc']['mean']:+.3f} [{ours['mcc']['low']:+.3f}, {ours['mcc']['high']:+.3f}] "
        f"against {mcc:+.3f} ({by_mcc}). "
        f"Its trades {'earn' if net > 0 else 'lose'} {abs(net):.1f} basis points each after costs, "
        f"and {ours['right_side']['mean']:.1%} of them had the direction right."
    )
    return {"beats": beats, "by_log_loss": better_loss, "by_mcc": better_mcc, "words": words}
