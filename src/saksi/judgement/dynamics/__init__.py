"""How training went: values that leap out of those before them, and updates that take long. Nothing here accuses."""
