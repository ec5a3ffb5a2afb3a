"""The simple models that a network has to beat. Fitted on the training part, they give probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import numpy as np
import numpy.typing as npt

from agents.models.bars import Floats
from agents.models.samples import Rows

Block = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """What a model may see of some samples.

    Attributes
    ----------
    flat
        float32 (n, 2 * features): standardised features of the last bar, and their means over the window.
    past
        int64 (n,): class of the return over the horizon before, by the same band.
    """

    flat: Block
    past: Rows


def flatten(x: Block) -> Block:
    """``Part.flat`` of windows (n, window, features)."""
    return np.concatenate([x[:, -1], x.mean(axis=1)], axis=1)


def majority(train: Part, y: Rows, test: Part, seed: int) -> Floats:
    """The training part's class shares, whatever the sample."""
    return np.tile((np.bincount(y, minlength=3) + 1) / (len(y) + 3), (len(test.past), 1))


def persistence(train: Part, y: Rows, test: Part, seed: int) -> Floats:
    """What has just happened happens again, as often as it did in training; its class is the past one."""
    counts = np.ones((3, 3))
    np.add.at(counts, (train.past, y), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    # the naive forecast itself has no probabilities: a class repeated with the hit rate of training
    hit = np.clip(float((train.past == y).mean()), 0.34, 0.98)
    repeated = np.full((3, 3), (1 - hit) / 2)
    np.fill_diagonal(repeated, hit)
    best = shares.argmax(axis=1) == np.arange(3)
    return cast(Floats, np.where(best[:, None], shares, repeated)[test.past])


def logistic(train: Part, y: Rows, test: Part, seed: int) -> Floats:
    """Multinomial logistic regression, L2 penalty of scikit-learn's default strength."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=500, random_state=seed).fit(train.flat, y)
    return _in_order(model.predict_proba(test.flat), model.classes_)


def trees(train: Part, y: Rows, test: Part, seed: int) -> Floats:
    """Histogram gradient-boosted trees, small and slow-learning, with early stopping inside the training."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.05, max_leaf_nodes=15, early_stopping=True, random_state=seed
    ).fit(train.flat, y)
    return _in_order(model.predict_proba(test.flat), model.classes_)


def _in_order(found: Floats, classes: Rows) -> Floats:
    """All three columns, also where training never saw one of the classes."""
    out = np.full((len(found), 3), 1e-9)
    out[:, classes] = found
    return cast(Floats, out / out.sum(axis=1, keepdims=True))


BASELINES: Mapping[str, Callable[[Part, Rows, Part, int], Floats]] = MappingProxyType(
    {"majority": majority, "persistence": persistence, "logistic": logistic, "trees": trees}
)
"""Name and fit-and-predict: training part, its classes, test part, seed → float64 (n, 3)."""
