"""exp, log and Φ from plain float64 arithmetic, so that every platform computes the same bits.

A C library's ``exp`` and ``log`` differ in the last bit between versions, between processors of the
same family (they pick variants at run time) and from a GPU's. These do not, and cost less here.
"""

from __future__ import annotations

import numpy as np

from .target import jit

_STEPS = 64
_STEPS_PER_LN2 = _STEPS / 0.6931471805599453
# ln 2 / 64 in two parts: the first has trailing zeros enough that a multiple up to 2^17 is exact.
_LN2_HIGH = 0.01083042468962958
_LN2_LOW = 6.619564634077006e-12
_LN2 = 0.6931471805599453
_FRACTIONS = np.array([2.0 ** (-j / _STEPS) for j in range(_STEPS)])
_POWERS = np.array([2.0**-k for k in range(1075)])
_UNDERFLOW = 745.0


@jit
def exp_neg(x):  # type: ignore[no-untyped-def]
    """exp(−x) for x ≥ 0 in float64, to 1 ulp; 0 beyond the smallest subnormal.

    Table of 2^(−j/64) and a polynomial of degree 5 on |r| ≤ ln2/128 (remainder below 2^-54), after
    Tang, "Table-driven implementation of the exponential function" (ACM TOMS 15, 1989).
    """
    if not x < _UNDERFLOW:
        return 0.0
    steps = int(x * _STEPS_PER_LN2 + 0.5)
    r = (x - steps * _LN2_HIGH) - steps * _LN2_LOW
    tail = r * (1.0 - r * (0.5 - r * (1.0 / 6.0 - r * (1.0 / 24.0 - r * (1.0 / 120.0)))))
    fraction = _FRACTIONS[steps & 63]
    return (fraction - fraction * tail) * _POWERS[steps >> 6]


@jit
def log_ratio(new, old):  # type: ignore[no-untyped-def]
    """log(new / old) of two positive floats, to a few ulp also where they are nearly equal.

    2·artanh((new − old) / (new + old)): the difference is taken before it is rounded away, which
    ``log(new) − log(old)`` does not do (at a price of 60,000 that loses nine of the return's digits).
    """
    z = (new - old) / (new + old)
    z2 = z * z
    if z2 < 6.103515625e-05:
        return 2.0 * z * (1.0 + z2 * (1.0 / 3.0 + z2 * (0.2 + z2 * (1.0 / 7.0 + z2 * (1.0 / 9.0)))))
    halvings = 0
    if z2 > 0.02943725152285942:  # a factor beyond √2: the logarithm is large enough for a plain quotient
        y = new / old
        while y > 1.4142135623730951:
            y *= 0.5
            halvings += 1
        while y < 0.7071067811865476:
            y *= 2.0
            halvings -= 1
        z = (y - 1.0) / (y + 1.0)
        z2 = z * z
    series = 0.0
    for k in range(12, -1, -1):
        series = series * z2 + 1.0 / (2 * k + 1)
    return 2.0 * z * series + halvings * _LN2


@jit
def normal_cdf(x):  # type: ignore[no-untyped-def]
    """Φ(x) of the standard normal to about 1e-15: Hart's approximation as given by West (2005)."""
    a = abs(x)
    if not a <= 37.0:
        tail = 0.0
    else:
        e = exp_neg(a * a * 0.5)
        if a < 7.07106781186547:
            top = 3.52624965998911e-02 * a + 0.700383064443688
            top = top * a + 6.37396220353165
            top = top * a + 33.912866078383
            top = top * a + 112.079291497871
            top = top * a + 221.213596169931
            top = top * a + 220.206867912376
            bottom = 8.83883476483184e-02 * a + 1.75566716318264
            bottom = bottom * a + 16.064177579207
            bottom = bottom * a + 86.7807322029461
            bottom = bottom * a + 296.564248779674
            bottom = bottom * a + 637.333633378831
            bottom = bottom * a + 793.826512519948
            bottom = bottom * a + 440.413735824752
            tail = e * top / bottom
        else:
            fraction = a + 0.65
            fraction = a + 4.0 / fraction
            fraction = a + 3.0 / fraction
            fraction = a + 2.0 / fraction
            fraction = a + 1.0 / fraction
            tail = e / fraction / 2.506628274631
    if x > 0.0:
        return 1.0 - tail
    return tail
