"""Obvious, slow versions of what the kernels compute: lists, dicts, fractions, the formula as printed."""
