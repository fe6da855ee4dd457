"""Does one attempt really go on where another saved? State, generators, schedule and data order at the seam."""
