"""A training run: session, processes, loop, hooks, records."""
