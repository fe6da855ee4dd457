"""Where logs and blobs are kept."""
