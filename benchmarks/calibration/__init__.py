"""The simulator's models held to what they stand for: `python -m benchmarks.calibration`."""
