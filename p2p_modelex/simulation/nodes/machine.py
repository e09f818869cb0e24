"""A machine: what of a node outlives its process. Keys, disk, place, what it sells."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from p2p_modelex.core.anchoring.own import AnchoringPolicy
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.exchange.terms import Seller, Ware
from p2p_modelex.core.funding import Budget
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.core.parts import Identity, Policies, Shop
from p2p_modelex.core.ratings import RatingsPolicy
from p2p_modelex.core.routing.profile import Profile
from p2p_modelex.ids import Address, Digest, PeerId, peer_id_of
from p2p_modelex.records import ownership
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.envelope import PeerSigner
from p2p_modelex.records.job import CONTINUE
from p2p_modelex.records.ownership import Ownership, SignedOwnership
from p2p_modelex.simulation.models.chain import DEPLOYMENT
from p2p_modelex.simulation.models.host import Tally
from p2p_modelex.simulation.models.links import Place
from p2p_modelex.simulation.nodes.disk import Disk
from p2p_modelex.simulation.nodes.life import START_MS, Life
from p2p_modelex.simulation.plugin import ROUTING
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.settings import Chain, Engine
from p2p_modelex.simulation.scenario.tables import Population, Scenario
from p2p_modelex.units import Millis, Wei

PRICE_TOKENS = 1000
"""Prices are written for so many tokens."""
_OWNED_FOR_MS = 90 * 86_400 * 1000


@dataclass(eq=False)
class Machine:
    """lives: how often its process was started. life: the process that runs, if one does.
    edition: how often its operator has changed what it sells.
    """

    number: int
    population: Population
    peer_signer: PeerSigner
    account_signer: AccountSigner
    place: Place
    disk: Disk
    peer: PeerId = field(init=False)
    address: str = field(init=False)
    lives: int = 0
    edition: int = 0
    life: Life | None = None
    joined_us: int = 0
    asking: Engine | None = None
    """Its engine at the prices that it asks now, where they change."""
    tally: Tally = field(default_factory=Tally)
    taken: float = 0.0
    """The share of it that others than its node use."""

    def __post_init__(self) -> None:
        self.peer = peer_id_of(self.peer_signer.public_key)
        high, middle, low = self.number >> 16, self.number >> 8 & 255, self.number & 255
        self.address = f"/ip4/10.{high}.{middle}.{low}/tcp/4001"

    @property
    def is_honest(self) -> bool:
        """Whether it runs the core as it is."""
        return self.population.behaviour == "honest"

    @property
    def advertises(self) -> bool:
        """Whether others are told of it."""
        return self.population.advertises

    def build_ownership(self) -> SignedOwnership:
        """Let the machine's account vouch for its peer, for the whole run."""
        address = self.account_signer.address
        key = self.peer_signer.public_key
        statement = Ownership(key, address, address, START_MS + _OWNED_FOR_MS)
        return ownership.sign(statement, DEPLOYMENT.registry_domain, self.account_signer)

    def build_identity(self) -> Identity:
        """Who its core is."""
        return Identity(
            self.peer,
            self.peer_signer,
            self.account_signer,
            DEPLOYMENT.network,
            DEPLOYMENT.registry_domain,
            DEPLOYMENT.channels_domain,
        )

    def build_policies(self, scenario: Scenario, believed: tuple[Address, ...]) -> Policies:
        """What its operator chooses. believed: accounts whose ratings count."""
        chain = scenario.chain or Chain(redeem_every=Duration(0))
        registers = scenario.registers and self.population.engine is not None
        return Policies(
            Budget(Wei(self.population.deposit), Wei(self.population.purse)),
            SettlementPolicy(
                threshold=Wei(chain.threshold),
                max_age_ms=Millis(chain.redeem_every // 1000),
                minimum=Wei(chain.minimum),
            ),
            directory=DirectorySettings(entries_max=scenario.entries_max),
            anchoring=AnchoringPolicy(registers),
            routing=self._find_profile(scenario),
            ratings=RatingsPolicy(believed),
        )

    def _find_profile(self, scenario: Scenario) -> Profile:
        name = self.population.routing
        own = (one.build() for one in scenario.policy if one.name == name)
        return next(own, None) or ROUTING[name]

    def build_shop(self, proof: SignedOwnership) -> Shop | None:
        """What it sells, if it does."""
        engines = self.population.engines
        if not engines:
            return None
        if self.asking is not None:
            engines = (self.asking, *engines[1:])
        offers = tuple(build_offer(engine, self.edition) for engine in engines)
        fingerprint = Digest(hashlib.sha256(b"simulated engine").digest())
        seller = Seller(
            peer_signer=self.peer_signer,
            receipt_signer=self.account_signer,
            ownership=proof,
            network=DEPLOYMENT.network,
            registry_domain=DEPLOYMENT.registry_domain,
            wares=tuple(Ware(offer, fingerprint) for offer in offers),
        )
        slots = {engine.model: engine.slots for engine in engines}
        return Shop(seller, offers, sum(slots.values()), slots)


def _list_features(engine: Engine) -> Iterator[str]:
    if engine.continues:
        yield CONTINUE
    for answer in engine.answers:
        if answer != "embedding":
            yield "json_schema" if answer == "schema" else answer


def build_offer(engine: Engine, edition: int) -> Offer:
    """Return what a population's engine is advertised as: each edition has either other weights
    than the one before, or twice its credit.
    """
    swapped, is_trusting = divmod(edition, 2)
    name = f"{engine.model}/{swapped}" if swapped else engine.model
    return Offer(
        model=engine.model,
        weights=hashlib.sha256(b"simulated weights/" + name.encode()).digest(),
        kinds=("chat", "completion", *(("embedding",) if "embedding" in engine.answers else ())),
        context_length=engine.context,
        max_tokens=engine.context,
        features=tuple(sorted(_list_features(engine))),
        prompt_price=Wei(engine.prompt_price // PRICE_TOKENS),
        completion_price=Wei(engine.completion_price // PRICE_TOKENS),
        epoch=0,
        credit_tokens=engine.credit_tokens * (1 + is_trusting),
        deferred_discount=0,
    )
