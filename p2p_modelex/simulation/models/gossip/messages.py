"""What routers tell each other, and what it weighs on the wire."""

import msgspec

from p2p_modelex.ids import PeerId

MESSAGE_OVERHEAD_BYTES = 180
"""Origin, sequence number, topic, signature and protobuf of a message, beside its payload."""
ID_BYTES = 46
"""An id in IHAVE or IWANT: origin and sequence number."""
RPC_BYTES = 40
"""An RPC without content; GRAFT and PRUNE are no more."""

MessageId = tuple[PeerId, int]
"""Origin and sequence number: the default id of pubsub."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One published message. id: one object for all routers that remember it."""

    id: MessageId
    topic: str
    payload: bytes
    published_us: int
    hops: int

    @property
    def origin(self) -> PeerId:
        """Who published it."""
        return self.id[0]


class Rpc(msgspec.Struct, frozen=True, gc=False):
    """What one node tells another. connection: which connection it came on."""

    sender: PeerId
    connection: int
    messages: tuple[Message, ...] = ()
    ihave: tuple[MessageId, ...] = ()
    iwant: tuple[MessageId, ...] = ()
    grafts: bool = False
    prunes: bool = False

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        content = sum(len(one.payload) + MESSAGE_OVERHEAD_BYTES for one in self.messages)
        return content + ID_BYTES * (len(self.ihave) + len(self.iwant)) + RPC_BYTES
