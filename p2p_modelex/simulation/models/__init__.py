"""What is around the nodes, as models: links, gossip, engines, chain, signatures."""
