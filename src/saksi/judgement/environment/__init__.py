"""What Python really executes: trees of files, their owners and their digests, judged without touching a file."""
