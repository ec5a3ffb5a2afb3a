"""Scenarios of returns from history, by four generators; each remembers its seed and parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from agents.dense.device import fetch, put
from agents.portfolio.garch import fit_garch, variances
from agents.portfolio.inputs import Array, named_matrix
from schemas.errors import PortfolioError

Generator = Literal["gaussian", "student_t", "block_bootstrap", "filtered_historical"]

_LEAST_ROWS = 30
_DF = (2.1, 200.0)  # a variance exists from 2 on; above 200 it is Gaussian for all that matters


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Paths of returns, and where they come from.

    Parameters
    ----------
    paths : float64[scenarios, horizon, n]
        Returns of each period, as fractions.
    generator, seed, parameters
        With the same history they make the same paths, bit for bit, on the same version of NumPy. The bit
        generator is PCG64. What is random is drawn by it on every device, so that a seed means the same
        scenarios everywhere, to rounding where they were computed elsewhere.
    """

    assets: tuple[str, ...]
    paths: Array
    generator: Generator
    seed: int
    parameters: dict[str, float]

    @property
    def returns(self) -> Array:
        """float64[scenarios, n]: over the whole horizon, compounded; what optimisation takes."""
        if self.paths.shape[1] == 1:
            return np.ascontiguousarray(self.paths[:, 0])
        compounded: Array = np.prod(1.0 + self.paths, axis=1) - 1.0
        return compounded


def simulate(
    returns: Any,
    generator: Generator,
    scenarios: int,
    *,
    seed: int,
    horizon: int = 1,
    assets: Sequence[str] | None = None,
    degrees_of_freedom: float | None = None,
    block: float | None = None,
    device: str = "cpu",
) -> Scenarios:
    """Draw scenarios like the history.

    ``gaussian``: normal with the sample's mean and covariance. ``student_t``: multivariate t with the same
    mean and covariance, degrees of freedom by maximum likelihood unless given. ``block_bootstrap``: rows of
    history in blocks of geometric length (Politis, Romano 1994), which keeps dependence in time and across
    assets. ``filtered_historical``: whole rows of residuals of a GARCH(1,1) an asset, rescaled by a variance
    that starts at today's and evolves along the path (Barone-Adesi, Giannopoulos, Vosper 1999).

    Parameters
    ----------
    returns : [T, n]
        History, oldest first; at least 30 rows.
    generator
        Which.
    scenarios, horizon
        Number of paths, and of periods in each.
    seed
        Of PCG64; the caller's choice, since nothing here is random by itself.
    degrees_of_freedom
        Of ``student_t``, above 2.
    block
        Mean length of a block, in periods; by default the cube root of T.
    device
        Where products and recursions are computed: ``cpu`` or ``cuda:N``. Blocks of history are only copied,
        which the host does.

    Raises
    ------
    PortfolioError
        For unusable history, an unknown generator or an impossible parameter.
    """
    R, names = named_matrix("returns", returns, assets)
    if len(R) < _LEAST_ROWS:
        raise PortfolioError("returns", f"{len(R)} rows", f"give at least {_LEAST_ROWS} periods of history")
    if generator not in _GENERATORS:
        raise PortfolioError("generator", f"{generator!r} is unknown", f"one of {', '.join(_GENERATORS)}")
    for field, value in (("scenarios", scenarios), ("horizon", horizon)):
        if value < 1:
            raise PortfolioError(field, f"is {value}", "give at least 1")
    if seed < 0:
        raise PortfolioError("seed", f"is {seed}", "give a whole number from 0")
    if generator == "filtered_historical" and not np.ptp(R, axis=0).all():
        still = names[int(np.argmin(np.ptp(R, axis=0)))]
        raise PortfolioError("returns", f"{still!r} never moves, so it has no variance to filter", "drop it")
    options = Options(degrees_of_freedom, block, device)
    rng = np.random.Generator(np.random.PCG64(seed))
    paths, parameters = _GENERATORS[generator](R, (scenarios, horizon), rng, options)
    return Scenarios(tuple(names), paths, generator, seed, parameters)


