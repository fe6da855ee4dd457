"""The auditor: replays a run's own program where it can change nothing, and reads what that left."""
