"""Floor 3: touches the world and decides nothing."""
