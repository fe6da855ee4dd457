"""The agent: observes, checks, signs, and is the only writer of the log."""
