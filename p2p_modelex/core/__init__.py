"""What decides. Synchronous, deterministic machines: `step(input, now) -> effects`."""
