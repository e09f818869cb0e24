"""The machines of a node's core: which there are, and what each is handed of the others."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from p2p_modelex.core import funding
from p2p_modelex.core.anchoring.machine import AnchoringMachine
from p2p_modelex.core.buying import Buying
from p2p_modelex.core.choosing import Choosing
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.index import Rng
from p2p_modelex.core.directory.machine import DirectoryMachine
from p2p_modelex.core.effects import Effect, StreamId
from p2p_modelex.core.farming import Farming
from p2p_modelex.core.fellows import find_fellows
from p2p_modelex.core.ledger.lending import Lending
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.parts import Identity, Policies, Shop
from p2p_modelex.core.ratings import RatingWatch
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.history import History
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.probes import ProbeMachine
from p2p_modelex.core.routing.rating_book import RatingBook
from p2p_modelex.core.routing.router import Router
from p2p_modelex.core.selling import Selling
from p2p_modelex.core.sharing import Neighbourhood
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.ids import Address
from p2p_modelex.records.job import Load
from p2p_modelex.units import Millis, UnixMs

NO_LOAD = Load(0, 0, 0, 0, 0, 0)
"""The load of a node that sells nothing."""


NextStream = Callable[[], StreamId]


@dataclass(frozen=True, slots=True)
class Ground:
    """What buying and selling both stand on."""

    directory: Directory
    mesh: DirectoryMachine
    anchoring: AnchoringMachine
    lines: Lines
    payee: PayeeLedger
    farming: Farming
    splits: SplitWatch


@dataclass(frozen=True, slots=True)
class Trade:
    """What buys, and what sells, if the node does."""

    payer: PayerLedger
    ratings: RatingWatch
    probes: ProbeMachine
    choosing: Choosing
    buying: Buying
    selling: Selling | None


def build_ground(
    identity: Identity,
    policies: Policies,
    shop: Shop | None,
    rng: Rng,
    next_stream: NextStream,
    advertise: Callable[[UnixMs], list[Effect]],
) -> Ground:
    """Return what a node has whatever it does. advertise: says anew what we are."""
    directory = Directory(
        identity.network,
        identity.registry_domain,
        identity.peer,
        entries_max=policies.directory.entries_max,
    )
    mesh = DirectoryMachine(directory, identity.peer_signer, rng, next_stream, policies.directory)
    anchoring = AnchoringMachine(
        identity.peer,
        identity.account_signer.address,
        policies.anchoring,
        lambda: directory.own_sequence,
    )
    lines = Lines()
    account, domain = _payee_of(identity, shop), identity.channels_domain
    payee = PayeeLedger(account, domain, policies.settlement, lines.get_line)
    ttl_ms = Millis(policies.directory.ttl_ms)
    farming = Farming(directory, payee, next_stream, rng, ttl_ms, advertise)
    return Ground(directory, mesh, anchoring, lines, payee, farming, SplitWatch())


def build_trade(
    identity: Identity,
    policies: Policies,
    shop: Shop | None,
    rng: Rng,
    next_stream: NextStream,
    ground: Ground,
) -> Trade:
    """Return what buys and sells on this ground."""
    directory, get_standing = ground.directory, ground.anchoring.get_standing
    selling = _build_selling(shop, identity, ground, next_stream)
    circuits, loads, ratings = Circuits(), ProbeBook(), RatingBook()
    watch = RatingWatch(policies.ratings, directory, get_standing, ratings)
    probes = ProbeMachine(selling.get_load if selling else lambda: NO_LOAD, next_stream, loads)
    payer = PayerLedger(identity.account_signer, identity.channels_domain)
    can_pay = partial(funding.can_pay, payer)
    router = Router(rng, circuits, loads, History(), policies.routing, ratings, can_pay)
    choosing = Choosing(directory, router, probes, rng, get_standing, ground.farming.machine)
    buying = Buying(
        identity.network,
        identity.registry_domain,
        choosing,
        circuits,
        payer,
        policies.budget,
        next_stream,
        ground.splits,
    )
    return Trade(payer, watch, probes, choosing, buying, selling)


def _build_selling(
    shop: Shop | None, identity: Identity, ground: Ground, next_stream: NextStream
) -> Selling | None:
    if shop is None:
        return None
    around = Neighbourhood(
        Lending(ground.payee, ground.lines, identity.channels_domain),
        next_stream,
        lambda now: find_fellows(ground.directory, ground.farming.book, now),
    )
    return Selling(shop.seller, ground.payee, shop.slots, shop.slots_of, ground.splits, around)


def _payee_of(identity: Identity, shop: Shop | None) -> Address:
    if shop is None:
        return identity.account_signer.address
    return Address(shop.seller.ownership.ownership.operator)
