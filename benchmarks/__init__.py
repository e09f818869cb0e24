"""What Modelex costs, each in one run against a physical limit or a peer: docs/performance.md."""
