"""Faust agents and their compute: tick worker, frames, kernels and signals."""
