"""Dense work on a device: where arrays lie, products with them, what memory they need.

``cpu`` computes by NumPy. Every other name is torch's: ``cuda:0``, and ``cpu:0``, by which the path that a
GPU takes is tested without one. torch is imported only then. May import numpy and torch, and errors of ours.
"""
