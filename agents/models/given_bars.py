"""The bars that a request names: in itself, or in a file under the data folder. Pure but for reading that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.models.bar_files import read_bars
from agents.models.bars import Bars, make_bars
from schemas.errors import ModelError
from streams.files import path_inside


def given_bars(request: Mapping[str, Any], data_dir: Path, usual_ms: int | None = None) -> list[Bars]:
    """Bars by symbol from ``bars`` or ``path``, all of them or those of ``symbols``, in that order.

    Parameters
    ----------
    request
        With ``window_ms``, recorded bars are those of that length.
    data_dir
        The folder that ``path`` is in: a file, or a folder of recorded bars.
    usual_ms
        The length of recorded bars when the request has none; see :func:`~agents.models.bar_files.read_bars`.

    Raises
    ------
    ModelError
        Whose ``field`` is the path in the request: neither or both are given, a file lies outside of the
        folder or is none, bars cannot be, a symbol has none.
    """
    given, path = request.get("bars"), request.get("path")
    if (given is None) == (path is None):
        raise ModelError("bars", "either bars or a path is needed", "not both, not neither")
    if path is not None:
        if not isinstance(path, str):
            raise ModelError("path", "must be a text", "name a file under the data folder")
        length_ms = request.get("window_ms")
        if length_ms is not None and (not isinstance(length_ms, int) or length_ms < 1):
            raise ModelError("window_ms", "must be a whole number above 0", "the length of recorded bars")
        series = read_bars(_inside(data_dir, path), "path", length_ms, usual_ms)
    elif isinstance(given, Mapping) and all(isinstance(columns, Mapping) for columns in given.values()):
        series = [make_bars(str(symbol), columns) for symbol, columns in given.items()]
    else:
        raise ModelError("bars", "must be an object of symbols", "{symbol: {open: […], …}}")
    series = _chosen(series, request.get("symbols"))
    if not series:
        raise ModelError("bars" if path is None else "path", "there is no symbol in it", "send one at least")
    return series


def _inside(data_dir: Path, name: str) -> Path:
    path = path_inside(data_dir, name)
    if path is None:
        raise ModelError(
            "path", f"{name[:200]!r} is outside of the data folder", f"put the file under {data_dir}"
        )
    return path


def _chosen(series: list[Bars], wanted: Any) -> list[Bars]:
    if wanted is None:
        return series
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise ModelError("symbols", "must be a list of texts", "or leave it out")
    known = {bars.symbol: bars for bars in series}
    for index, name in enumerate(wanted):
        if name not in known:
            raise ModelError(f"symbols[{index}]", f"there are no bars of {name}", "leave it out")
    return [known[name] for name in wanted]


def require_length(series: Sequence[Bars], least: int, source: str) -> None:
    """Every symbol has ``least`` bars.

    Parameters
    ----------
    source
        The request's field that they come from.

    Raises
    ------
    ModelError
        Naming the first symbol that has fewer.
    """
    for bars in series:
        if len(bars) < least:
            raise ModelError(
                f"{source}.{bars.symbol}",
                f"{len(bars)} bars are too few, {least} are needed",
                "give a longer history",
            )
