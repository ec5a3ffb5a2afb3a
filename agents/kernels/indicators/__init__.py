"""Technical indicators: scalar steps over a small state, and the loops that drive them.

A batch is the streaming step looped, so both give the same bits, and a series may be cut anywhere. May
import numpy and numba only; the layer for people is :mod:`agents.indicators`.
"""

from agents.kernels.indicators.table import TABLE, Indicator, Parameter

__all__ = ["TABLE", "Indicator", "Parameter"]
