"""What a researcher could simulate gossip with, side by side: `python -m benchmarks simulators`."""
