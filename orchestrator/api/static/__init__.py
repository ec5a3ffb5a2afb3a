"""Pages and their assets."""
