"""Obvious versions: programs as a person writes them for cvxpy, and formulas by loops."""

import cvxpy as cp
import numpy as np


def _rows(w, constraints):
    """cvxpy's rows of a :class:`agents.portfolio.Constraints` whose vectors are arrays or numbers."""
    rows = [cp.sum(w) == constraints.budget, w >= constraints.lower, w <= constraints.upper]
    for group in constraints.groups:
        total = cp.sum(w[[int(name) for name in group.assets]])
        rows += [] if group.lower is None else [total >= group.lower]
        rows += [] if group.upper is None else [total <= group.upper]
    if constraints.turnover is not None:
        rows.append(cp.norm1(w - constraints.turnover.previous) <= constraints.turnover.limit)
    return rows


def _solved(problem):
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-11, tol_feas=1e-11)
    return problem.value


def least_variance(sigma, constraints, mu=None, target=None):
    w = cp.Variable(len(sigma))
    rows = _rows(w, constraints) + ([] if target is None else [mu @ w >= target])
    scale = 1.0 / np.diagonal(sigma).mean()
    return _solved(cp.Problem(cp.Minimize(cp.quad_form(w, cp.psd_wrap(scale * sigma))), rows)) / scale


def least_cvar(returns, level, constraints, mu=None, target=None):
    """(CVaR, the scenarios' multipliers)."""
    count, n = returns.shape
    w, a, u = cp.Variable(n), cp.Variable(), cp.Variable(count)
    short = u >= -100.0 * returns @ w - a
    rows = [*_rows(w, constraints), short, u >= 0] + (
        [] if target is None else [100.0 * mu @ w >= 100.0 * target]
    )
    value = _solved(cp.Problem(cp.Minimize(a + cp.sum(u) / ((1 - level) * count)), rows))
    return value / 100.0, short.dual_value


def largest_sharpe(mu, sigma, constraints):
    """By the largest ratio on a fine frontier of variances: no change of variables."""
    n = len(sigma)
    w, target = cp.Variable(n), cp.Parameter()
    scale = 1.0 / np.diagonal(sigma).mean()
    rows = _rows(w, constraints)
    most = _solved(cp.Problem(cp.Maximize(1e3 * mu @ w), rows)) / 1e3
    problem = cp.Problem(
        cp.Minimize(cp.quad_form(w, cp.psd_wrap(scale * sigma))), [*rows, 1e3 * mu @ w >= target]
    )

    def ratio(at):
        target.value = 1e3 * at
        _solved(problem)
        return float(mu @ w.value / np.sqrt(w.value @ sigma @ w.value))

    low, high = most * 1e-3, most * (1 - 1e-9)
    for _ in range(45):  # the ratio is quasi-concave along the frontier
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (a, high) if ratio(a) < ratio(b) else (low, b)
    return ratio(0.5 * (low + high))


def cvar(losses, level):
    """Sort, and average the worst of them, the last one in part."""
    worst, left, total = sorted(losses, reverse=True), (1 - level) * len(losses), 0.0
    whole = (1 - level) * len(losses)
    for loss in worst:
        share = min(1.0, left)
        total, left = total + share * loss, left - share
        if left <= 1e-12:
            break
    return total / whole


def cluster_order(sigma):
    """The leaves of the single-linkage tree, merged by hand; of two clusters the older one comes first."""
    n = len(sigma)
    sd = np.sqrt(np.diagonal(sigma))
    d = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                d[i, j] = np.sqrt(max(0.0, 0.5 * (1 - sigma[i, j] / sd[i] / sd[j])))
    far = [[np.sqrt(sum((d[k, i] - d[k, j]) ** 2 for k in range(n))) for j in range(n)] for i in range(n)]
    clusters = [[i] for i in range(n)]
    while len(clusters) > 1:
        _, a, b = min(
            (min(far[i][j] for i in clusters[p] for j in clusters[q]), p, q)
            for p in range(len(clusters))
            for q in range(p + 1, len(clusters))
        )
        clusters = [c for k, c in enumerate(clusters) if k not in (a, b)] + [clusters[a] + clusters[b]]
    return clusters[0]


def bisected(sigma, order):
    """Weights of the recursive bisection of a given order."""

    def variance(items):
        w = np.array([1 / sigma[i, i] for i in items])
        w /= w.sum()
        return sum(
            w[p] * w[q] * sigma[items[p], items[q]] for p in range(len(items)) for q in range(len(items))
        )

    if len(order) == 1:
        return {order[0]: 1.0}
    left, right = order[: len(order) // 2], order[len(order) // 2 :]
    share = 1 - variance(left) / (variance(left) + variance(right))
    return {i: share * w for i, w in bisected(sigma, left).items()} | {
        i: (1 - share) * w for i, w in bisected(sigma, right).items()
    }


def constant_correlation_shrinkage(returns):
    """Ledoit and Wolf's appendix B, sum by sum."""
    T, n = returns.shape
    x = returns - returns.mean(axis=0)
    s = x.T @ x / T
    r = [[s[i, j] / np.sqrt(s[i, i] * s[j, j]) for j in range(n)] for i in range(n)]
    mean = 2 / ((n - 1) * n) * sum(r[i][j] for i in range(n - 1) for j in range(i + 1, n))
    f = np.array(
        [[s[i, i] if i == j else mean * np.sqrt(s[i, i] * s[j, j]) for j in range(n)] for i in range(n)]
    )
    pi = sum(((x[:, i] * x[:, j] - s[i, j]) ** 2).mean() for i in range(n) for j in range(n))

    def theta(k, i, j):
        return ((x[:, k] ** 2 - s[k, k]) * (x[:, i] * x[:, j] - s[i, j])).mean()

    rho = sum(((x[:, i] ** 2 - s[i, i]) ** 2).mean() for i in range(n)) + sum(
        mean / 2 * (np.sqrt(s[j, j] / s[i, i]) * theta(i, i, j) + np.sqrt(s[i, i] / s[j, j]) * theta(j, i, j))
        for i in range(n)
        for j in range(n)
        if i != j
    )
    gamma = ((f - s) ** 2).sum()
    intensity = max(0.0, min((pi - rho) / gamma / T, 1.0))
    return intensity, intensity * f + (1 - intensity) * s


def drawdown(wealth):
    """The largest fall from a peak of one path that starts at 1."""
    return max(0.0, *(1 - b / a for i, a in enumerate([1.0, *wealth]) for b in [1.0, *wealth][i:]))
