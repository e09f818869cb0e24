"""Which provider gets a request: filters, scorers, probes, circuits. protocols/routing."""
