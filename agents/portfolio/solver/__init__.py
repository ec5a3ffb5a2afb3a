"""Convex programs of portfolios: a dense interior-point method, and bounds that prove what it finds."""
