"""Real processes killed and frozen at random moments of paid jobs: `make chaos SEED=1`.

Not collected by pytest: it takes minutes. docs/reliability.md has the figures of some runs.
"""
