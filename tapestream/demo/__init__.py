"""`tapestream demo`: a market, the pipeline, what it sees, and at the end whether it adds up."""
