"""What must hold at every step, read from outside the cores."""
