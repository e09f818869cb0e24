"""GossipSub v1.1 as a model: one router a node, without IO, so that it can be compared with others.

Specification: github.com/libp2p/specs, pubsub/gossipsub/gossipsub-v1.1.md. Here: the mesh with its
degrees, heartbeat, GRAFT, PRUNE and backoff, outbound quotas (mesh.py), IHAVE and IWANT with the
limits of net/libp2p, flood publishing (router.py), and the peer scores (scores.py). Not here: the
fan-out of topics a router is not in, since each router is in its one topic, and the exchange of
peers by PRUNE, which net/libp2p drops.

Where py-libp2p, which the node ships, differs from the specification, `settings.Gossip` has a
setting and its default is py-libp2p's: `python -m benchmarks.calibration` holds one to the other.
"""

from p2p_modelex.simulation.models.gossip.messages import Message, MessageId, Rpc
from p2p_modelex.simulation.models.gossip.router import Router, Tally

__all__ = ["Message", "MessageId", "Router", "Rpc", "Tally"]
