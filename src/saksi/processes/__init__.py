"""Floor 4: long-running parts: the agent."""
