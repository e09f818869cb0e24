"""The mesh as GossipSub 1.1 means it, where py-libp2p leaves it to whoever asks into it.

Of peer scores here is the part that counts for a mesh, first deliveries (P2): py-libp2p's own
scorer thrashes it. What each rule is worth under attack: simulations/results/gossip.md.
"""

import random
from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Any

from libp2p.peer.id import ID

from p2p_modelex.net.libp2p.gossip_frames import FramedGossipSub

FIRSTS_DECAY = 0.9916
"""Of the messages that a neighbour brought first, each heartbeat: half of it is gone after 82."""
FIRSTS_MAX = 1500.0
FIRSTS_FORGOTTEN = 0.01
DEGREE_SCORE = 4
"""Members that a mesh which is too large keeps for what they brought (D_score), not by chance."""
LOOK_BEATS = 10
"""Heartbeats between two looks at whether the mesh brings anything (opportunistic grafting)."""
LOOK_FIRSTS = 5.0
"""A mesh whose median member brought less gets LOOK_PEERS that brought more than it."""
LOOK_PEERS = 2


class ScoredGossipSub(FramedGossipSub):
    """GossipSub whose meshes prefer who brings messages first, and that tells of them whom it put
    out, too.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._firsts: dict[str, dict[ID, float]] = {}
        self._beats = 0

    def on_first(self, peer: ID, topic: str) -> None:
        """A neighbour brought a good message before all others."""
        firsts = self._firsts.setdefault(topic, {})
        firsts[peer] = min(FIRSTS_MAX, firsts.get(peer, 0.0) + 1.0)

    def remove_peer(self, peer_id: ID) -> None:
        """A neighbour is gone, and with it what it brought."""
        for firsts in self._firsts.values():
            firsts.pop(peer_id, None)
        super().remove_peer(peer_id)

    def mesh_heartbeat(self) -> tuple[defaultdict[ID, list[str]], defaultdict[ID, list[str]]]:
        """Mend every mesh: whom to tell that it is in, and whom that it is out, by topic."""
        self._decay()
        grafts, prunes = super().mesh_heartbeat()
        self._beats += 1
        if self._beats % LOOK_BEATS == 0:
            for topic, members in self.mesh.items():
                for peer in self._choose_better(topic, members):
                    members.add(peer)
                    self._notify_mesh_peer_added(peer, topic)
                    grafts[peer].append(topic)
        return grafts, prunes

    def _decay(self) -> None:
        for topic, firsts in self._firsts.items():
            left = {peer: count * FIRSTS_DECAY for peer, count in firsts.items()}
            self._firsts[topic] = {
                p: count for p, count in left.items() if count > FIRSTS_FORGOTTEN
            }

    def _choose_better(self, topic: str, members: Iterable[ID]) -> list[ID]:
        """Choose some who brought more than the median of a mesh that brings little."""
        firsts = self._firsts.get(topic, {})
        brought = [firsts.get(peer, 0.0) for peer in members]
        if not brought or (half := median(brought)) >= LOOK_FIRSTS:
            return []
        better = [
            peer
            for peer in self._list_outside(topic)
            if firsts.get(peer, 0.0) > half and not self._check_back_off(peer, topic)
        ]
        return random.sample(better, min(LOOK_PEERS, len(better)))

    def _list_outside(self, topic: str) -> list[ID]:
        pubsub: Any = self.pubsub
        members = self.mesh[topic]
        return [peer for peer in pubsub.peer_topics.get(topic, ()) if peer not in members]

    def _select_peers_for_pruning(self, topic: str, num_to_prune: int) -> list[ID]:
        """Choose whom a mesh that is too large loses: not the best, and else by chance."""
        firsts, members = self._firsts.get(topic, {}), list(self.mesh[topic])
        random.shuffle(members)
        members.sort(key=lambda peer: -firsts.get(peer, 0.0))
        return random.sample(members[DEGREE_SCORE:], num_to_prune)

    def gossip_heartbeat(self) -> defaultdict[ID, dict[str, list[bytes]]]:
        """Choose whom to tell of messages, by topic: of all outside the mesh. py-libp2p leaves out
        who put us out of its mesh in the last minute, and then has no way to it at all.
        """
        told: defaultdict[ID, dict[str, list[bytes]]] = defaultdict(dict)
        for topic in self.mesh:
            ids = list(self.mcache.window(topic))
            outside = self._list_outside(topic) if ids else []
            many = self._get_adaptive_gossip_peers_count(topic, len(outside))
            for peer in random.sample(outside, min(many, len(outside))):
                told[peer][topic] = ids
        return told
