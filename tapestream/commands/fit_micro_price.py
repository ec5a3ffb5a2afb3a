"""``tapestream fit-micro-price``: tables for the ``micro_price`` feature, from recorded quotes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    paths: Annotated[list[Path], typer.Argument(help="Recorded files with quotes, any format of replay.")],
    out: Annotated[Path, typer.Option(help="Where to write the tables, as JSON.")] = Path("micro-price.json"),
    symbols: Annotated[str, typer.Option(help="Only these, joined by commas.")] = "",
    tick_size: Annotated[
        float, typer.Option(min=0.0, help="Price step; 0 takes the greatest that fits a symbol's quotes.")
    ] = 0.0,
    imbalances: Annotated[int, typer.Option(min=2, max=100, help="Buckets of the queue imbalance.")] = 10,
    spreads: Annotated[int, typer.Option(min=1, max=50, help="Spreads in ticks told apart.")] = 4,
    least_quotes: Annotated[int, typer.Option(min=2, help="Skip symbols with fewer quotes.")] = 1_000,
) -> None:
    """Fit Stoikov's micro-price (2018) to recorded quotes, a table a symbol.

    Use the tables by TAPESTREAM_MICRO_PRICE_TABLE=FILE, on days that come after those of the fit.
    """
    from agents.micro_price_fit import FitOptions, fit_tables
    from agents.micro_prices import write_tables
    from schemas.errors import SourceError
    from schemas.ticks import PRICE_SCALE
    from streams.replay import Source, SourceSpec

    wanted = tuple(name for name in symbols.split(",") if name)
    options = FitOptions(round(tick_size * PRICE_SCALE), imbalances, spreads, least_quotes)
    fit = fit_tables(Source(SourceSpec(tuple(paths), symbols=wanted)).blocks(), options)
    for symbol, count in fit.too_few.items():
        typer.echo(f"{symbol}: {count} quotes are too few, no table", err=True)
    if not fit.tables:
        raise SourceError(
            "no symbol has enough quotes for a table", "give more files, or lower --least-quotes"
        )
    write_tables(out, fit.tables)
    for symbol, table in fit.tables.items():
        largest = abs(table.adjustment).max()
        typer.echo(f"{symbol}: tick {table.tick_size / PRICE_SCALE:g}, adjustments up to {largest:.3g}")
    typer.echo(f"wrote {out}; use it by TAPESTREAM_MICRO_PRICE_TABLE={out}")
