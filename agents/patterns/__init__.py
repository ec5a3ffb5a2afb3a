"""Chart patterns for people: bars in, findings out, each with the bar at which it is known.

>>> from agents import patterns
>>> [shape.kind for shape in patterns.shapes(closes)]  # doctest: +SKIP

``docs/patterns.md`` says what is found and how; :func:`agents.patterns.plot.plot` shows it.
"""

from agents.patterns.found import Level, Line, Match, Shape, Shapes, Swing, Triangle
from agents.patterns.search import distances, levels, matches, shapes, swings, triangles

__all__ = [
    "Level",
    "Line",
    "Match",
    "Shape",
    "Shapes",
    "Swing",
    "Triangle",
    "distances",
    "levels",
    "matches",
    "shapes",
    "swings",
    "triangles",
]
