"""Checks: folds over records, the same code live in the agent and offline."""
