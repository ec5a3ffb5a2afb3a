"""Keeping several processes as one: start in order, restart what crashes, drain in order, leave no orphan."""
