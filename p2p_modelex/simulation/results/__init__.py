"""What a run is measured by, and what is written of it."""
