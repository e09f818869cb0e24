"""What routing chooses among, and what for."""

from collections.abc import Callable
from dataclasses import dataclass

from p2p_modelex.core.prefixes import Turn
from p2p_modelex.ids import PeerId
from p2p_modelex.records.advertisement import Advertisement, Kind, Offer, move_offer
from p2p_modelex.records.farm import Membership
from p2p_modelex.records.registry import UNSUSPENDED, Standing
from p2p_modelex.units import Epoch, UnixMs, Wei


@dataclass(frozen=True, slots=True)
class Candidate:
    """One offer of one peer. standing: what the registry makes of the peer, as far as we read it.

    The section that its advertisement claims is a claim, and chooses nothing. membership: in the
    farm that is asked for, None if it has none that holds or no farm is asked for.
    """

    peer: PeerId
    offer: Offer
    advertisement: Advertisement
    expires_at: UnixMs
    standing: Standing
    membership: Membership | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """What a request needs.

    model, family: of models; None for any. weights: SHA-256, or None for any. prompt_tokens: an
    estimate. max_cost: wei for the whole job; max_prompt_price, max_completion_price: wei a token;
    None for no ceiling. epoch: the token's split epoch now.
    standings: the acceptable ones. only: the peers allowed, empty for all. denied: peers never to
    use. prefix: a digest of how the conversation begins, empty for none: its point on the ring.
    farm: the name or id of the farm whose members alone will do, empty for none.
    turns: the prompt, as far as others may have read it before.
    """

    kind: Kind
    model: str | None = None
    weights: bytes | None = None
    features: tuple[str, ...] = ()
    prompt_tokens: int = 0
    max_tokens: int = 1
    max_cost: Wei | None = None
    max_prompt_price: Wei | None = None
    max_completion_price: Wei | None = None
    epoch: Epoch = Epoch(0)  # noqa: RUF009  # a NewType of int
    standings: tuple[Standing, ...] = UNSUSPENDED
    only: tuple[PeerId, ...] = ()
    denied: tuple[PeerId, ...] = ()
    prefix: bytes = b""
    farm: str = ""
    family: str | None = None
    turns: tuple[Turn, ...] = ()


CanPay = Callable[[Candidate, Want], bool]
"""Whether a job can be paid at once: no deposit has to be made first."""


def build_candidates(
    peer: PeerId,
    advertisement: Advertisement,
    expires_at: UnixMs,
    epoch: Epoch,
    standing: Standing,
    membership: Membership | None = None,
) -> tuple[Candidate, ...]:
    """Return a candidate for each offer; prices of an earlier split epoch are read in `epoch`."""
    offers = [move_offer(offer, epoch) for offer in advertisement.offers]
    return tuple(
        Candidate(peer, offer, advertisement, expires_at, standing, membership) for offer in offers
    )


def compute_cost(offer: Offer, want: Want) -> int:
    """Return the most the job can cost, in wei: prompt and completion at the offer's prices."""
    return offer.prompt_price * want.prompt_tokens + offer.completion_price * want.max_tokens
