"""What somebody declared to be expected in a run, and which findings that covers."""
