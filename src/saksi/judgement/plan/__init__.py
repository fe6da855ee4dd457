"""The plan: what a project declares of its optimizer before it runs, and what is held to it."""
