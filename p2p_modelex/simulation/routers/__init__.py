"""Gossip routers alone, without cores: attacks on gossip, and gossip in the large."""
