"""Benchmarks: one module a name, run by ``tapestream bench NAME``."""
