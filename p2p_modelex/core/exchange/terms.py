"""What the two ends are given: what a provider sells, what a requester buys."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from p2p_modelex.core.exchange import parameters
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest, JobId, NetworkId
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.envelope import PeerSigner
from p2p_modelex.records.job import Request
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.units import UnixMs, Wei

_NOTHING = Wei(0)


@dataclass(frozen=True, slots=True)
class Ware:
    """One advertised offer and the digest of the engine that serves it (Receipt.engine)."""

    offer: Offer
    engine: Digest


@dataclass(frozen=True, slots=True)
class Former:
    """What was advertised before, at whose prices is still sold until then (EXC-6)."""

    wares: tuple[Ware, ...]
    until: UnixMs


@dataclass(frozen=True, slots=True)
class Seller:
    """Who a provider is and what it sells. Made anew when prices change; a job keeps its own.

    peer_signer signs quotes, receipt_signer (the ownership's delegate) receipts. registry_domain
    is the EIP-712 domain of NodeRegistry.
    """

    peer_signer: PeerSigner
    receipt_signer: AccountSigner
    ownership: SignedOwnership
    network: NetworkId
    registry_domain: Digest
    wares: tuple[Ware, ...]
    former: tuple[Former, ...] = ()

    def give_way(self, newer: "Seller", now: UnixMs) -> "Seller":
        """Return the newer one, which still sells at the prices of this one for a while."""
        until = UnixMs(now + parameters.PRICES_HELD_MS)
        former = (Former(self.wares, until), *(one for one in self.former if one.until >= now))
        return replace(newer, former=former[: parameters.FORMER_MAX])


@dataclass(frozen=True, slots=True)
class Purchase:
    """One job a requester wants of one provider.

    offer, ownership: from the provider's verified advertisement. max_cost: wei, the most the whole
    job may cost; the lane has it reserved. max_window: wei, the most we let a provider work or be
    paid ahead. prepay: wei paid ahead with the first voucher, at most max_window. is_fast: order
    at the advertised prices without a quote where max_window allows it. until: when nobody waits
    for it any more, None for never.
    """

    job: JobId
    request: Request
    offer: Offer
    ownership: SignedOwnership
    max_cost: Wei
    max_window: Wei
    network: NetworkId
    registry_domain: Digest
    prepay: Wei = _NOTHING
    is_fast: bool = True
    until: UnixMs | None = None

    def __post_init__(self) -> None:
        """BadInput if more would be paid ahead than the limits allow."""
        if self.prepay > min(self.max_window, self.max_cost):
            raise BadInput("prepay is at most max_window and max_cost")

    def compute_left_ms(self, now: UnixMs) -> int:
        """Return how long anybody still waits, as Order and Accept say it: 0 is for ever."""
        return 0 if self.until is None else min(max(self.until - now, 1), 2**32 - 1)


@dataclass(slots=True)
class OpenJobs:
    """The jobs a provider has in hand, shared by its exchanges: none twice, and not too many.

    compute_wait_ms: when whoever finds no place should come again.
    """

    compute_wait_ms: Callable[[], int]
    limit: int = parameters.OPEN_JOBS_MAX
    _jobs: dict[JobId, None] = field(default_factory=dict)

    def claim(self, job: JobId) -> bool:
        """Take a job in hand; False if there are too many or it is in hand already."""
        if job in self._jobs or len(self._jobs) >= self.limit:
            return False
        self._jobs[job] = None
        return True

    def release(self, job: JobId) -> None:
        """Put a job out of hand; nothing happens if it is not in hand."""
        self._jobs.pop(job, None)
