"""Floor 1: what can be proved from bytes: the log and signed statements. Pure."""
