"""Chart patterns over one price series: shapes, swings, levels, triangles, templates.

Positions are bars. Everything found has the bar at which it is known; nothing before that bar depends on
what comes after it. May import numpy and numba only; the layer for people is :mod:`agents.patterns`.
"""
