"""The registry on chain and the directory: who is anchored there, and our own anchor."""
