"""`saksi run`: the launcher. Imports neither typer nor rich, and starts fast."""
