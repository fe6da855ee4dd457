"""Floor 0: names and immutable values. Imports nothing of saksi."""
