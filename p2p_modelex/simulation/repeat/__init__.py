"""A run again: its trace, its replay, and the smallest scenario that fails like it."""
