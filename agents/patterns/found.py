"""What is found, as facts; every one with the bar at which it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from agents.kernels.patterns.shapes import KINDS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shape:
    """One of the ten of Lo, Mamaysky and Wang.

    Attributes
    ----------
    kind
        HS, IHS, BTOP, BBOT, TTOP, TBOT, RTOP, RBOT, DTOP or DBOT.
    bars, prices
        Its extrema: five, or the two of a double.
    known_at
        The first bar at whose close it can be told.
    """

    kind: str
    bars: tuple[int, ...]
    prices: tuple[float, ...]
    known_at: int


class Shapes(Sequence[Shape]):
    """Shapes in the order in which they are known, kept as arrays: there may be many.

    Attributes
    ----------
    kinds, known_at
        int64 [shapes]; kinds are places in ``KINDS``.
    bars
        int64 (shapes, 5), −1 where there are fewer.
    """

    def __init__(self, rows: Ints, prices: Floats) -> None:
        self.kinds, self.known_at, self.bars = rows[:, 0], rows[:, 1], rows[:, 3:]
        self._prices = prices

    def __len__(self) -> int:
        return len(self.kinds)

    @overload
    def __getitem__(self, at: int) -> Shape: ...

    @overload
    def __getitem__(self, at: slice) -> list[Shape]: ...

    def __getitem__(self, at: int | slice) -> Shape | list[Shape]:
        """A shape, or a list of them."""
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        bars = self.bars[at][self.bars[at] >= 0]
        prices = tuple(float(self._prices[bar]) for bar in bars)
        return Shape(KINDS[self.kinds[at]], tuple(bars.tolist()), prices, int(self.known_at[at]))

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        numbers = np.bincount(self.kinds, minlength=len(KINDS))
        return dict(zip(KINDS, numbers.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Swing:
    """A high above, or a low below, those around it."""

    bar: int
    price: float
    is_high: bool
    known_at: int


@dataclass(frozen=True, slots=True)
class Level:
    """A price at which swings cluster.

    Attributes
    ----------
    price
        Mean of its touches.
    touches, highs
        Swings at it, and how many of them were highs: at a resistance most, at a support few.
    first_bar, last_bar
        Bars of its first and its last touch.
    strength
        Touches, each worth half as much when it is a half-life old.
    known_at
        The bar at which it had enough touches to be a level.
    """

    price: float
    touches: int
    highs: int
    first_bar: int
    last_bar: int
    strength: float
    known_at: int

    def side(self, price: float) -> str:
        """What the level is for a market at ``price``: ``support`` below it, else ``resistance``."""
        return "support" if self.price <= price else "resistance"


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line: price at a bar."""

    bar: int
    price: float
    slope: float

    def at(self, bar: float) -> float:
        """Its price at a bar."""
        return self.price + self.slope * (bar - self.bar)


@dataclass(frozen=True, slots=True)
class Triangle:
    """Two trend lines that run together.

    Attributes
    ----------
    kind
        ``ascending``, ``descending`` or ``symmetric``.
    swings
        Its touches, in order.
    upper, lower
        Least-squares lines through the highs and the lows among them.
    apex
        The bar at which the lines meet.
    known_at
        The bar at which its last swing is known.
    breakout_bar, breakout
        The first later bar, before the apex, that closes outside, and +1 above or −1 below; None and 0 if
        none has so far.
    """

    kind: str
    swings: tuple[Swing, ...]
    upper: Line
    lower: Line
    apex: float
    known_at: int
    breakout_bar: int | None
    breakout: int


@dataclass(frozen=True, slots=True)
class Match:
    """A stretch that looks like a template.

    Attributes
    ----------
    bar, length
        Its first bar, and how many it has.
    distance
        z-normalised Euclidean distance: 0 the same shape, √(2·length) no likeness, 2√length the opposite.
    known_at
        The bar from which on nothing can replace it.
    """

    bar: int
    length: int
    distance: float
    known_at: int
