"""The trade sign: the venue's where it sends one, else by rule. Exact on the integer price grid."""

from __future__ import annotations

from .layout import RULE_CLNV, RULE_EMO, RULE_LEE_READY, RULE_QUOTE, RULE_TICK
from .target import jit


@jit
def sign_by_rule(rule, px, has_quote, bid, ask, tick_dir):  # type: ignore[no-untyped-def]
    """Sign of a trade whose aggressor is unknown: +1 buyer, −1 seller, 0 undetermined.

    Lee and Ready (1991): the quote rule, at the mid the tick rule. EMO (Ellis, Michaely and O'Hara
    2000): at the ask +1, at the bid −1, else the tick rule. CLNV (Chakrabarty, Li, Nguyen and Van
    Ness 2007): the quote rule within the outer 30 % of the spread on either side, else (in the
    middle and outside the quotes) the tick rule. Without a quote before the trade these three fall
    back to the tick rule, and the quote rule gives 0.

    Parameters
    ----------
    rule : int64
        ``RULE_*``.
    px, bid, ask : int64
        Trade price and the quote strictly before the trade, 1e-9.
    has_quote : bool
        Whether there is such a quote.
    tick_dir : int64
        The tick rule's sign, sign(p − last different p); 0 before the first change.
    """
    if rule == RULE_TICK:
        return tick_dir
    if not has_quote:
        if rule == RULE_QUOTE:
            return 0
        return tick_dir
    if rule == RULE_EMO:
        if px == ask and px != bid:
            return 1
        if px == bid and px != ask:
            return -1
        return tick_dir
    if rule == RULE_CLNV:
        spread = ask - bid
        band = 3 * (spread // 10) + 3 * (spread % 10) // 10  # ⌊0.3·spread⌋ without overflow
        if bid < ask:
            if 0 <= ask - px <= band:
                return 1
            if 0 <= px - bid <= band:
                return -1
        return tick_dir
    above = 2 * px - (bid + ask)
    if above > 0:
        return 1
    if above < 0:
        return -1
    if rule == RULE_LEE_READY:
        return tick_dir
    return 0
