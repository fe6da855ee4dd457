"""Which ingredient of reproducibility is missing: launches of one command beside each other, and what their parting says."""
