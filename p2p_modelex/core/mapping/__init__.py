"""Spreading many prompts over members: who is asked next, what is asked again, and when to stop."""
