"""Who acts: those who come and go, ask, and lie."""
