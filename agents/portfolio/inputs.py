"""Arrays and frames as they come from a notebook, made into checked float64 arrays with names.

Every complaint names the argument, where in it, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import PortfolioError

Array = npt.NDArray[np.float64]
Vector = float | Sequence[float] | npt.NDArray[Any] | Mapping[str, float]
"""One number for all, one an asset in order, or by name (the others keep their default)."""

_NEGATIVE = 1e-8  # of the largest eigenvalue: what rounding may leave of a semi-definite matrix
_SINGULAR = 1e-12


def named_matrix(field: str, values: Any, assets: Sequence[str] | None = None) -> tuple[Array, list[str]]:
    """A finite float64[T, n] and its column names.

    Takes arrays, lists of rows, and frames (pandas, polars, Arrow) with their column names; names are
    ``0``, ``1``, … where there are none.

    Raises
    ------
    PortfolioError
        For another shape, a value that is not finite, names that repeat or do not fit.
    """
    found = getattr(values, "column_names", None)  # Arrow
    found = getattr(values, "columns", None) if found is None else found
    if hasattr(values, "to_pandas") and not hasattr(values, "to_numpy"):
        values = values.to_pandas()
    values = values.to_numpy() if hasattr(values, "to_numpy") else values
    if np.iscomplexobj(values):
        raise PortfolioError(field, "holds complex numbers", "give real ones")
    try:
        if np.ma.is_masked(values):  # what is masked is a gap, not the number under it
            values = np.ma.filled(values.astype(np.float64), np.nan)
        matrix = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise PortfolioError(
            field, f"not a matrix of numbers: {exc}", "drop columns of dates or text"
        ) from exc
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise PortfolioError(
            field, f"shape {matrix.shape}", "rows are times or scenarios, columns are assets"
        )
    names = assets if assets is not None else found
    names = [str(name) for name in names] if names is not None else [str(i) for i in range(matrix.shape[1])]
    _check_names(field, names, matrix.shape[1])
    bad = np.argwhere(~np.isfinite(matrix))
    if len(bad):
        row, column = (int(i) for i in bad[0])
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise PortfolioError(
            f"{field}[{row}, {names[column]!r}]",
            f"is {matrix[row, column]}{more}",
            "drop or fill such rows first; a gap is not a return of 0",
        )
    return matrix, names


def _check_names(field: str, names: list[str], columns: int) -> None:
    if len(names) != columns:
        raise PortfolioError(
            "assets", f"{len(names)} names for {columns} columns of {field}", "name each once"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PortfolioError("assets", f"{', '.join(twice)} more than once", "name each asset once")


def vector(field: str, values: Vector, assets: Sequence[str], default: float | None = None) -> Array:
    """A finite float64[n], from one number, n numbers, or numbers by name."""
    n = len(assets)
    if isinstance(values, Mapping):
        index = positions(field, values, assets)
        missing = [name for name in assets if name not in values]
        if missing and default is None:
            raise PortfolioError(field, f"nothing for {_some(missing)}", "give a value for every asset")
        found = np.full(n, np.nan if default is None else default)
        found[index] = [float(value) for value in values.values()]
    else:
        raw = np.asarray(values, dtype=np.float64)
        if raw.shape not in ((), (n,)):
            raise PortfolioError(field, f"shape {raw.shape} for {n} assets", "one number, or one an asset")
        found = np.full(n, raw) if raw.ndim == 0 else raw.copy()
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise PortfolioError(f"{field}[{assets[bad[0]]!r}]", f"is {found[bad[0]]}", "give a finite number")
    return found


def positions(field: str, names: Sequence[str] | Mapping[str, Any], assets: Sequence[str]) -> list[int]:
    """Where the names stand among the assets; unknown ones are an error."""
    unknown = [name for name in names if name not in set(assets)]
    if unknown:
        raise PortfolioError(field, f"unknown: {_some(unknown)}", f"the assets are {_some(list(assets))}")
    order = {name: i for i, name in enumerate(assets)}
    return [order[name] for name in names]


def covariance_matrix(values: Any, assets: Sequence[str] | None = None) -> tuple[Array, list[str]]:
    """A symmetric positive definite float64[n, n] and its names.

    Raises
    ------
    PortfolioError
        For what :func:`named_matrix` refuses, and for a matrix that is not square, not symmetric, or
        singular.
    """
    matrix, names = named_matrix("covariance", values, assets)
    n = len(matrix)
    if matrix.shape != (n, n):
        raise PortfolioError("covariance", f"shape {matrix.shape}", "it must be square")
    worst = np.unravel_index(np.argmax(np.abs(matrix - matrix.T)), matrix.shape)
    if abs(matrix[worst] - matrix.T[worst]) > 1e-9 * np.abs(matrix).max():
        row, column = (names[int(i)] for i in worst)
        raise PortfolioError(
            f"covariance[{row!r}, {column!r}]", "differs from its mirror image", "make it symmetric"
        )
    matrix = 0.5 * (matrix + matrix.T)
    eigenvalues = np.linalg.eigvalsh(matrix)
    if eigenvalues[0] < -_NEGATIVE * abs(eigenvalues[-1]):
        raise PortfolioError(
            "covariance",
            f"has the eigenvalue {eigenvalues[0]:.3g}: no covariance",
            "take one of real returns",
        )
    rank = int((eigenvalues > _SINGULAR * eigenvalues[-1]).sum())
    if rank < n:
        raise PortfolioError(
            "covariance",
            f"is singular: rank {rank} of {n}",
            "shrink it with ledoit_wolf(returns), take more observations, or drop sums of other assets",
        )
    return matrix, names


def _some(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
