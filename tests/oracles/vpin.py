"""VPIN by pouring trades into buckets, one piece at a time."""

from __future__ import annotations

from tests.oracles.formulas import NAN, normal_cdf, stdev


def vpin_series(trades, n_buckets, bucket_trades):
    """VPIN after each of ``trades`` (price, size, sign); NaN until ``n_buckets`` buckets are full."""
    size_of_bucket = None
    done: list[tuple[float, int]] = []  # |buy − sell|, price change
    now = {1: 0.0, -1: 0.0, 0: 0.0}
    open_px = None
    values = []

    def close(px):
        nonlocal now, open_px
        move = px - open_px
        past = [m for _, m in done[-n_buckets:]]
        share = 0.5
        if len(past) >= 2 and stdev(past) > 0:
            share = normal_cdf(move / stdev(past))
        buy = now[1] + share * now[0]
        sell = now[-1] + (1 - share) * now[0]
        done.append((abs(buy - sell), move))
        now = {1: 0.0, -1: 0.0, 0: 0.0}
        open_px = px

    for i, (px, size, sign) in enumerate(trades):
        if open_px is None:
            open_px = px
        if size_of_bucket is None:
            now[sign] += size
            if i + 1 >= bucket_trades and sum(now.values()) > 0:
                size_of_bucket = sum(now.values())
                close(px)
        else:
            while size > 0:
                piece = min(size, size_of_bucket - sum(now.values()))
                now[sign] += piece
                size -= piece
                if sum(now.values()) >= size_of_bucket:
                    close(px)
        if len(done) < n_buckets:
            values.append(NAN)
        else:
            values.append(sum(imbalance for imbalance, _ in done[-n_buckets:]) / n_buckets / size_of_bucket)
    return values
