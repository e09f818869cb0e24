"""What a node's core is made from: who it is, what its operator chooses, what it sells."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from p2p_modelex.core.anchoring.own import AnchoringPolicy
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.exchange.terms import Seller
from p2p_modelex.core.funding import Budget
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.core.ratings import RatingsPolicy
from p2p_modelex.core.routing.profile import PROFILES, Profile
from p2p_modelex.ids import Digest, NetworkId, PeerId
from p2p_modelex.records.advertisement import Offer, move_offer
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.envelope import PeerSigner
from p2p_modelex.units import Epoch


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is, and where. Domains: the EIP-712 domains of the network's contracts."""

    peer: PeerId
    peer_signer: PeerSigner
    account_signer: AccountSigner
    network: NetworkId
    registry_domain: Digest
    channels_domain: Digest


@dataclass(frozen=True, slots=True)
class Policies:
    """What an operator chooses."""

    budget: Budget
    settlement: SettlementPolicy = field(default_factory=SettlementPolicy)
    directory: DirectorySettings = field(default_factory=DirectorySettings)
    anchoring: AnchoringPolicy = field(default_factory=AnchoringPolicy)
    routing: Profile = PROFILES["default"]
    ratings: RatingsPolicy = field(default_factory=RatingsPolicy)


@dataclass(frozen=True, slots=True)
class Shop:
    """What a node sells, if it does.

    advertised: the offers others are told. slots: requests the engines run at once in all.
    slots_of: and each model's; one that is missing counts as having them all.
    """

    seller: Seller
    advertised: tuple[Offer, ...]
    slots: int
    slots_of: Mapping[str, int] = field(default_factory=dict)

    def move(self, epoch: Epoch) -> "Shop":
        """The same at prices of a later split epoch."""
        wares = tuple(
            replace(ware, offer=move_offer(ware.offer, epoch)) for ware in self.seller.wares
        )
        advertised = tuple(move_offer(offer, epoch) for offer in self.advertised)
        return replace(self, seller=replace(self.seller, wares=wares), advertised=advertised)
