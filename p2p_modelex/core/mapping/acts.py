"""What the spreading of a map is told, and what it asks for.

Amounts are wei of one split epoch, that in which the map began; times are unix ms.
"""

from dataclasses import dataclass

from p2p_modelex.ids import PeerId
from p2p_modelex.units import Wei


@dataclass(frozen=True, slots=True)
class Sighting:
    """A member that could serve now. slots: requests that it runs at once, None if it did not say.
    Prices are of one token.
    """

    peer: PeerId
    slots: int | None
    prompt_price: Wei
    completion_price: Wei


@dataclass(frozen=True, slots=True)
class TaskCame:
    """The next prompt. prompt_tokens, max_tokens: the most that either side of it can have."""

    number: int
    prompt_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """There are no more prompts."""


@dataclass(frozen=True, slots=True)
class MembersSeen:
    """Everybody who could serve now; who is not among them is asked no more. why: the reason, where
    there is nobody.
    """

    members: tuple[Sighting, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class OrderDone:
    """An order brought a whole answer."""

    order: int
    paid: Wei


@dataclass(frozen=True, slots=True)
class OrderFailed:
    """An order brought none. code: as in RunFailed. is_fault: whether the member is to blame."""

    order: int
    code: str
    reason: str
    is_fault: bool
    retry_after_ms: int
    paid: Wei


@dataclass(frozen=True, slots=True)
class Woke:
    """The time that `get_timer` named has come."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Order nothing more. at_once: and cancel what is in hand, which is paid for what came."""

    at_once: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """Order a task of a member. is_extra: it is under way at another one already. Answer: OrderDone
    or OrderFailed.
    """

    order: int
    number: int
    peer: PeerId
    max_cost: Wei
    is_extra: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """End an order; its answer comes all the same."""

    order: int


@dataclass(frozen=True, slots=True)
class Keep:
    """The answer of this order is the task's."""

    number: int
    order: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The task has none: as many members as may be tried have failed it, this one the last."""

    number: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more is ordered, though there is more. code: `budget`, `no_provider`, `no_channel`
    or `stalled`.
    """

    code: str
    reason: str


Happened = TaskCame | SourceEnded | MembersSeen | OrderDone | OrderFailed | Woke | Leave
Act = Begin | Cancel | Keep | GiveUp | Stop
