"""Signed claims: DSSE envelopes around in-toto statements."""
