"""The micro-price of Stoikov (2018): how far the mid is expected to move, given imbalance and spread.

Fitted offline on one symbol's quotes; the kernel looks the table up at each close. Pure; NumPy only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["fit_micro_price"]

_UNIT = 1e-9
# Lets the chain leave a set of states from which the mid never moved in the sample; biases nothing else.
_LEAK = 1e-12


def fit_micro_price(
    bid_px: npt.NDArray[np.int64],
    ask_px: npt.NDArray[np.int64],
    bid_sz: npt.NDArray[np.float64],
    ask_sz: npt.NDArray[np.float64],
    tick_size: int,
    n_imbalance: int = 10,
    n_spread: int = 4,
) -> npt.NDArray[np.float64]:
    """Fit g(imbalance, spread), so that mid + g is the micro-price.

    Quotes form a Markov chain over (spread in ticks, imbalance bucket). With Q the transitions that
    leave the mid, r the expected move of the mid at the next step and B = (1 − Q)⁻¹R the state after
    the next move, the first adjustment is G₁ = (1 − Q)⁻¹r and g the fixed point g = G₁ + B·g, the
    limit of the paper's G₁ + B·G₁ + B²·G₁ + … . Every transition is counted with its mirror image
    (bid and ask exchanged, moves negated), which makes g antisymmetric and the limit exist. Moves of
    the mid enter with their size; the paper cuts them to one tick.

    Parameters
    ----------
    bid_px, ask_px : int64[n]
        Successive quotes of one symbol, 1e-9. Crossed and locked ones, and ones with no size, are
        left out.
    bid_sz, ask_sz : float64[n]
        Their sizes.
    tick_size
        Price step, 1e-9.
    n_imbalance, n_spread
        Buckets of B/(B+A), equally wide; and of the spread, of 1, 2, … ticks, the last for all wider.

    Returns
    -------
    float64[n_spread, n_imbalance]
        g in units of the quote currency; 0 for states never seen.

    Raises
    ------
    ValueError
        For a tick size or bucket count that is not positive.
    """
    if tick_size <= 0 or n_imbalance < 1 or n_spread < 1:
        raise ValueError(
            f"tick_size, n_imbalance, n_spread must be positive: {tick_size}, {n_imbalance}, {n_spread}"
        )
    depth = bid_sz + ask_sz
    usable = (ask_px > bid_px) & (depth > 0)
    bid, ask = bid_px[usable], ask_px[usable]
    share = bid_sz[usable] / depth[usable]
    bucket = np.minimum((share * n_imbalance).astype(np.int64), n_imbalance - 1)
    wide = np.clip((ask - bid + tick_size // 2) // tick_size, 1, n_spread) - 1
    moves = np.diff(bid + ask) * (_UNIT / 2)

    states = n_spread * n_imbalance
    state = wide * n_imbalance + bucket
    mirrored = wide * n_imbalance + (n_imbalance - 1 - bucket)
    came = np.concatenate([state[:-1], mirrored[:-1]])
    went = np.concatenate([state[1:], mirrored[1:]])
    moved = np.concatenate([moves, -moves])

    still = _counts(came[moved == 0], went[moved == 0], states)
    jumps = _counts(came[moved != 0], went[moved != 0], states)
    visits = np.maximum(still.sum(1) + jumps.sum(1), 1.0)
    r = np.bincount(came, moved, states) / visits
    until_a_move = np.eye(states) - (1.0 - _LEAK) * still / visits[:, None]
    first = np.linalg.solve(until_a_move, r)
    after = np.linalg.solve(until_a_move, jumps / visits[:, None])
    # 1 − B is singular (B's rows sum to 1); on antisymmetric functions, to which g belongs, it is not.
    mirror = np.arange(states).reshape(n_spread, n_imbalance)[:, ::-1].ravel()
    antisymmetric = (after - after[:, mirror]) / 2.0
    g = np.linalg.solve(np.eye(states) - antisymmetric, first)
    return ((g - g[mirror]) / 2.0).reshape(n_spread, n_imbalance)


def _counts(came: npt.NDArray[np.int64], went: npt.NDArray[np.int64], states: int) -> npt.NDArray[np.float64]:
    counted = np.bincount(came * states + went, minlength=states * states)
    return counted.reshape(states, states).astype(np.float64)
