"""Floor 2: decides. No clock, no files, no sockets, no torch."""
