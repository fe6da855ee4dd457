"""A replay held against the record: what can be replayed, what agrees, and what that proves. Pure."""
