"""A partition from its first tick to its last: every row and bar, each from the symbol's whole history.

Nothing here is carried from tick to tick: a window's features are computed from the list of all
ticks of the symbol that were processed before its close.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

from tests.oracles import formulas as f
from tests.oracles.hawkes import intensity
from tests.oracles.ticks import DUPLICATE, LATE, PROCESSED, Tick, Verdicts, judge
from tests.oracles.vpin import vpin_series

NAN = math.nan
RULES = {0: "lee_ready", 1: "emo", 2: "clnv", 3: "tick", 4: "quote"}


@dataclass
class Entry:
    """A processed tick of one symbol."""

    tick: Tick
    clock: int  # largest event time of the symbol so far
    base: int  # number of its base window
    before: tuple[int, int] | None = None  # trade: quote strictly before it
    sign: int = 0


@dataclass
class Outcome:
    """What the kernel should say."""

    verdicts: Verdicts
    rows: list[dict] = field(default_factory=list)
    bars: list[dict] = field(default_factory=list)


def run(config, ticks, micro=None, **how) -> Outcome:
    """Rows and bars of all windows that the final watermark has passed, in the order of emission."""
    outcome = Outcome(judge(ticks, config.windows_ns[0], **how))
    books: dict[int, Symbol] = {}
    for tick, verdict in zip(ticks, outcome.verdicts.classes, strict=True):
        if verdict == PROCESSED:
            books.setdefault(tick.symbol, Symbol(config, (micro or {}).get(tick.symbol))).add(tick)
        assert verdict in (PROCESSED, LATE, DUPLICATE, 3)
    found = []
    for symbol, book in books.items():
        for w, length in enumerate(config.windows_ns):
            numbers = {e.tick.ts // length for e in book.entries}
            found += [((number + 1) * length, w, symbol, number) for number in numbers]
    for close, w, symbol, number in sorted(found):
        if close > outcome.verdicts.watermark:
            break
        row, bar = books[symbol].close(w, number)
        where = {
            "symbol_id": symbol,
            "window": w,
            "open_ns": close - config.windows_ns[w],
            "close_ns": close,
        }
        outcome.rows.append(where | row)
        if bar:
            outcome.bars.append(where | bar)
    return outcome


class Symbol:
    """One symbol's processed ticks, and its rows by window length."""

    def __init__(self, config, micro):
        self.config = config
        self.micro = micro
        self.entries: list[Entry] = []
        self.rows: dict[int, list[dict]] = {w: [] for w in range(len(config.windows_ns))}

    def add(self, tick: Tick) -> None:
        clock = max([tick.ts] + [e.clock for e in self.entries[-1:]])
        entry = Entry(tick, clock, tick.ts // self.config.windows_ns[0])
        if tick.kind == 1:
            entry.before = self.quote_before(tick.ts)
            prices = [e.tick.px for e in self.entries if e.tick.kind == 1] + [tick.px]
            rule = RULES[self.config.sign_rule]
            entry.sign = tick.aggressor or f.trade_sign(rule, prices, entry.before)
        self.entries.append(entry)

    def good_quotes(self):
        return [e for e in self.entries if e.tick.kind == 0 and e.tick.bid <= e.tick.ask]

    def trades(self):
        return [e for e in self.entries if e.tick.kind == 1]

    def quote_before(self, ts):
        """The last quote of a time before ``ts``, among those of the last two distinct times."""
        quotes = self.good_quotes()
        for clock in sorted({q.clock for q in quotes}, reverse=True)[:2]:
            if clock < ts:
                last = [q.tick for q in quotes if q.clock == clock][-1]
                return last.bid, last.ask
        return None

    def close(self, w, number):
        """(row, bar or None) of window ``number`` of length w, after all earlier ones."""
        length, base = self.config.windows_ns[w], self.config.windows_ns[0]
        close_ns = (number + 1) * length
        past = Symbol(self.config, self.micro)
        past.entries = [e for e in self.entries if e.tick.ts < close_ns]
        inside = [e for e in past.entries if e.tick.ts // length == number]
        bases = sorted({e.base for e in inside})
        row = {"n_quotes": sum(e.tick.kind == 0 for e in inside)}
        row |= past.flow(bases) | past.book() | past.costs(bases) | past.variation(bases)
        row |= past.toxicity() | past.hawkes(close_ns, base)
        row |= self.rolling(w, number, row)
        self.rows[w].append(row)
        prices = [e.tick.px for e in inside if e.tick.kind == 1]
        if not prices:
            return row, None
        bar = {
            "open_px": prices[0],
            "high_px": max(prices),
            "low_px": min(prices),
            "close_px": prices[-1],
            "n_trades": len(prices),
            "volume": row["volume"],
            "notional": row["notional"],
            "vwap": row["vwap"],
            "buy_volume": row["buy_volume"],
        }
        return row, bar

    def flow(self, bases):
        trades = [e for e in self.trades() if e.base in bases]
        volume = sum(e.tick.size for e in trades)
        buy = sum(e.tick.size for e in trades if e.sign > 0)
        sell = sum(e.tick.size for e in trades if e.sign < 0)
        notional = sum(e.tick.px * 1e-9 * e.tick.size for e in trades)
        quotes = self.good_quotes()
        flow = 0.0
        for a, b in pairwise(quotes):
            if b.base in bases:
                flow += f.ofi([(q.tick.bid, q.tick.ask, q.tick.bid_sz, q.tick.ask_sz) for q in (a, b)])
        return {
            "n_trades": len(trades),
            "volume": volume,
            "buy_volume": buy,
            "sell_volume": sell,
            "notional": notional,
            "vwap": notional / volume if volume > 0 else NAN,
            "trade_imbalance": (buy - sell) / volume if volume > 0 else NAN,
            "ofi": flow,
        }

    def book(self):
        names = ("mid", "spread", "queue_imbalance", "weighted_mid", "micro_price")
        quotes = self.good_quotes()
        if not quotes:
            return dict.fromkeys(names, NAN)
        q = quotes[-1].tick
        out = dict.fromkeys(names, NAN) | {"mid": (q.bid + q.ask) / 2e9, "spread": (q.ask - q.bid) / 1e9}
        if q.bid_sz + q.ask_sz > 0:
            share = q.bid_sz / (q.bid_sz + q.ask_sz)
            out["queue_imbalance"] = (q.bid_sz - q.ask_sz) / (q.bid_sz + q.ask_sz)
            out["weighted_mid"] = (share * q.ask + (1 - share) * q.bid) * 1e-9
            if self.micro and q.ask > q.bid:
                tick_size, table = self.micro
                out["micro_price"] = f.micro_price(out["mid"], q.ask - q.bid, tick_size, share, table)
        return out

    def costs(self, bases):
        base, delta = self.config.windows_ns[0], self.config.impact_horizon_ns
        grid = max(1, delta // 32)
        active = sorted({e.base for e in self.entries})
        effective, realized, impact = [], [], []
        for e in self.trades():
            if e.before is None or e.sign == 0:
                continue
            p, m = e.tick.px * 2, sum(e.before)
            if e.base in bases:
                effective.append(e.sign * (p - m) * 1e-9)
            due = ((e.clock + delta) // grid + 1) * grid
            settled = [b for b in active if b >= e.base and (b + 1) * base >= due]
            if settled and settled[0] in bases:
                later = [q.tick for q in self.good_quotes() if q.clock < due][-1]
                realized.append(e.sign * (p - later.bid - later.ask) * 1e-9)
                impact.append(e.sign * (later.bid + later.ask - m) * 1e-9)
        return {
            "effective_spread": f.mean(effective),
            "realized_spread": f.mean(realized),
            "price_impact": f.mean(impact),
            "roll": f.roll(self.price_pairs(bases)) * 1e-9,
            "roll_pairs": self.price_pairs(bases),
            "spread_twa": self.spread_twa(bases),
        }

    def price_pairs(self, bases):
        trades = self.trades()
        return [
            (b.tick.px - a.tick.px, c.tick.px - b.tick.px)
            for a, b, c in zip(trades, trades[1:], trades[2:], strict=False)
            if c.base in bases
        ]

    def spread_twa(self, bases):
        quotes, base = self.good_quotes(), self.config.windows_ns[0]
        area = time = 0
        for number in bases:
            for q, following in zip_longest(quotes, quotes[1:]):
                start = max(q.clock, number * base)
                end = min(following.clock if following else (number + 1) * base, (number + 1) * base)
                if end > start:
                    area += (q.tick.ask - q.tick.bid) * (end - start)
                    time += end - start
        return area / time * 1e-9 if time else NAN

    def variation(self, bases):
        quotes = self.good_quotes()
        if not quotes:
            return {"rv": NAN, "bipower": NAN, "medrv": NAN}
        returns = []  # (base, |r|)
        for a, b in pairwise(quotes):
            old, new = a.tick.bid + a.tick.ask, b.tick.bid + b.tick.ask
            if new != old:
                returns.append((b.base, abs(math.log1p((new - old) / old))))
        here = [i for i, (number, _) in enumerate(returns) if number in bases]
        if not here:
            return {"rv": 0.0, "bipower": 0.0, "medrv": 0.0}
        r = [value for _, value in returns]
        return {
            "rv": sum(r[i] ** 2 for i in here),
            "bipower": f.bipower(len(here), [r[i] * r[i - 1] for i in here if i >= 1]),
            "medrv": f.medrv(len(here), [(r[i - 2], r[i - 1], r[i]) for i in here if i >= 2]),
        }

    def toxicity(self):
        trades = [(e.tick.px, e.tick.size, e.sign) for e in self.trades()]
        values = vpin_series(trades, self.config.vpin_buckets, self.config.vpin_bucket_trades)
        return {"vpin": values[-1] if values else NAN}

    def hawkes(self, close_ns, base):
        first = min(e.base for e in self.entries)
        counts = [0] * (close_ns // base - first)
        for e in self.trades():
            counts[e.base - first] += 1
        times = [e.clock for e in self.trades()]
        rate, n = intensity(
            times, close_ns, counts, base, self.config.hawkes_decay_per_s, 1 / self.config.rolling_windows
        )
        return {"hawkes_intensity": rate, "hawkes_branching": n}

    def rolling(self, w, number, row):
        earlier = self.rows[w]
        last = earlier[-1] if earlier else None
        row = row | {"number": number, "flow": row["buy_volume"] - row["sell_volume"]}
        row["mid_move"] = row["mid"] - last["mid"] if last else NAN
        row["lagged_ofi"] = last["ofi"] if last and last["number"] == number - 1 else NAN
        row["illiquidity"] = NAN
        if last and row["notional"] > 0:
            row["illiquidity"] = abs(math.log1p(row["mid_move"] / last["mid"])) / row["notional"]
        window = [*earlier, row][-self.config.rolling_windows :]
        moved = [r for r in window if not math.isnan(r["mid_move"])]
        paired = [r for r in moved if not math.isnan(r["lagged_ofi"])]
        slope, intercept, t, r2 = f.ols([r["lagged_ofi"] for r in paired], [r["mid_move"] for r in paired])
        return row | {
            "kyle_lambda": f.ols([r["flow"] for r in moved], [r["mid_move"] for r in moved])[0],
            "amihud": f.mean([r["illiquidity"] for r in window if not math.isnan(r["illiquidity"])]),
            "ofi_beta": slope,
            "ofi_alpha": intercept,
            "ofi_t": t,
            "ofi_r2": r2,
            "expected_move_bps": (intercept + slope * row["ofi"]) / row["mid"] * 1e4,
        }