Shape = tuple[int, int]
Drawn = tuple[Array, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Options:
    """What :func:`simulate` was given for its generators."""

    degrees_of_freedom: float | None
    block: float | None
    device: str


def _gaussian(R: Array, shape: Shape, rng: np.random.Generator, options: Options) -> Drawn:
    return R.mean(axis=0) + _normal(R, shape, rng, options.device), {}


def _normal(R: Array, shape: Shape, rng: np.random.Generator, device: str) -> Array:
    """Normal draws of the sample's covariance, and of mean 0."""
    drawn = rng.standard_normal((*shape, R.shape[1]))
    return fetch(put(drawn, device) @ put(_root(R).T, device))


def _student_t(R: Array, shape: Shape, rng: np.random.Generator, options: Options) -> Drawn:
    df = options.degrees_of_freedom
    df = _fit_df(R) if df is None else df
    if not (np.isfinite(df) and df > 2):
        raise PortfolioError("degrees_of_freedom", f"is {df}", "above 2, where the variance exists")
    normal = _normal(R, shape, rng, options.device)
    mixing = rng.chisquare(df, (*shape, 1)) / (df - 2.0)  # so that the covariance stays the sample's
    return R.mean(axis=0) + normal / np.sqrt(mixing), {"degrees_of_freedom": float(df)}


def _root(R: Array) -> Array:
    """A square root of the covariance, which may be singular."""
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(R, rowvar=False)))
    root: Array = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _fit_df(R: Array) -> float:
    """Degrees of freedom of most likelihood, mean and covariance being the sample's."""
    T = len(R)
    covariance = np.atleast_2d(np.cov(R, rowvar=False))
    X = R - R.mean(axis=0)
    distance = np.einsum("ti,ti->t", X @ np.linalg.pinv(covariance, hermitian=True), X)
    rank = int(np.linalg.matrix_rank(covariance))

    def minus_log_likelihood(log_df: float) -> float:
        v = float(np.exp(log_df))
        constant = gammaln((v + rank) / 2) - gammaln(v / 2) - 0.5 * rank * np.log(v - 2)
        return -float(T * constant - 0.5 * (v + rank) * np.log1p(distance / (v - 2)).sum())

    found = minimize_scalar(minus_log_likelihood, bounds=np.log(_DF), method="bounded")
    return float(np.exp(found.x))


def _block_bootstrap(R: Array, shape: Shape, rng: np.random.Generator, options: Options) -> Drawn:
    block = options.block if options.block is not None else float(np.cbrt(len(R)))
    if not (np.isfinite(block) and block >= 1):
        raise PortfolioError("block", f"is {block}", "give a mean length of at least 1")
    _, horizon = shape
    rows = np.empty(shape, np.intp)
    fresh = rng.integers(0, len(R), shape)
    restart = rng.random(shape) < 1.0 / block
    rows[:, 0] = fresh[:, 0]
    for t in range(1, horizon):
        rows[:, t] = np.where(restart[:, t], fresh[:, t], (rows[:, t - 1] + 1) % len(R))
    return R[rows], {"block": float(block)}


def _filtered_historical(R: Array, shape: Shape, rng: np.random.Generator, options: Options) -> Drawn:
    mean = R.mean(axis=0)
    X = R - mean
    model = fit_garch(X)
    history = variances(X, model)
    residuals = X / np.sqrt(history[:-1])
    residuals = residuals / np.sqrt(np.mean(np.square(residuals), axis=0))
    scenarios, horizon = shape
    rows = rng.integers(0, len(R), shape)
    paths = np.empty((scenarios, horizon, R.shape[1]))
    there = (mean, residuals, rows, model.omega, model.alpha, model.beta, history[-1])
    mean, residuals, rows, omega, alpha, beta, h = (put(array, options.device) for array in there)
    for t in range(horizon):
        shock = h**0.5 * residuals[rows[:, t]]
        paths[:, t] = fetch(mean + shock)
        h = omega + alpha * (shock * shock) + beta * h
    parameters = {"mean_alpha": float(model.alpha.mean()), "mean_beta": float(model.beta.mean())}
    return paths, parameters


_GENERATORS: dict[str, Callable[[Array, Shape, np.random.Generator, Options], Drawn]] = {
    "gaussian": _gaussian,
    "student_t": _student_t,
    "block_bootstrap": _block_bootstrap,
    "filtered_historical": _filtered_historical,
}
