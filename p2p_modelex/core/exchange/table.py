"""The one transition table of a job, run by both ends and drawn into the protocol's README.

What belongs here: which message may be sent in which state, and the state it leads to. What does
not: timers, money, and how a state is left without a message. Each end sees its own sends at once
and the other's later, so messages may cross; the table allows exactly the crossings that can
happen between honest ends (a Pay or Cancel that meets a Finished or a Failed, a Cancel that meets a
Started).
"""

from enum import Enum

from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError
from p2p_modelex.records.job import (
    Accept,
    Ask,
    Cancel,
    Chunk,
    Failed,
    Finished,
    Order,
    Pay,
    ProviderMessage,
    Quoted,
    Refused,
    RequesterMessage,
    Started,
)


class State(Enum):
    """Where a job stands."""

    IDLE = "idle"
    ASKED = "asked"
    QUOTED = "quoted"
    ORDERED = "ordered"
    WITHDRAWN = "withdrawn"
    RUNNING = "running"
    CANCELLED = "cancelled"
    SETTLING = "settling"
    FAILED = "failed"
    OVER = "over"


Message = RequesterMessage | ProviderMessage
REQUESTER_MESSAGES: tuple[type, ...] = (Ask, Order, Accept, Pay, Cancel)
PROVIDER_MESSAGES: tuple[type, ...] = (Quoted, Started, Chunk, Finished, Refused, Failed)

TRANSITIONS: dict[tuple[State, type], State] = {
    (State.IDLE, Ask): State.ASKED,
    (State.IDLE, Order): State.ORDERED,
    (State.ASKED, Quoted): State.QUOTED,
    (State.ASKED, Refused): State.OVER,
    (State.QUOTED, Accept): State.ORDERED,
    (State.QUOTED, Refused): State.OVER,
    (State.ORDERED, Started): State.RUNNING,
    (State.ORDERED, Refused): State.OVER,
    (State.ORDERED, Cancel): State.WITHDRAWN,
    (State.WITHDRAWN, Started): State.CANCELLED,
    (State.WITHDRAWN, Refused): State.OVER,
    (State.RUNNING, Chunk): State.RUNNING,
    (State.RUNNING, Pay): State.RUNNING,
    (State.RUNNING, Cancel): State.CANCELLED,
    (State.RUNNING, Finished): State.SETTLING,
    (State.RUNNING, Failed): State.FAILED,
    (State.CANCELLED, Chunk): State.CANCELLED,
    (State.CANCELLED, Pay): State.CANCELLED,
    (State.CANCELLED, Finished): State.SETTLING,
    (State.CANCELLED, Failed): State.FAILED,
    (State.SETTLING, Pay): State.SETTLING,
    (State.SETTLING, Cancel): State.SETTLING,
    (State.FAILED, Pay): State.FAILED,
    (State.FAILED, Cancel): State.FAILED,
}


def on_sent(state: State, message: Message) -> State:
    """Return the state after we sent `message`; LocalProtocolError if it may not be sent now."""
    after = TRANSITIONS.get((state, type(message)))
    if after is None:
        raise LocalProtocolError(f"{type(message).__name__} may not be sent when {state.value}")
    return after


def on_received(state: State, message: Message) -> State:
    """Return the state after `message` came; RemoteProtocolError EXC-2 if it may not come now."""
    after = TRANSITIONS.get((state, type(message)))
    if after is None:
        raise RemoteProtocolError("EXC-2", f"{type(message).__name__} when {state.value}")
    return after


def build_table() -> str:
    """Return the table in Markdown, as it stands in protocols/exchange/README.md."""
    lines = ["| State | Message | Sent by | Next state |", "| --- | --- | --- | --- |"]
    for (state, kind), after in TRANSITIONS.items():
        sender = "requester" if kind in REQUESTER_MESSAGES else "provider"
        lines.append(f"| {state.value} | {kind.__name__} | {sender} | {after.value} |")
    return "\n".join(lines) + "\n"
