"""GossipSub 1.1 as the findings say it must be configured, with our own limits before our judge."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service

from p2p_modelex.ids import PeerId
from p2p_modelex.limits import GOSSIP_MESSAGE_BYTES, KIB
from p2p_modelex.net.abc import GossipMessage, Validator, Verdict
from p2p_modelex.net.bounded import GossipLimiter
from p2p_modelex.net.libp2p.gossip_intake import PacedPubsub
from p2p_modelex.net.libp2p.gossip_mesh import ScoredGossipSub
from p2p_modelex.net.libp2p.host import peer_of

_log = logging.getLogger(__name__)

GOSSIPSUB_ID = "/meshsub/1.1.0"
# The GossipSub specification's degrees.
DEGREE, DEGREE_LOW, DEGREE_HIGH = 6, 4, 12
# Longer than the 300 s for which py-libp2p remembers a validation: a replay inside them would
# pass unjudged and spread again.
DUPLICATES_S = 600
RPC_BYTES = 256 * KIB
_SWEEP_S = 60.0
_PACE_DEPTH = 24
_PACE_S, _PACE_STEP_S = 0.2, 0.005


class Gossip:
    """One host's part in the topics it subscribed to. `deliver` gets each accepted message once."""

    def __init__(
        self,
        host: Any,
        validators: Mapping[str, Validator],
        *,
        limiter: GossipLimiter,
        heartbeat_interval_s: float,
        deliver: Callable[[GossipMessage], None],
        drop: Callable[[], None],
        penalize: Callable[[PeerId, str], None],
    ) -> None:
        self._own = peer_of(host.get_id())
        self._validators = validators
        self._limiter = limiter
        self._deliver = deliver
        self._drop = drop
        self._penalize = penalize
        self._router = _build_router()
        # Its default is 120 s.
        self._router.heartbeat_interval = heartbeat_interval_s
        pubsub: Any = cast(Any, PacedPubsub)(
            host,
            self._router,
            judge=self._judge,
            blame=self._blame,
            seen_ttl=DUPLICATES_S,
            max_subscriptions_per_rpc=64,
            max_subscriptions_per_peer=max(1, len(validators)),
            max_inbound_rpc_size=RPC_BYTES,
            allowed_topics=frozenset(validators),
        )
        # Its own queue holds 32 messages and drops in silence; we deliver while judging.
        pubsub.notify_subscriptions = lambda _message: None
        self._pubsub = pubsub

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Take part until the block ends. Raises what breaks the service."""
        async with (
            background_trio_service(self._pubsub),
            background_trio_service(self._router),
            trio.open_nursery() as nursery,
        ):
            await self._pubsub.wait_until_ready()
            for topic in self._validators:
                await self._pubsub.subscribe(topic)
            nursery.start_soon(self._sweep)
            yield
            nursery.cancel_scope.cancel()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish, then wait a moment if a peer is slow: a queue of 32 drops in silence."""
        await self._pubsub.publish(topic, payload)
        with trio.move_on_after(_PACE_S):
            # Its queues have no event to wait for.
            while any(len(queue) > _PACE_DEPTH for queue in self._pubsub.peer_queues.values()):
                await trio.sleep(_PACE_STEP_S)

    async def flush(self) -> None:
        """Let what was published go out, for a moment: a node that leaves says so last."""
        with trio.move_on_after(_PACE_S):
            while any(len(queue) for queue in self._pubsub.peer_queues.values()):
                await trio.sleep(_PACE_STEP_S)
            # What was taken from a queue last is on its way through the muxer.
            await trio.sleep(4 * _PACE_STEP_S)

    def _judge(self, forwarder: ID, message: Any) -> bool:
        """Whether a message spreads further; its signature has been checked."""
        origin = peer_of(ID(message.from_id))
        sender = peer_of(forwarder)
        if origin is None or sender is None or origin == self._own or len(message.topicIDs) != 1:
            return False
        verdict = self._admit(origin, message)
        if verdict is not Verdict.ACCEPT:
            self._drop()
            if verdict is Verdict.REJECT:
                self._penalize(sender, "gossip")
            return False
        self._deliver(GossipMessage(message.topicIDs[0], origin, sender, message.data))
        return True

    def _admit(self, origin: PeerId, message: Any) -> Verdict:
        validator = self._validators.get(message.topicIDs[0])
        if validator is None or len(message.data) > GOSSIP_MESSAGE_BYTES:
            return Verdict.REJECT
        if not self._limiter.admit(origin, trio.current_time()):
            return Verdict.IGNORE
        return validator(origin, message.data)

    def _blame(self, neighbour: ID, offence: str) -> None:
        peer = peer_of(neighbour)
        if peer is not None:
            self._penalize(peer, offence)

    async def _sweep(self) -> None:
        """Clear what the router keeps for ever."""
        while True:
            await trio.sleep(_SWEEP_S)
            self._router.recent_message_deliveries.clear()
            self._router.equivocation_detection.clear()
            for table in (
                self._router.iwant_request_limits,
                self._router.ihave_message_limits,
                self._router.graft_flood_tracking,
            ):
                for gone in table.keys() - self._pubsub.peers.keys():
                    del table[gone]


def _build_router() -> Any:
    router: Any = cast(Any, ScoredGossipSub)(
        [TProtocol(GOSSIPSUB_ID)],
        DEGREE,
        DEGREE_LOW,
        DEGREE_HIGH,
        # Each of these punishes honest peers or thrashes the mesh; our reputation decides.
        spam_protection_enabled=False,
        adaptive_gossip_enabled=False,
        eclipse_protection_enabled=False,
        # Messages held for peers that have not said what they subscribe to.
        max_pending_messages_per_peer=16,
        pending_messages_ttl=5.0,
    )
    router.scorer = None
    return router
