"""Where everything lies: the words of a symbol's record and of the arrays beside it. Imports nothing.

A record is a row of 8-byte words seen through two views of the same memory, ``sf`` (float64) and
``si`` (int64). Words that one kind of tick touches share cache lines of eight words: a quote that
leaves the mid where it was stays within the first three lines.

Prices in a record are fixed-point integers; "doubled mid" is bid + ask, an integer twice the mid.
"""

from __future__ import annotations

NEVER = 9223372036854775807
"""A time that does not come: int64's largest."""
ALWAYS = -9223372036854775808
"""A time before all others; as a bit pattern the sign bit of a word."""

MAX_WINDOWS = 16
MAX_WINDOW_NS = 7 * 86_400 * 1_000_000_000
MAX_PRICE = 4_000_000_000_000_000_000
"""Above this bid + ask would not fit int64."""

RULE_LEE_READY, RULE_EMO, RULE_CLNV, RULE_TICK, RULE_QUOTE = 0, 1, 2, 3, 4

# --- constants: C int64, K float64 -----------------------------------------------------------------
C_BASE, C_N_WINDOWS, C_HORIZON, C_GRID, C_RULE, C_ROLLING, C_BUCKETS, C_BUCKET_TRADES = range(8)
C_WINDOWS = 8
K_BETA, K_BETA_NS, K_FORGET, K_BASE_S = range(4)
K_SIZE = 4

# --- the record, line by line ----------------------------------------------------------------------
CLOCK = 0  # latest event time seen, ns
NEXT_DUE = 1  # earliest time at which waiting trades are evaluated, ns; NEVER when none wait
QUOTE_SEQ = 2  # three words: highest sequence, mask of those seen below it, its event time
QUOTE_SEQ_MASK, QUOTE_SEQ_TS = 3, 4
SPREAD_SINCE = 5  # time from which the standing spread is not yet in A_TWA
R1, R2 = 6, 7  # |last|, |one before| log return of the mid; NaN when there is none

BOOK_TS = 8  # time of the standing quote; NEVER when there is none
BID, ASK, BID_SZ, ASK_SZ = 9, 10, 11, 12
PREV_TS, PREV_BID, PREV_ASK = 13, 14, 15  # the last quote of an earlier time; NEVER when there is none

ACC = 16  # the accumulators of the open base window, A_*
ACC_SIZE = 28
TRADE_SEQ = 44
TRADE_SEQ_MASK, TRADE_SEQ_TS = 45, 46
LAST_PX = 47  # price of the last trade; 0 before the first

TICK_DIR = 48  # sign of the last price change
DPX, N_DPX = 49, 50  # the last trade price change, fixed-point; 0 or 1: whether there is one
HAWKES_A, HAWKES_TS = 51, 52  # Σ exp(−β(t−tᵢ)) at the last trade, that trade included; its time
V_SIZE, V_FILL, V_BUY = 53, 54, 55  # VPIN: bucket volume (0 until known), and what the open bucket holds

V_SELL, V_UNSIGNED, V_OPEN_PX = 56, 57, 58
V_HEAD, V_COUNT, V_SEEN = 59, 60, 61  # next ring position, buckets in the ring, trades before V_SIZE
WAIT_HEAD = 62  # slot of the trades due first
MICRO_TABLE = 63  # 1 + index of the symbol's micro-price table; 0 when there is none

M0, M1, M2 = 64, 65, 66  # weighted moments of trade counts a base window
M_LAST, M_FIRST = 67, 68  # base window they include last, and first; NEVER before the first
MICRO_TICK = 69  # tick size of the micro-price table, fixed-point
WAIT_COUNT, LAST_DUE = 70, 71  # slots in use; time at which the last of them is due
RECORD = 72
"""Words a record; nine cache lines, an odd number so that the symbols' first lines spread over the cache."""

# --- accumulators of a window, relative to ACC or to the start of a longer window's block -----------
A_QUOTES, A_OFI, A_TWA, A_TWA_NS, A_RV, A_BP, A_MED, A_RETURNS = range(8)
A_PAIRS, A_TRIPLES, A_TRADES, A_VOLUME, A_BUY, A_SELL, A_NOTIONAL, A_EFFECTIVE = range(8, 16)
A_EFFECTIVE_N, A_OPEN, A_HIGH, A_LOW, A_CLOSE, A_ROLL_X, A_ROLL_Y, A_ROLL_XY = range(16, 24)
A_ROLL_N, A_REALIZED, A_IMPACT, A_RESOLVED = range(24, 28)

# --- trades waiting for the mid Δ later: SLOTS slots of SLOT words -----------------------------------
GRID_STEPS = 32
MIN_HORIZON_NS = 1_024  # below, the grid of whole nanoseconds is too coarse for the ring
SLOTS = 34
S_DUE, S_N, S_Q, S_QP, S_QM, S_REF = range(6)
# due time, count, Σq, Σq(2p − ref), Σq(doubled mid − ref); ref is the doubled mid at the first of them
SLOT = 8  # one cache line

# --- history of a (symbol, window): H_* words, then four rings of C_ROLLING words --------------------
H_COUNT = 0  # rows emitted so far
H_MID = 1  # doubled mid of the last emitted row; 0 when there was none
H_INDEX = 2  # window number of the last emitted row
H_OFI = 3  # its order-flow imbalance
H_HEAD = 4
RING_MOVE, RING_FLOW, RING_ILLIQUIDITY, RING_LAGGED_OFI = range(4)
RINGS = 4

# --- outcome of a tick -----------------------------------------------------------------------------
PROCESSED, LATE, DUPLICATE, DEAD = 0, 1, 2, 3
CLASS_MASK = 3
FLAG_GAP, FLAG_RESET, FLAG_CROSSED = 4, 8, 16

EVENT_LATE, EVENT_DUPLICATE, EVENT_GAP, EVENT_RESET, EVENT_CROSSED = 1, 2, 3, 4, 5

# --- the partition's clock: P_* words ----------------------------------------------------------------
P_WATERMARK, P_OPEN, P_CLOSE, P_SYMBOLS = range(4)
P_ACTIVE = 4  # MAX_WINDOWS counts of active symbols
P_INDEX = P_ACTIVE + MAX_WINDOWS  # MAX_WINDOWS numbers of the open window
P_SIZE = P_INDEX + MAX_WINDOWS


def fingerprint() -> str:
    """Every name and position above as one line, so that a checkpoint of another layout is refused."""
    names = sorted(name for name, value in globals().items() if name.isupper() and isinstance(value, int))
    return ",".join(f"{name}={globals()[name]}" for name in names)
