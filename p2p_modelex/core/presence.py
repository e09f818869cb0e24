"""A node's presence: what it says of itself to the mesh and the registry, while it does."""

from collections.abc import Sequence
from contextlib import suppress

from p2p_modelex.core.effects import Effect
from p2p_modelex.core.machines import Ground
from p2p_modelex.core.parts import Shop
from p2p_modelex.core.selling import Selling
from p2p_modelex.errors import LocalProtocolError
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.units import Epoch, UnixMs


class Presence:
    """What we sell, where we are and who owns us. selling: goes with the shop."""

    def __init__(
        self, ground: Ground, selling: Selling | None, shop: Shop | None, agent: str
    ) -> None:
        self._ground = ground
        self._selling = selling
        self._shop = shop
        self._agent = agent
        # Where we are and who owns us, while we advertise it.
        self._told: tuple[Sequence[str], Sequence[SignedOwnership]] | None = None

    def advertise(
        self, addresses: Sequence[str], accounts: Sequence[SignedOwnership], now: UnixMs
    ) -> list[Effect]:
        """Tell the mesh what we sell and where. LocalProtocolError if that cannot be said now."""
        self._told = addresses, accounts
        directory, anchoring = self._ground.directory, self._ground.anchoring
        told = self._ground.mesh.set_own(
            self._shop.advertised if self._shop else (),
            addresses,
            accounts,
            now,
            agent=self._agent,
            section=anchoring.claim,
            farms=self._ground.farming.get_shown(now),
        )
        own = directory.get(directory.own)
        return [*told, *anchoring.advertise(own.advertisement if own else None, now)]

    def advertise_again(self, now: UnixMs) -> list[Effect]:
        """Say what has changed of us, if we advertise.

        Where it cannot be said now, as the clock went back or it would be too long, what was said
        holds: prices of before a split are read at twice the number (RTE-4).
        """
        with suppress(LocalProtocolError):
            return self.advertise(*self._told, now) if self._told is not None else []
        return []

    def withdraw(self, now: UnixMs) -> list[Effect]:
        """Tell the mesh that we are leaving."""
        self._told = None
        return [*self._ground.mesh.withdraw(now), *self._ground.anchoring.advertise(None, now)]

    def stock(self, shop: Shop, epoch: Epoch, now: UnixMs) -> None:
        """Sell this from now on, at its prices moved to `epoch`. Only for a node that sells."""
        assert self._selling is not None
        self._shop = shop.move(epoch)
        self._selling.stock(self._shop.seller, now)

    def move(self, epoch: Epoch) -> None:
        """Sell at prices of this later split epoch."""
        if self._shop is not None and self._selling is not None:
            self._shop = self._shop.move(epoch)
            self._selling.move(self._shop.seller)
