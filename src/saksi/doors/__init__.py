"""Floor 5: where people and programs come in."""
