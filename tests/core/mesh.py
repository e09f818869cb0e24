"""A directory of any size whose entries are put there unsigned, and a choice from it."""

import random
from itertools import count
from typing import Any

import msgspec

from p2p_modelex.core.choosing import Choosing, Look
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.effects import StreamId
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.core.farm.machine import FarmMachine, Members
from p2p_modelex.core.routing.candidate import Want
from p2p_modelex.core.routing.probes import ProbeMachine
from p2p_modelex.core.routing.profile import Profile
from p2p_modelex.ids import PeerId, PublicKey, peer_id_of
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import Load
from p2p_modelex.records.registry import Standing
from p2p_modelex.units import UnixMs, Wei
from tests.core.buyer import Vendor
from tests.core.exchange.pair import NETWORK, OFFER, REGISTRY
from tests.core.routing.scene import NOW, Scene

PLAIN = Vendor(1).entry.advertisement
OWN = peer_id_of(PublicKey(bytes(32)))
PRICES = 100
STEP = 2**64 // 100_003


def peer(number: int) -> PeerId:
    """Spread over the ring in the order of the numbers, which begin at 1."""
    return peer_id_of(PublicKey((number * STEP).to_bytes(8, "big") * 4))


class Mesh(Directory):
    """So many providers of one model; their prices go from 1 to 100 and begin anew."""

    def __init__(self, many: int) -> None:
        super().__init__(NETWORK, REGISTRY, OWN, entries_max=2 * many + 1)
        self.looked_at = 0
        for number in range(1, many + 1):
            self.put(number)

    def put(self, number: int, farms: tuple[Envelope, ...] = (), **changes: Any) -> None:
        """Put a provider there, or another offer in the place of its first."""
        price = Wei(1 + number % PRICES)
        terms = {"prompt_price": price, "completion_price": price} | changes
        offers = (msgspec.structs.replace(OFFER, **terms),)
        said = msgspec.structs.replace(PLAIN, offers=offers, farms=farms)
        self._keep(Entry(peer(number), said, b"", NOW, UnixMs(NOW + 60_000), OWN, 1))

    def get_standing(self, _peer: PeerId, _said: Advertisement) -> Standing:
        self.looked_at += 1
        return Standing.UNREGISTERED


class Stage(Scene):
    """A scene in a mesh."""

    def __init__(self, mesh: Mesh, profile: str | Profile = "default") -> None:
        super().__init__(profile)
        self.mesh = mesh
        streams = count(2, 2)
        self.probes = ProbeMachine(
            lambda: Load(0, 0, 0, 0, 0, 0), lambda: StreamId(next(streams)), self.loads
        )
        self.farms = FarmMachine(
            FarmBook(NETWORK), self.find_members, lambda: StreamId(next(streams)), random.Random(4)
        )
        self.choosing = Choosing(
            mesh, self.router, self.probes, random.Random(3), mesh.get_standing, self.farms
        )

    def find_members(self, farm: str) -> Members:
        return [(one.peer, one.advertisement.addresses) for one in self.mesh.find(farm=farm)]

    def look(self, **want: Any) -> Look:
        """Look for a provider; `mesh.looked_at` is how many were considered."""
        self.mesh.looked_at = 0
        wanted: dict[str, Any] = {"kind": "chat", "model": OFFER.model, "max_tokens": 10} | want
        return self.choosing.look(Want(**wanted), NOW)
