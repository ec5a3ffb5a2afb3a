"""The simulated market: ticks of a seed, with the truth planted in them, and faults on request."""
