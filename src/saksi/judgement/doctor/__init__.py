"""Which ingredient of reproducibility is missing: launches of one command, and what their parting says."""
